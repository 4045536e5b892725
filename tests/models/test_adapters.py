"""What models over a base report, and which of their options are refused or said to have no effect."""

import logging

import pytest
from fairseq.dataclass.configs import FairseqConfig
from fairseq.optim.adam import FairseqAdamConfig
from fairseq.optim.fp16_optimizer import FP16Optimizer
from helpers import model_options, model_over, tiny_base, tiny_dictionary, tiny_model
from omegaconf import OmegaConf

from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.adapters import report, trained_weights
from speecht5_fairseq.models.partial import whole_state
from speecht5_fairseq.tasks.s2t import S2TTask, S2TTaskConfig


@pytest.fixture
def base(tmp_path):
    return tiny_base(tmp_path / "base.pt")


def build(base=None, **options):
    task = S2TTask(S2TTaskConfig(data=".", path=None), "s2t")
    task.text_dictionary = tiny_dictionary()
    task.checkpoint_folders = []
    return SpeechT5Model.build_model(
        model_options(base_checkpoint=None if base is None else str(base), **options), task
    )


def test_the_report_counts_what_is_trained_by_net(base, caplog):
    model = model_over(base, lora_rank=2, adapter_parts="encoder", train_nets="text_decoder_prenet")
    head, table = len(tiny_dictionary()) * (24 + 1), len(tiny_dictionary()) * 24
    expected = {"encoder": 2 * 2 * 2 * (24 + 24), "text_decoder_prenet": table, "ctc_head": head}
    assert trained_weights(model) == expected
    total = sum(p.numel() for p in model.parameters())
    with caplog.at_level(logging.INFO):
        report(model)
    count = sum(expected.values())
    parts = f"encoder 384, text_decoder_prenet {table}, ctc_head {head}"
    assert caplog.messages == [
        f"base: {model.base}, {total - count:,} weights of it are frozen: decoder, encoder, speech_encoder_prenet",
        "left in the base, not used by this job: quantizer, speech_decoder_postnet, speech_decoder_prenet, "
        "text_encoder_prenet, unit_head",
        "new, not in the base (initial values): ctc_head",
        f"trained: {count:,} of {total:,} weights ({100 * count / total:.2f}%): {parts}",
    ]


def test_a_run_that_would_train_nothing_is_refused(tmp_path):
    model = model_over(tiny_base(tmp_path / "base.pt", "s2t"))
    with pytest.raises(ValueError, match="nothing is trained over --base-checkpoint: give --lora-rank"):
        report(model)


def test_an_ordinary_model_reports_nothing(caplog):
    with caplog.at_level(logging.INFO):
        report(tiny_model("s2t"))
    assert not caplog.messages


def of_additions(caplog):
    """Warnings but those of the tiny sizes of nets that the job does not build."""
    return [message for message in caplog.messages if "this job builds no" not in message]


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"lora_rank": 2, "lora_targets": "q,w"},
            "--lora-targets 'q,w': w: no such choice; give some of q,k,v,out,fc1,fc2",
        ),
        ({"lora_rank": 2, "lora_targets": ""}, "--lora-targets '': names nothing"),
        ({"adapter_dim": 2, "adapter_parts": "encoders"}, "--adapter-parts 'encoders': encoders: no such choice"),
        ({"lora_rank": -1}, "--lora-rank -1: give a whole number that is not below 0"),
        ({"train_nets": "heads"}, "--train-nets heads: no such net in this job"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(base, options, message):
    with pytest.raises(ValueError, match=message):
        build(base, **options)


@pytest.mark.parametrize(
    "options, named", [({"lora_rank": 2}, "--lora-rank 2"), ({"adapter_dim": 3}, "--adapter-dim 3")]
)
def test_additions_without_a_base_are_refused(options, named):
    with pytest.raises(ValueError, match=f"^{named}: additions are trained .* name it with --base-checkpoint"):
        build(**options)


@pytest.mark.parametrize(
    "options, warned",
    [
        (
            {"lora_rank": 2, "lora_alpha": 4.0, "lora_dropout": 0.1, "lora_targets": "k", "adapter_parts": "decoder"},
            None,
        ),
        ({"adapter_dim": 2, "adapter_parts": "decoder"}, None),
        ({"adapter_dim": 2, "lora_alpha": 4.0}, "no effect: --lora-alpha 4.0; they need a --lora-rank above 0"),
        ({"adapter_parts": "decoder"}, "no effect: --adapter-parts decoder; it needs --lora-rank or --adapter-dim"),
    ],
)
def test_options_without_effect_are_named(base, caplog, options, warned):
    with caplog.at_level(logging.WARNING):
        build(base, **options)
    assert of_additions(caplog) == ([] if warned is None else [warned])


def test_nets_to_train_without_a_base_have_no_effect(caplog):
    with caplog.at_level(logging.WARNING):
        build(train_nets="ctc_head")
    assert of_additions(caplog) == ["no effect: --train-nets ctc_head; without --base-checkpoint every net is trained"]


@pytest.mark.parametrize("flat", [True, False])
def test_half_precision_optimizers_see_what_is_trained_only(base, flat):
    """fairseq's own optimizer, over what its trainer gives it: additions learn, the base stays, with weight decay."""
    model = model_over(base, lora_rank=2).bfloat16()
    cfg = OmegaConf.structured(FairseqConfig())
    cfg.common.bf16, cfg.common.fp16_no_flatten_grads, cfg.common.cpu = True, not flat, True
    cfg.optimizer = FairseqAdamConfig(_name="adam", adam_betas="(0.9, 0.98)", weight_decay=0.5, lr=[0.1])
    optimizer = FP16Optimizer.build_optimizer(cfg, [p for p in model.parameters() if p.requires_grad])
    before = {name: value.clone() for name, value in whole_state(model).items()}
    model.set_num_updates(0)
    optimizer.zero_grad()
    optimizer.backward(sum(p.float().square().sum() for p in model.parameters() if p.requires_grad))
    optimizer.clip_grad_norm(1.0)
    optimizer.step()
    moved = {name for name, value in whole_state(model).items() if not value.equal(before[name])}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}

"""Recomputed parts: loss and gradients bit for bit those of the same model that keeps everything."""

import pytest
import torch
from fairseq.distributed import ModuleProxyWrapper
from fairseq.distributed.legacy_distributed_data_parallel import LegacyDistributedDataParallel
from helpers import LARGE_LAYOUT, mel_target, model_over, speech_source, text_tokens, tiny_base, tiny_model

from speecht5_fairseq.modules.decoder import Watch
from speecht5_fairseq.modules.recomputation import recomputed

NOISE = {
    "dropout": 0.2, "positional_dropout": 0.2, "attention_dropout": 0.2, "activation_dropout": 0.1,
    "encoder_layerdrop": 0.4, "decoder_layerdrop": 0.4, "mask_prob": 0.3,
}  # fmt: skip
SAMPLES = (9000, 5000)
CASES = {
    "post-norm": {},
    "pre-norm": LARGE_LAYOUT,
    "noise": {**NOISE, "encoder_layers": 5, "decoder_layers": 4},
    "frozen extractor": {"feature_grad_mult": 0.0},
    "frozen encoder": {"freeze_encoder_updates": 5},
    "scaled gradient": {"feature_grad_mult": 0.1},
}


def step(model, *, seed=1):
    """Loss and gradients of a training step, and torch's next random number."""
    torch.manual_seed(seed)
    model.train().set_num_updates(0)
    speech = mel_target(30, 22) if model.speech_decoder_prenet is not None else {}
    output = model(**speech_source(*SAMPLES), prev_output_tokens=text_tokens(6, 4), watch=Watch(1, 2), **speech)
    loss = output.text_logits.square().mean() + output.encoded.feature_penalty
    for extra in (output.ctc_logits, output.unit_logits):
        loss = loss if extra is None else loss + extra.square().mean()
    if output.speech is not None:
        loss = (
            loss + output.speech.refined.square().mean() + sum(part.square().mean() for part in output.speech.attention)
        )
    loss.backward()
    return loss.detach(), [parameter.grad for parameter in model.parameters()], torch.rand(())


def assert_equal(ours, expected):
    assert torch.equal(ours[0], expected[0]) and torch.equal(ours[2], expected[2])
    assert sum(gradient is not None for gradient in expected[1]) > 20
    for one, other in zip(ours[1], expected[1], strict=True):
        assert (one is None) == (other is None) and (one is None or torch.equal(one, other))


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@pytest.mark.parametrize("job", ["s2t", "pretrain"])
def test_gradients_are_the_same_bit_for_bit(job, options):
    assert_equal(*(step(tiny_model(job, checkpoint_activations=on, **options)) for on in (True, False)))


@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_of_additions_to_a_frozen_base_are_the_same(tmp_path, autocast):
    base = tiny_base(tmp_path / "base.pt", "s2t")
    additions = {"lora_rank": 2, "lora_dropout": 0.1, "lora_targets": "q,v,fc1,fc2", "adapter_dim": 3, **NOISE}
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        found = [step(model_over(base, checkpoint_activations=on, **additions)) for on in (True, False)]
    assert_equal(*found)


def test_gradients_reach_fairseqs_data_parallel_wrapper():
    models = [tiny_model("s2t", checkpoint_activations=on, **NOISE) for on in (True, False)]
    wrapped = [ModuleProxyWrapper(LegacyDistributedDataParallel(model, process_group=None)) for model in models]
    assert_equal(*map(step, wrapped))


def kept(model):
    """Numbers that autograd keeps for the backward pass, each tensor once."""
    found = {}

    def pack(tensor):
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(**speech_source(*SAMPLES), prev_output_tokens=text_tokens(6, 4))
    return sum(size for place, size in found.items() if place not in parameters)


@pytest.mark.parametrize("options", [{}, LARGE_LAYOUT], ids=["post-norm", "pre-norm"])
def test_less_is_kept(options):
    """Of six layers each, with an extractor that does not learn and keeps nothing."""
    options = {**options, "feature_grad_mult": 0.0, "encoder_layers": 6, "decoder_layers": 6}
    less, everything = (kept(tiny_model("s2t", checkpoint_activations=on, **options).train()) for on in (True, False))
    assert less < 0.2 * everything


@pytest.mark.parametrize(
    "part, times", [("encoder.layers.0", 2), ("decoder.layers.0", 2), ("speech_encoder_prenet", 1)]
)
def test_layers_are_computed_twice_in_training_and_once_without_gradient(part, times):
    model, calls = tiny_model("s2t", checkpoint_activations=True).train(), []
    model.get_submodule(part).register_forward_pre_hook(lambda *_: calls.append(1))
    step(model)
    assert len(calls) == times
    with torch.no_grad():
        model(**speech_source(*SAMPLES), prev_output_tokens=text_tokens(6, 4))
    assert len(calls) == times + 1


def test_results_of_any_kind_pass():
    numbers = torch.ones(3, requires_grad=True)
    pair, rest = recomputed(lambda x, scale: ((x * scale, None), "text"), numbers, scale=2.0, when=True)
    assert rest == "text" and pair[1] is None
    pair[0].sum().backward()
    assert numbers.grad.tolist() == [2, 2, 2]

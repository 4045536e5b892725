"""Checkpoints without the frozen base: what they hold, and what is said of one that does not fit."""

import copy
import logging

import pytest
import torch
from helpers import model_over, tiny_base, tiny_model

from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.loading import check_file
from speecht5_fairseq.models.partial import whole_state

LORA = {"lora_rank": 2}


@pytest.fixture
def base(tmp_path):
    return tiny_base(tmp_path / "base.pt")


def test_a_checkpoint_holds_what_is_trained_and_buffers(base):
    model = model_over(base, **LORA)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert set(model.state_dict()) == trained | {"vocabulary.symbols", "base.digest"}
    state = model_over(base, "t2s", **LORA).state_dict()
    kept = {name for name in state if "lora_" not in name}
    statistics = {
        f"speech_decoder_postnet.norms.{n}.{name}" for n in range(3) for name in ("running_mean", "running_var")
    }
    assert statistics <= kept and all("weight" not in name for name in kept)  # batches move them whatever is frozen


def test_it_is_whole_again_over_the_same_base(base):
    model = model_over(base, seed=1, **LORA)
    other = model_over(base, seed=2, **LORA)
    assert not torch.equal(
        whole_state(model)["ctc_head.projection.weight"], whole_state(other)["ctc_head.projection.weight"]
    )
    other.load_state_dict(model.state_dict())
    ours, theirs = whole_state(model), whole_state(other)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_inside_another_module_its_names_have_a_prefix(base):
    model = model_over(base, **LORA)
    outside = torch.nn.ModuleDict({"inner": model})
    assert set(outside.state_dict()) == {f"inner.{name}" for name in model.state_dict()}


def test_a_copy_saves_the_same(base):
    model = model_over(base, **LORA)
    assert copy.deepcopy(model).state_dict().keys() == model.state_dict().keys()


def test_loading_leaves_the_shared_base_alone(base):
    model = model_over(base, **LORA)
    before = {name: value.clone() for name, value in whole_state(model).items()}
    state = {name: value + 1 if value.is_floating_point() else value for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    after = whole_state(model)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}


def test_a_checkpoint_of_another_base_is_refused_with_both_named(base, tmp_path):
    state = model_over(base, **LORA).state_dict()
    model = model_over(tiny_base(tmp_path / "other.pt", seed=5), **LORA)
    digest = "".join(map(chr, state["base.digest"].tolist()))[:12]
    with pytest.raises(CheckpointError) as error:
        model.load_state_dict(state)
    text = str(error.value)
    assert f"trained on a base with the digest {digest}, not on {tmp_path / 'other.pt'} (digest " in text
    assert "--base-checkpoint" in text and "'base_checkpoint': 'PATH'" in text


def test_a_partial_checkpoint_in_a_plain_model_is_refused(base):
    state = model_over(base, adapter_parts="decoder", **LORA).state_dict()
    with pytest.raises(CheckpointError, match="additions to a frozen base, not a whole model.*convert.merge"):
        tiny_model("s2t").load_state_dict(state)


def test_a_whole_checkpoint_over_a_base_is_refused(base):
    with pytest.raises(CheckpointError, match="is a whole model, not additions.*give it as --base-checkpoint instead"):
        model_over(base, **LORA).load_state_dict(tiny_model("s2t").state_dict())


def test_files_are_checked_the_same_way(base, tmp_path):
    model = model_over(base, **LORA)
    torch.save({"model": model.state_dict()}, tmp_path / "adapter.pt")
    check_file(model, tmp_path / "adapter.pt", model.dictionary_files)
    with pytest.raises(CheckpointError, match=r"the checkpoint .*base.pt is a whole model"):
        check_file(model, base, model.dictionary_files)


@pytest.mark.parametrize(
    "there, here, message",
    [
        ({"lora_rank": 2}, {"lora_rank": 3}, r"of another size: .*lora_a \(2, 24\) there, \(3, 24\) here"),
        (
            {"lora_rank": 2},
            {"lora_rank": 2, "lora_targets": "q,k"},
            "missing: .*k_proj.lora_a.*not known here: .*v_proj",
        ),
        ({"lora_rank": 2}, {"adapter_dim": 2}, "missing: .*adapter.*not known here: .*lora_a"),
        ({"train_nets": "decoder"}, {}, "was trained with --train-nets decoder: give the same here"),
    ],
)
def test_other_additions_are_refused(base, there, here, message):
    with pytest.raises(CheckpointError, match=message):
        model_over(base, **here).load_state_dict(model_over(base, **there).state_dict())


def test_additions_to_a_part_without_any_in_the_checkpoint_are_missing(base):
    """Taken for tensors of the base, they were reported as loaded."""
    before = model_over(base, adapter_parts="decoder", **LORA)
    model = model_over(base, seed=2, **LORA)
    with pytest.raises(CheckpointError, match="missing: encoder.layers.0.self_attn.q_proj.lora_a"):
        model.load_state_dict(before.state_dict())


def test_a_net_that_is_trained_from_now_on_starts_from_the_base(base):
    before = model_over(base, **LORA)
    model = model_over(base, train_nets="text_decoder_prenet", **LORA)
    start = model.text_decoder_prenet.embedding.weight.clone()
    model.load_state_dict(before.state_dict())
    assert torch.equal(model.text_decoder_prenet.embedding.weight, start)
    assert torch.equal(model.ctc_head.projection.weight, before.ctc_head.projection.weight)


def test_a_new_layer_stays_new_beside_additions_of_another_job(base):
    donor, model = model_over(base, "s2t", **LORA), model_over(base, "t2s", seed=2, reduction_factor=3, **LORA)
    layer = model.speech_decoder_postnet.feat_out.weight.clone()
    model.load_state_dict(donor.state_dict())
    assert torch.equal(model.speech_decoder_postnet.feat_out.weight, layer)


def test_updates_of_shared_layers_go_to_another_job(base, caplog):
    """Additions to the encoder and the decoder, learnt by recognition, as a start of synthesis over the same base."""
    donor, model = model_over(base, "s2t", seed=1, **LORA), model_over(base, "t2s", seed=2, **LORA)
    with caplog.at_level(logging.WARNING):
        model.load_state_dict(donor.state_dict())
    for name, value in donor.state_dict().items():
        if name.startswith(("encoder.", "decoder.")):
            assert torch.equal(value, model.state_dict()[name]), name
    (left,) = caplog.messages
    assert left.startswith("left in the checkpoint") and left.endswith(": ctc_head")


def test_checkpoints_can_be_averaged(base):
    """As fairseq's script does: floats added and divided, integers floor-divided."""
    states = [model_over(base, seed=seed, **LORA).state_dict() for seed in (1, 2)]
    average = {name: states[0][name] + states[1][name] for name in states[0]}
    average = {name: value / 2 if value.is_floating_point() else value // 2 for name, value in average.items()}
    model = model_over(base, seed=3, **LORA)
    model.load_state_dict(average)
    name = "encoder.layers.0.self_attn.q_proj.lora_a"
    torch.testing.assert_close(model.state_dict()[name], (states[0][name] + states[1][name]) / 2)

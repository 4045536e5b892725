"""Which job a checkpoint is for, and that it is whole."""

from pathlib import Path

import pytest
import torch
from conversions import full_checkpoint
from helpers import LARGE_LAYOUT, SYMBOLS, model_over, tiny_base, tiny_model, write_lines

from speecht5_fairseq.convert.fairseq_file import from_fairseq
from speecht5_fairseq.convert.portable import expected_shapes, find_job, with_dictionary
from speecht5_fairseq.models.checkpoint import OUR_MARK, read_state
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.jobs import path_nets

JOBS = ["pretrain", "pretrain_speech", "s2t", "t2s", "s2s", "s2c"]
HERE = Path("here.pt")


def read(path, job=None):
    return from_fairseq(read_state(path), path, job)


@pytest.mark.parametrize("layout", ["base", "large"])
@pytest.mark.parametrize("job", JOBS)
def test_the_shapes_that_are_expected_are_those_of_the_model(tmp_path, job, layout):
    """Without memory for any of them, whatever the run froze."""
    options = {"freeze": "encoder:forever", **(LARGE_LAYOUT if layout == "large" else {})}
    model = read(full_checkpoint(tmp_path / "ours.pt", job, **options))
    shapes = {name: tensor.shape for name, tensor in tiny_model(job, **options).state_dict().items()}
    assert expected_shapes(model) == shapes


@pytest.mark.parametrize("job", JOBS)
def test_nets_tell_the_job(job):
    assert find_job(None, None, tiny_model(job).state_dict(), HERE) == job


def test_what_is_asked_for_wins_over_what_is_told():
    tensors = tiny_model("pretrain").state_dict()
    assert find_job("s2t", "pretrain", tensors, HERE) == "s2t"
    assert find_job(None, "t2s", tensors, HERE) == "t2s"
    with pytest.raises(CheckpointError, match="here.pt: has no speech_decoder_postnet, .*which the job t2s needs"):
        find_job("t2s", None, tiny_model("s2t").state_dict(), HERE)
    with pytest.raises(CheckpointError, match="here.pt: has no speaker_head, which the job s2c needs"):
        find_job("s2c", None, tiny_model("s2s").state_dict(), HERE)


def test_nets_that_fit_no_job_alone_need_its_name():
    tensors = {name: t for name, t in tiny_model("pretrain").state_dict().items() if not name.startswith("unit_head.")}
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("quantizer.")}
    with pytest.raises(CheckpointError, match="here.pt: does not tell its job; give --job s2t|t2s|s2s$"):
        find_job(None, None, tensors, HERE)


def test_another_models_checkpoint_is_refused():
    with pytest.raises(CheckpointError, match="here.pt: it is not a speecht5_fairseq model; its nets are decoder"):
        find_job(None, None, {"decoder.embed_tokens.weight": torch.ones(1)}, HERE)
    with pytest.raises(CheckpointError, match="here.pt: nets that this version does not know: gate, router; take a"):
        find_job(None, None, {OUR_MARK: torch.ones(1), "router.x": torch.ones(1), "gate.y": torch.ones(1)}, HERE)
    with pytest.raises(CheckpointError, match="holds additions to a base: .*convert.merge here.pt --out MERGED.pt"):
        find_job(None, None, {"encoder.x": torch.ones(1), "base.digest": torch.ones(1)}, HERE)


def test_bottleneck_adapters_are_not_sent_to_the_merger_that_refuses_them(tmp_path):
    added = model_over(tiny_base(tmp_path / "base.pt"), "s2t", adapter_dim=4).state_dict()
    with pytest.raises(CheckpointError, match="holds bottleneck adapters .* cannot be folded .*; use it as it is") as e:
        find_job(None, None, added, HERE)
    assert "convert.merge" not in str(e.value)
    merged = model_over(tmp_path / "base.pt", "s2t", lora_rank=2).state_dict()
    with pytest.raises(CheckpointError, match="convert.merge here.pt --out"):
        find_job(None, None, merged, HERE)


def test_a_job_has_its_own_nets():
    assert path_nets("s2t") == {"speech_encoder_prenet", "text_decoder_prenet", "text_decoder_postnet"}
    assert path_nets("t2s") == {"text_encoder_prenet", "speech_decoder_prenet", "speech_decoder_postnet"}


def test_missing_extra_and_resized_tensors_are_all_named(tmp_path):
    path = full_checkpoint(tmp_path / "ours.pt", "s2t")
    state = torch.load(path, weights_only=True)
    for name in [name for name in state["model"] if name.startswith("encoder.layers.1.")]:
        del state["model"][name]
    state["model"]["decoder.gate"] = torch.ones(2)
    state["model"]["ctc_head.projection.bias"] = torch.ones(2)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=f"^{path}: 18 tensors do not fit the options in it") as error:
        read(path)
    for name in ("encoder.layers.1.self_attn.k_proj.weight is missing", "layers.1.final_layer_norm.bias is missing"):
        assert error.match(name)
    assert error.match("decoder.gate is extra") and error.match("ctc_head.projection.bias has shape .2,., not .34,.")


def test_tables_that_are_not_one_are_refused(tmp_path):
    path = full_checkpoint(tmp_path / "ours.pt", "s2t")
    state = torch.load(path, weights_only=True)
    state["model"]["text_decoder_postnet.embedding.weight"] = torch.ones(34, 24)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="text_decoder_postnet.embedding.weight, text_decoder_.* are one table"):
        read(path)


def test_a_dictionary_is_held_against_the_checkpoint(tmp_path):
    model = read(full_checkpoint(tmp_path / "ours.pt", "s2t"))
    file = write_lines(tmp_path / "dict.txt", [f"{symbol} 1" for symbol in SYMBOLS])
    assert with_dictionary(model, file).symbols == model.symbols
    write_lines(file, [f"{symbol} 1" for symbol in reversed(SYMBOLS)])
    with pytest.raises(CheckpointError, match=f"^{file}: not the dictionary that .* holds; leave --dict out"):
        with_dictionary(model, file)
    write_lines(file, ["A 1"])
    with pytest.raises(CheckpointError, match=f"^{file}: 7 symbols, but 34 rows"):
        with_dictionary(model, file)
    with pytest.raises(ValueError, match="--dict .*: the job s2s has no dictionary"):
        with_dictionary(read(full_checkpoint(tmp_path / "s2s.pt", "s2s")), file)

"""Folders for `transformers` that are not written, and those that are not read: each says why."""

import json

import pytest
import torch
from conversions import exported, full_checkpoint
from helpers import speech_source, tiny_piece_model
from safetensors.torch import load_file, save_file
from transformers import SpeechT5Processor

from speecht5_fairseq.convert.formats import convert
from speecht5_fairseq.convert.huggingface_folder import OPTIONS_BESIDE, TENSORS_BESIDE
from speecht5_fairseq.models.errors import CheckpointError


@pytest.mark.parametrize(
    "job, options, message",
    [
        ("s2t", {"pre_norm": True, "extractor_norm": "layer"}, "--pre-norm .large.: .*--to released"),
        (
            "s2s",
            {"speech_prediction": "mask", "reduction_factor": 1},
            "--speech-prediction mask: transformers predicts",
        ),
        ("s2c", {}, "no SpeechT5 for the job s2c; it has s2t, t2s, s2s"),
        ("pretrain", {}, "for the job pretrain; choose by --job, of whose nets s2t, t2s, s2s"),
    ],
)
def test_what_they_have_not_is_refused(tmp_path, job, options, message):
    source = full_checkpoint(tmp_path / "ours.pt", job, **options)
    with pytest.raises(CheckpointError, match=f"^{source}: .*{message}"):
        convert(source, tmp_path / "hf", "hf", spm_model=tiny_piece_model(tmp_path / "spm.model"))
    assert not (tmp_path / "hf").exists()


def test_a_job_with_text_needs_its_sentencepiece_model(tmp_path):
    source = full_checkpoint(tmp_path / "ours.pt", "s2t")
    with pytest.raises(CheckpointError, match="needs the symbols and the sentencepiece model .*give --spm-model"):
        convert(source, tmp_path / "hf", "hf")


def test_waveforms_are_normalised_by_the_processor(tmp_path):
    folder, notes, _ = exported(tmp_path, "s2t", normalize_waveform=True)
    processor = SpeechT5Processor.from_pretrained(folder, local_files_only=True)
    heard = processor(audio=speech_source(5000)["waveform"][0].numpy(), sampling_rate=16_000, return_tensors="pt")
    assert heard["input_values"].std().item() == pytest.approx(1, abs=1e-3)
    assert "sqrt(variance + 1e-7)" in " ".join(notes)


def test_a_broken_folder_is_named(tmp_path):
    folder, _, _ = exported(tmp_path, "s2t")
    beside = json.loads((folder / OPTIONS_BESIDE).read_text())
    (folder / OPTIONS_BESIDE).write_text(json.dumps({**beside, "format": 2}))
    with pytest.raises(CheckpointError, match=f"{OPTIONS_BESIDE}: format 2, known here is 1"):
        convert(folder, tmp_path / "back" / "again.pt", "fairseq")
    (folder / OPTIONS_BESIDE).write_text(json.dumps(beside))
    with pytest.raises(CheckpointError, match="--job t2s: .* was made for s2t"):
        convert(folder, tmp_path / "back" / "again.pt", "fairseq", job="t2s")
    (folder / TENSORS_BESIDE).unlink()
    with pytest.raises(CheckpointError, match="2 tensors do not fit .*ctc_head.projection.weight is missing"):
        convert(folder, tmp_path / "back" / "again.pt", "fairseq")
    tensors = load_file(folder / "model.safetensors")
    del tensors["speecht5.encoder.wrapped_encoder.layer_norm.bias"]
    tensors["speecht5.encoder.prenet.masked_spec_embed"] = torch.ones(3)
    tensors["speecht5.more"] = torch.ones(3)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="3 tensors do not fit config.json") as error:
        convert(folder, tmp_path / "back" / "again.pt", "fairseq")
    for problem in (
        "layer_norm.bias is missing",
        "speecht5.more is extra",
        "masked_spec_embed has shape .3,., not .24,.",
    ):
        assert error.match(problem)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"digest": None, "units": None, "options": None}, "lacks options, units, digest; copy the file again"),
        ({"units": 3}, "units is 3, wanted is a list, in each place a text"),
        ({"unit_source": 3}, "unit_source is 3, wanted is values by name"),
        ({"history": [1]}, "history is .1., wanted is a list, in each place values by name"),
        ({"criterion": 3}, "criterion is 3, wanted is values by name"),
        ({"job": "x"}, "job is 'x', known here are pretrain"),
        ({"options": {"_name": "speecht5", "embed_dim": "x"}}, "embed_dim is 'x', wanted is a whole number"),
        ({"options": {"_name": "speecht5", "embed_dim": -1}}, "no model has the options in it"),
    ],
)
def test_our_options_beside_are_held_against_their_kinds(tmp_path, change, said):
    folder, _, _ = exported(tmp_path, "s2t")
    beside = json.loads((folder / OPTIONS_BESIDE).read_text()) | change
    beside = {name: value for name, value in beside.items() if value is not None}
    (folder / OPTIONS_BESIDE).write_text(json.dumps({"criterion": None} | beside))
    with pytest.raises(CheckpointError, match=f"^{folder}.*{said}"):
        convert(folder, tmp_path / "back" / "again.pt", "fairseq")

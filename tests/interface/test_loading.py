"""Which model a folder of `transformers` is."""

import numpy as np
import pytest
import torch
from checkpoints import tiny_checkpoint
from conversions import full_checkpoint
from helpers import speech_source, tiny_model, tiny_piece_model
from safetensors.torch import load_file, save_file

from speecht5_fairseq.convert.formats import convert
from speecht5_fairseq.interface import SpeechT5
from speecht5_fairseq.interface.loading import load_hearing
from speecht5_fairseq.models.errors import CheckpointError


@pytest.mark.parametrize("job", ["s2t", "t2s", "s2s"])
def test_a_pre_trained_model_is_of_the_job_that_it_was_made_for_there(tmp_path, job):
    spm = tiny_piece_model(tmp_path / "spm.model")
    convert(full_checkpoint(tmp_path / "ours.pt", "pretrain"), tmp_path / "hf", "hf", job=job, spm_model=spm)
    model = SpeechT5.from_pretrained(tmp_path / "hf", device="cpu")
    assert model.job == job
    if job == "s2t":
        assert isinstance(model.transcribe(np.zeros(8000, dtype=np.float32)).text, str)


def test_what_a_folder_of_transformers_is_not_any_more_is_warned_of(tmp_path, caplog):
    """Its CTC head is not of the encoder that was trained further there."""
    spm = tiny_piece_model(tmp_path / "spm.model")
    convert(tiny_checkpoint(tmp_path / "ours.pt", "s2t"), tmp_path / "hf", "hf", spm_model=spm)
    assert SpeechT5.from_pretrained(tmp_path / "hf", device="cpu").loaded.source.ctc_weight == 0.5
    assert not caplog.records
    tensors = load_file(tmp_path / "hf" / "model.safetensors")
    tensors["speecht5.encoder.wrapped_encoder.layer_norm.bias"] += 1
    save_file(tensors, tmp_path / "hf" / "model.safetensors", metadata={"format": "pt"})
    assert SpeechT5.from_pretrained(tmp_path / "hf", device="cpu").loaded.source.ctc_weight == 0
    assert "has changed since it was written here; as they were then: ctc_head" in caplog.text


@pytest.mark.parametrize("job", ["pretrain", "pretrain_speech", "s2t", "s2s", "s2c"])
def test_what_hears_alone_needs_neither_decoder_nor_dictionary(job, tmp_path):
    state = torch.load(tiny_checkpoint(tmp_path / "whole.pt", job, seed=4))
    for name in ("vocabulary.symbols", "classes.symbols"):
        state["model"].pop(name, None)
    torch.save(state, tmp_path / "nameless.pt")
    expected = tiny_model(job, seed=4).eval().encode(**speech_source(3000, 8000)).states
    model = load_hearing(tmp_path / "nameless.pt", device="cpu")
    assert model.decoder is None and not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert (model.encode(**speech_source(3000, 8000)).states - expected).abs().max() < 1e-5


def test_a_folder_of_transformers_hears_as_well(tmp_path):
    spm = tiny_piece_model(tmp_path / "spm.model")
    convert(full_checkpoint(tmp_path / "ours.pt", "s2t"), tmp_path / "hf", "hf", spm_model=spm)
    expected, found = (
        load_hearing(tmp_path / name, device="cpu").encode(**speech_source(3000, 8000), layer=1).states
        for name in ("ours.pt", "hf")
    )
    assert (found - expected).abs().max() < 1e-5


def test_a_voice_hears_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="voice.pt: a model of t2s hears no speech; give one of another job"):
        load_hearing(tiny_checkpoint(tmp_path / "voice.pt", "t2s"), device="cpu")

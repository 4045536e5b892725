"""Voices by name, and of recordings."""

import numpy as np
import pytest
import torch
from checkpoints import tiny_checkpoint

from speecht5_fairseq.data.errors import AudioError
from speecht5_fairseq.interface import SpeechT5
from speecht5_fairseq.web.voices import check_speaker_model, read_voices, voice_of


def test_files_and_folders_by_their_stems(folder):
    found = read_voices([folder / "voices"])
    assert list(found) == ["anna", "ben"] and found["ben"].shape == (512,)
    assert list(read_voices([folder / "voices" / "ben.npy"])) == ["ben"]


def test_what_is_no_voice(folder, tmp_path):
    with pytest.raises(ValueError, match=r"--voices .*: holds no \.npy file"):
        read_voices([tmp_path])
    with pytest.raises(ValueError, match="a second voice named anna; rename one"):
        read_voices([folder / "voices", folder / "voices" / "anna.npy"])
    np.save(tmp_path / "short.npy", np.ones(3, dtype=np.float32))
    with pytest.raises(AudioError, match=r"short\.npy: a speaker vector of shape \(3,\)"):
        read_voices([tmp_path])


def test_the_voice_of_a_recording_has_length_one_and_zeros_after_it(folder):
    model, wave = SpeechT5.from_pretrained(folder / "sid.pt", device="cpu"), 0.1 * torch.randn(9000)
    found, embedding = voice_of(model, wave), model.embed(wave)
    assert found.shape == (512,) and found.dtype == np.float32 and not found[24:].any()
    assert np.allclose(found[:24] * np.linalg.norm(embedding), embedding, atol=1e-5)


def test_a_speaker_model_of_another_job_or_too_wide(folder, tmp_path):
    with pytest.raises(ValueError, match="a checkpoint of s2t, and embed needs one of s2c"):
        check_speaker_model(SpeechT5.from_pretrained(folder / "asr.pt", device="cpu"))
    wide = tiny_checkpoint(tmp_path / "wide.pt", "s2c", speaker_embedding_dim=513)
    with pytest.raises(ValueError, match="have 513 numbers, and a voice has 512; .*--speaker-embedding-dim 512"):
        check_speaker_model(SpeechT5.from_pretrained(wide, device="cpu"))

"""The log-mel, against librosa."""

import librosa
import numpy as np
import pytest
import torch

from speecht5_fairseq.data.mel import log_mel


def librosa_mel(wave):
    spectrum = np.abs(librosa.stft(wave, n_fft=1024, hop_length=256, pad_mode="reflect"))
    filters = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=80, fmin=80, fmax=7600)
    return np.log10(np.maximum(1e-10, filters @ spectrum)).T


def signal(kind, length):
    seconds = np.arange(length) / 16000
    return {
        "noise": 0.1 * np.random.default_rng(0).standard_normal(length),
        "tone": 0.9 * np.sin(2 * np.pi * 440 * seconds),
        "silence": np.zeros(length),
    }[kind].astype(np.float32)


@pytest.mark.filterwarnings("ignore:n_fft=:UserWarning")
@pytest.mark.parametrize("kind", ["noise", "tone", "silence"])
@pytest.mark.parametrize("length", [1, 2, 3, 255, 256, 511, 512, 513, 1024, 16000, 16001])
def test_mel_is_librosas(kind, length):
    wave = signal(kind, length)
    ours, theirs = log_mel(torch.from_numpy(wave)).numpy(), librosa_mel(wave)
    assert ours.shape == theirs.shape == (1 + length // 256, 80) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_batched_mel_is_that_of_each_alone():
    lengths = torch.tensor([30000, 12345, 400, 1])
    waves = 0.1 * torch.randn(4, 30000, generator=torch.Generator().manual_seed(0))
    batch, frames = log_mel(waves, lengths)
    assert frames.tolist() == [118, 49, 2, 1] and batch.shape == (4, 118, 80)
    for row, length, mel, count in zip(waves, lengths, batch, frames, strict=True):
        torch.testing.assert_close(mel[:count], log_mel(row[:length]), rtol=0, atol=1e-6)
        assert not mel[count:].any()


def test_mel_refuses_nothing_and_unknown_lengths():
    with pytest.raises(ValueError, match="at least one sample"):
        log_mel(torch.zeros(0))
    with pytest.raises(ValueError, match="needs lengths"):
        log_mel(torch.zeros(2, 1000))

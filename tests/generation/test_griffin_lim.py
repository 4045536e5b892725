"""Griffin-Lim from mels: how close it comes, its level, its length, and what it refuses."""

import math

import pytest
import torch

from speecht5_fairseq.constants import MEL_HOP, SAMPLE_RATE
from speecht5_fairseq.data.mel import log_mel, mel_tables
from speecht5_fairseq.generation.griffin_lim import GriffinLim, nonnegative_magnitudes
from speecht5_fairseq.generation.vocoder_checks import VocoderError

CPU = torch.device("cpu")


def voice(seconds: float = 1.0, pitch: float = 120.0, level: float = 0.3) -> torch.Tensor:
    """Something like a vowel that glides: harmonics under moving formants, and a little noise."""
    time = torch.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * math.pi * torch.cumsum(pitch * (1 + 0.1 * torch.sin(2 * math.pi * 3 * time)), 0) / SAMPLE_RATE
    wave = torch.zeros_like(time)
    for harmonic in range(1, 40):
        for centre, width in ((500 + 200 * time, 150), (1500 - 300 * time, 250), (2500 + 0 * time, 400)):
            wave += torch.exp(-(((harmonic * pitch - centre) / width) ** 2)) * torch.sin(harmonic * phase)
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    return level * (wave / wave.abs().max() + 0.01 * noise)


def distance(wave: torch.Tensor, mel: torch.Tensor) -> float:
    return (log_mel(wave)[: len(mel)] - mel).abs().mean().item()


def test_the_copy_has_the_mel_and_the_level():
    wave = voice()
    mel = log_mel(wave)
    copy = GriffinLim()(mel)
    assert copy.dtype == torch.float32 and copy.shape == (len(mel) * MEL_HOP,)
    assert distance(copy, mel) < 0.12
    energies = copy[: len(wave)].square().mean(), wave.square().mean()
    assert abs(10 * math.log10(energies[0] / energies[1])) < 1  # dB


def test_more_iterations_come_closer():
    mel = log_mel(voice())
    assert distance(GriffinLim(iterations=60)(mel), mel) < distance(GriffinLim(iterations=2)(mel), mel)


def test_the_fit_has_the_mel_and_beats_the_clamped_pseudo_inverse():
    mel = 10 ** log_mel(voice())
    filters = mel_tables(CPU)[0].float()
    errors = []
    for magnitudes in (nonnegative_magnitudes(mel), (mel @ torch.linalg.pinv(filters)).clamp(min=0)):
        assert magnitudes.shape == (len(mel), 513) and magnitudes.min() >= 0
        errors.append(((magnitudes @ filters).clamp(min=1e-10).log10() - mel.log10()).abs().mean().item())
    assert errors[0] < 1e-3 < errors[1]


def test_the_same_mel_gives_the_same_waveform_and_no_random_number_is_drawn():
    mel = log_mel(voice(0.3))
    state = torch.get_rng_state()
    vocoder = GriffinLim(iterations=8)
    first = vocoder(mel)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(vocoder(mel), first)
    assert torch.equal(GriffinLim(iterations=8).to("cpu")(mel.double()), first)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5])
def test_short_mels(frames):
    wave = GriffinLim(iterations=4)(log_mel(voice())[20 : 20 + frames])
    assert wave.shape == (frames * MEL_HOP,) and torch.isfinite(wave).all() and wave.abs().max() > 0.01


def test_silence_is_silent_and_too_loud_a_mel_stays_within_one():
    assert GriffinLim(iterations=4)(torch.full((10, 80), -10.0)).abs().max() < 1e-6
    mel = log_mel(voice())
    loud, normal = GriffinLim(iterations=4)(mel + 2), GriffinLim(iterations=4)(mel)
    assert loud.abs().max() == pytest.approx(1)
    difference = (loud - normal / normal.abs().max()).abs().max()
    assert difference < 0.01  # softer as a whole, not clipped


def test_training_still_differentiates_the_mel_afterwards():
    """The tables that both share must not be made under inference mode."""
    mel_tables.cache_clear()
    GriffinLim(iterations=1)(torch.zeros(3, 80))
    wave = voice(0.1).requires_grad_()
    log_mel(wave).sum().backward()
    assert wave.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("mel", "message"),
    [
        (torch.zeros(2, 10, 80), r"shape \(2, 10, 80\).*one utterance of shape \(frames, 80\)"),
        (torch.zeros(0, 80), r"shape \(0, 80\)"),
        (torch.zeros(80, 12), r"shape \(80, 12\)"),
        (torch.tensor([[0.0] * 80, [math.nan] * 80]), "frame 1 of the mel holds NaN"),
        (torch.full((5, 80), 40.0), "reaches 40.0.*log10 magnitudes"),
    ],
    ids=["batch", "empty", "transposed", "nan", "decibels"],
)
def test_other_mels_are_refused(mel, message):
    with pytest.raises(VocoderError, match=message):
        GriffinLim(iterations=1)(mel)

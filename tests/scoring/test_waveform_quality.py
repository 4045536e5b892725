"""STOI, PESQ and SI-SDR: known values, and that they move as they should."""

import math

import numpy as np
import pytest

from speecht5_fairseq.constants import MEL_HOP
from speecht5_fairseq.scoring.errors import ScoreError
from speecht5_fairseq.scoring.waveform_quality import (
    MAX_SI_SDR,
    intelligibility_index,
    perceptual_quality,
    scale_invariant_sdr,
    trim_pair,
)


@pytest.mark.parametrize("more", [0, 1, -MEL_HOP, MEL_HOP])
def test_a_hop_is_cut(more):
    reference, generated = trim_pair(np.arange(1000), np.arange(1000 + more))
    np.testing.assert_array_equal(reference, generated)
    assert len(reference) == min(1000, 1000 + more)


@pytest.mark.parametrize("more", [MEL_HOP + 1, -MEL_HOP - 1])
def test_more_than_a_hop_is_refused(more):
    with pytest.raises(ScoreError, match=f"{1000 + more} samples against the reference's 1000.*mcd, mel_l1_dtw"):
        trim_pair(np.zeros(1000), np.zeros(1000 + more))


def test_si_sdr_is_the_formula():
    generator = np.random.default_rng(0)
    reference, generated = generator.standard_normal(500), generator.standard_normal(500)
    centred, other = reference - reference.mean(), generated - generated.mean()
    target = sum(centred * other) / sum(centred**2) * centred
    expected = 10 * math.log10(sum(target**2) / sum((other - target) ** 2))
    assert scale_invariant_sdr(reference, generated) == pytest.approx(expected, rel=1e-10)


def test_si_sdr_knows_neither_scale_nor_offset(speech, noisy):
    score = scale_invariant_sdr(speech, noisy(10))
    assert score == pytest.approx(10.0, abs=0.3)
    assert scale_invariant_sdr(3.0 * speech.astype(np.float64), 0.1 * noisy(10).astype(np.float64) + 0.2) == (
        pytest.approx(score, abs=1e-6)
    )


def test_si_sdr_of_equal_waveforms_is_limited(speech):
    assert scale_invariant_sdr(speech, speech) == MAX_SI_SDR
    assert scale_invariant_sdr(speech, -speech) == MAX_SI_SDR


@pytest.mark.parametrize("extended", [False, True])
def test_stoi(speech, noisy, extended):
    pytest.importorskip("pystoi")
    assert intelligibility_index(speech, speech, extended=extended) == pytest.approx(1.0, abs=1e-3)
    scores = [intelligibility_index(speech, noisy(ratio), extended=extended) for ratio in (-10, 0, 10, 20)]
    assert scores == sorted(scores) and scores[-1] - scores[0] > 0.2


def test_extended_stoi_repeats_itself_and_leaves_numpys_generator_alone(speech):
    pytest.importorskip("pystoi")
    gaps = speech * (np.arange(len(speech)) % 8000 < 4000)
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    assert intelligibility_index(speech, gaps, extended=True) == intelligibility_index(speech, gaps, extended=True)
    assert np.random.random() == expected


def test_pesq(speech, noisy):
    pytest.importorskip("pesq")
    assert perceptual_quality(speech, speech) == pytest.approx(4.644, abs=1e-3)
    scores = [perceptual_quality(speech, noisy(ratio)) for ratio in (0, 15, 30, 45)]
    assert scores == sorted(scores) and scores[-1] - scores[0] > 0.5


@pytest.mark.parametrize(("package", "score"), [("pystoi", intelligibility_index), ("pesq", perceptual_quality)])
@pytest.mark.parametrize("samples", [100, 1000, 3000])
def test_too_short(package, score, samples, speech):
    pytest.importorskip(package)
    with pytest.raises(ScoreError, match="0.4 s|1/4 of a second"):
        score(speech[2000 : 2000 + samples], speech[2000 : 2000 + samples])


def test_no_utterance_for_pesq():
    pytest.importorskip("pesq")
    noise = 0.1 * np.random.default_rng(0).standard_normal(32000)
    click = np.where(np.arange(32000) < 31000, 0.0, noise)
    with pytest.raises(ScoreError, match="NoUtterancesError: No utterances detected"):
        perceptual_quality(click, noise)


@pytest.mark.parametrize(
    ("package", "score"),
    [("pystoi", intelligibility_index), ("pesq", perceptual_quality), ("numpy", scale_invariant_sdr)],
)
def test_silence_and_other_lengths(package, score, speech):
    pytest.importorskip(package)
    silence = np.zeros_like(speech)
    with pytest.raises(ScoreError, match="reference is silent"):
        score(silence, speech)
    with pytest.raises(ScoreError, match="generated recording is silent"):
        score(speech, silence)
    with pytest.raises(ScoreError, match="trim"):
        score(speech, speech[:-1])


def test_constant_waveforms_have_no_si_sdr(speech):
    with pytest.raises(ScoreError, match="constant"):
        scale_invariant_sdr(np.ones(100), speech[:100])

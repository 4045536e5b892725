"""Mel-cepstral distortion and log-mel L1 against direct computations."""

import math

import numpy as np
import pytest

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.scoring.errors import ScoreError
from speecht5_fairseq.scoring.mel_distortion import (
    CEPSTRUM_ORDER,
    FREQUENCY_WARPING,
    envelope_cepstra,
    log_mel_l1,
    log_mel_l1_warped,
    mel_cepstra,
    mel_cepstral_distortion,
)


def log_amplitudes(frequencies, frames=3, seed=0):
    """Smooth log amplitude envelopes (frames, F): eight cosines of the frequencies (radians)."""
    order = np.arange(8)
    cepstra = np.random.default_rng(seed).standard_normal((frames, 8)) / (1 + order)
    return cepstra @ np.cos(order[:, None] * frequencies)


def power_envelopes(**options):
    """The same as WORLD gives them: power (frames, 513) from 0 to the Nyquist frequency."""
    return np.exp(2 * log_amplitudes(np.linspace(0, np.pi, 513), **options))


def warped_axis(points=4000):
    """Equidistant midpoints on the warped axis, and the plain frequency (radians) of each.

    The all-pass with constant alpha takes a frequency to its phase; here that is inverted by interpolation.
    """
    alpha, fine = FREQUENCY_WARPING, np.linspace(0, np.pi, 200_001)
    warped = fine + 2 * np.arctan(alpha * np.sin(fine) / (1 - alpha * np.cos(fine)))
    middles = (np.arange(points) + 0.5) * np.pi / points
    return middles, np.interp(middles, warped, fine)


def integrated_cepstra(**options):
    """Mel-cepstra by their definition, cosine coefficients over the warped axis: integrated, no recursion."""
    middles, plain = warped_axis()
    cosines = np.cos(middles[:, None] * np.arange(CEPSTRUM_ORDER + 1))
    coefficients = 2 * log_amplitudes(plain, **options) @ cosines / len(middles)
    coefficients[:, 0] /= 2
    return coefficients


def slow_distortion(reference, generated):
    """MCD by its formula, with time warping by the textbook recursion over single cells."""
    rows, columns = len(reference), len(generated)
    distance = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            total = sum((reference[i][m] - generated[j][m]) ** 2 for m in range(1, 25))
            distance[i, j] = 10 / math.log(10) * math.sqrt(2 * total)
    best = {}  # cell -> (cost, cells so far)
    for i in range(rows):
        for j in range(columns):
            before = [best[cell] for cell in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if cell in best]
            cost, cells = min(before) if before else (0.0, 0)
            best[i, j] = (cost + distance[i, j], cells + 1)
    cost, cells = best[rows - 1, columns - 1]
    return cost / cells


def test_cepstra_of_envelopes_are_the_cosine_coefficients_on_the_warped_axis():
    np.testing.assert_allclose(envelope_cepstra(power_envelopes()), integrated_cepstra(), atol=1e-8)


def test_pysptk_gives_the_same_cepstra():
    pysptk = pytest.importorskip("pysptk")
    power = power_envelopes()
    expected = pysptk.sp2mc(power, order=CEPSTRUM_ORDER, alpha=FREQUENCY_WARPING)
    np.testing.assert_allclose(envelope_cepstra(power), expected, atol=1e-8)


def test_distortion_by_the_formula():
    generator = np.random.default_rng(0)
    for rows, columns in ((1, 1), (5, 8), (9, 4)):
        reference, generated = generator.standard_normal((rows, 25)), generator.standard_normal((columns, 25))
        expected = slow_distortion(reference, generated)
        assert mel_cepstral_distortion(reference, generated) == pytest.approx(expected, rel=1e-12)


def test_distortion_is_the_difference_of_the_envelopes_in_decibels():
    """Of one frame: the root mean square over the warped axis; order 24 holds all of these envelopes' shape."""
    _, plain = warped_axis()
    first, second = (log_amplitudes(plain, frames=1, seed=seed)[0] for seed in (1, 2))
    difference = 20 * (first - second) / math.log(10)  # log amplitude -> dB
    expected = np.sqrt(((difference - difference.mean()) ** 2).mean())
    cepstra = [envelope_cepstra(power_envelopes(frames=1, seed=seed)) for seed in (1, 2)]
    assert mel_cepstral_distortion(*cepstra) == pytest.approx(expected, rel=1e-2)


def test_the_level_does_not_count():
    cepstra = np.random.default_rng(0).standard_normal((7, 25))
    louder = cepstra + np.eye(25)[0]
    assert mel_cepstral_distortion(cepstra, louder) == 0.0


def test_recordings_in_world(speech, noisy):
    pytest.importorskip("pyworld")
    wave = speech[: SAMPLE_RATE // 2]
    clean, quiet = mel_cepstra(wave), mel_cepstra(wave / 4)
    assert clean.shape == (101, 25)
    np.testing.assert_array_equal(clean, mel_cepstra(wave))
    assert mel_cepstral_distortion(clean, quiet) < 0.05
    near, far = (mel_cepstral_distortion(clean, mel_cepstra(noisy(ratio)[: len(wave)])) for ratio in (30, 5))
    assert 0.5 < near < far < 40


def test_silence_has_no_cepstra():
    with pytest.raises(ScoreError, match="silent"):
        mel_cepstra(np.zeros(1000, np.float32))


def test_log_mel_l1():
    reference = np.zeros((3, 80), np.float32)
    generated = np.full((3, 80), 0.25, np.float32)
    generated[1] = -0.5
    assert log_mel_l1(reference, generated) == pytest.approx(1 / 3)
    with pytest.raises(ScoreError, match="mel_l1_dtw"):
        log_mel_l1(reference, generated[:2])


def test_log_mel_l1_over_the_path_follows_a_slower_voice():
    reference = np.random.default_rng(0).standard_normal((5, 80)).astype(np.float32)
    assert log_mel_l1_warped(reference, reference.repeat(2, axis=0)) == 0.0
    assert log_mel_l1_warped(reference, reference + 0.125) == pytest.approx(0.125, rel=1e-5)

"""Spectral distance of speech to a reference: mel-cepstral distortion and log-mel L1.

Legend: S samples at 16 kHz, N mel or WORLD frames, M mel bins, C mel-cepstral coefficients.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ..constants import SAMPLE_RATE
from .errors import ScoreError
from .optional import optional_module
from .time_warping import frame_distances, mean_absolute_distances, warp

CEPSTRUM_ORDER = 24  # coefficients after c0
FREQUENCY_WARPING = 0.42  # all-pass constant whose phase comes nearest to the mel scale at 16 kHz (SPTK's mgcep)
FRAME_PERIOD_MS = 5.0  # of the spectral envelopes
DECIBELS = 10.0 / math.log(10.0) * math.sqrt(2.0)  # 6.142: cepstral distance -> dB


def mel_cepstra(wave: np.ndarray) -> np.ndarray:
    """Mel-cepstra of WORLD's spectral envelopes, one every 5 ms.

    F0 by Harvest, envelopes by CheapTrick (Morise et al. 2016), both with their default options; then the real
    cepstrum of each log envelope, warped with alpha 0.42 to order 24, as SPTK's freqt and pysptk's sp2mc do.

    Args:
        wave: (S,) in [-1, 1], 16 kHz.

    Returns:
        float64 (N, 25): c0 (the level) to c24 of the log amplitude envelope, log|H(w)| = sum c_m cos(m w~).

    Raises:
        ImportError: pyworld is not installed.
        ScoreError: no samples, or digital silence.
    """
    if not np.any(wave):
        raise ScoreError("the recording is silent (all samples are 0)")
    pyworld = optional_module("pyworld")
    samples = np.ascontiguousarray(wave, dtype=np.float64)
    f0, times = pyworld.harvest(samples, SAMPLE_RATE, frame_period=FRAME_PERIOD_MS)
    return envelope_cepstra(pyworld.cheaptrick(samples, f0, times, SAMPLE_RATE))


def envelope_cepstra(power: np.ndarray) -> np.ndarray:
    """Mel-cepstra (N, 25) of power spectral envelopes (N, F) at F frequencies from 0 to the Nyquist frequency."""
    cepstrum = np.fft.irfft(np.log(power), axis=1)[:, : power.shape[1]]
    cepstrum[:, 0] /= 2  # the other coefficients stand twice in the even cepstrum: these are of the log amplitude
    return cepstrum @ _warping_matrix(power.shape[1]).T


@lru_cache(maxsize=2)
def _warping_matrix(size: int) -> np.ndarray:
    """Cepstrum of `size` coefficients -> mel-cepstrum: float64 (25, size).

    With w for the warped delay, the plain delay is p(w) = (w + alpha) / (1 + alpha w) (Oppenheim and Johnson 1972).
    Column n holds the power series of p(w)^n; it follows from p^n (1 + alpha w) = p^(n-1) (w + alpha).
    """
    matrix = np.zeros((CEPSTRUM_ORDER + 1, size))
    matrix[0] = FREQUENCY_WARPING ** np.arange(size)
    for n in range(1, size):
        for m in range(1, CEPSTRUM_ORDER + 1):
            matrix[m, n] = matrix[m - 1, n - 1] + FREQUENCY_WARPING * (matrix[m, n - 1] - matrix[m - 1, n])
    return matrix


def mel_cepstral_distortion(reference: np.ndarray, generated: np.ndarray) -> float:
    """Mel-cepstral distortion in dB of two sequences of mel-cepstra, aligned by dynamic time warping.

    The mean, over the cells of the warping path, of 10 / ln 10 * sqrt(2 * sum over m = 1..24 of (c_m - c'_m)^2)
    (Kubichek 1993; Toda et al. 2007). c0 is left out, so the loudness of a recording does not matter; the path is the
    one with the least sum of the same distances; pauses count like speech. For one pair of frames it is the root mean
    square, over the warped frequencies, of the difference in dB between two envelopes of equal mean level. Numbers can
    be compared only where the analysis (see `mel_cepstra`) and the alignment are the same.

    Args:
        reference, generated: (N, 25) and (N', 25) by `mel_cepstra`.
    """
    distances = frame_distances(reference[:, 1:], generated[:, 1:])
    return DECIBELS * float(warp(distances).distances.mean())


def log_mel_l1(reference: np.ndarray, generated: np.ndarray) -> float:
    """Mean absolute difference, in log10 magnitude, of two log-mels (N, M) whose frames are of the same instants.

    Raises:
        ScoreError: different numbers of frames.
    """
    if reference.shape != generated.shape:
        raise ScoreError(
            f"log-mels of shapes {reference.shape} and {generated.shape}: trim them to the same frames, or use "
            "mel_l1_dtw"
        )
    return float(np.abs(reference.astype(np.float64) - generated).mean())


def log_mel_l1_warped(reference: np.ndarray, generated: np.ndarray) -> float:
    """Mean absolute difference, in log10 magnitude, of (N, M) and (N', M) over the path that makes its sum least."""
    return float(warp(mean_absolute_distances(reference, generated)).distances.mean())

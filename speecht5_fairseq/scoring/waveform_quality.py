"""Scores of a waveform against the clean one, sample by sample: STOI, extended STOI, PESQ and SI-SDR.

Both are (S,) at 16 kHz, of the same length and without a delay between them (PESQ alone finds delays itself).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..constants import MEL_HOP, SAMPLE_RATE
from .errors import ScoreError
from .optional import optional_module

MAX_SI_SDR = 100.0  # dB; 16-bit samples hold 98 dB. Without a limit, one equal pair makes a mean infinite


def trim_pair(reference: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut both waveforms to the shorter length: a vocoder gives whole mel hops, so its output is up to one hop longer.

    Raises:
        ScoreError: the lengths differ by more than a hop, so the samples cannot be of the same instants.
    """
    difference = len(generated) - len(reference)
    if abs(difference) > MEL_HOP:
        raise ScoreError(
            f"{len(generated)} samples against the reference's {len(reference)} at {SAMPLE_RATE} Hz: this metric "
            f"compares sample by sample and allows {MEL_HOP} samples of difference; use time-aligned recordings, or "
            "metrics that align them (mcd, mel_l1_dtw)"
        )
    length = min(len(reference), len(generated))
    return reference[:length], generated[:length]


def intelligibility_index(reference: np.ndarray, generated: np.ndarray, *, extended: bool = False) -> float:
    """Short-time objective intelligibility: nearly 1 for equal waveforms, about 0 for unrelated ones.

    Source: Taal et al. 2011; `extended`: Jensen and Taal 2016, for noise whose level changes. By pystoi.

    Raises:
        ImportError: pystoi is not installed.
        ScoreError: different lengths, silence, or less than 30 frames (0.4 s) of speech in the reference.
    """
    pystoi = optional_module("pystoi")
    pair = _checked(reference, generated)
    with warnings.catch_warnings(), _fixed_numpy_draws():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi warns of too little speech, and returns 0.00001
        try:
            return float(pystoi.stoi(*pair, SAMPLE_RATE, extended=extended))
        except (RuntimeWarning, ValueError, IndexError) as error:
            raise ScoreError(f"too little speech in the reference for STOI: it takes 0.4 s ({error})") from error


def perceptual_quality(reference: np.ndarray, generated: np.ndarray) -> float:
    """Wide-band PESQ (ITU-T P.862.2), a predicted opinion score from 1.04 to 4.64. By the package pesq.

    Raises:
        ImportError: pesq is not installed.
        ScoreError: different lengths, silence, less than 0.25 s, or no speech found.
    """
    pesq = optional_module("pesq")
    pair = _checked(reference, generated)
    try:
        return float(pesq.pesq(SAMPLE_RATE, *pair, "wb"))
    except pesq.PesqError as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode() if isinstance(reason, bytes) else reason
        raise ScoreError(f"PESQ cannot judge the pair: {type(error).__name__}: {reason}") from error


def scale_invariant_sdr(reference: np.ndarray, generated: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, at most 100.

    10 log10(|a r|^2 / |a r - g|^2), where a r is the projection of g on r; both means are taken off first (Le Roux et
    al. 2019, who assume them zero). Computed in float64.

    Raises:
        ScoreError: different lengths, or silence.
    """
    reference, generated = (wave - wave.mean() for wave in _checked(reference, generated))
    energy = float(reference @ reference)
    if energy == 0.0 or not generated.any():
        raise ScoreError("a waveform that is constant has no signal-to-distortion ratio")
    target = reference * float(generated @ reference) / energy
    noise = generated - target
    signal_energy, noise_energy = float(target @ target), float(noise @ noise)
    if signal_energy == 0.0:
        raise ScoreError("the generated waveform holds nothing of the reference: SI-SDR is minus infinity")
    floor = signal_energy * 10.0 ** (-MAX_SI_SDR / 10.0)
    return 10.0 * math.log10(signal_energy / max(noise_energy, floor))


def _checked(reference: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64. Raises ScoreError for different lengths or digital silence."""
    if len(reference) != len(generated):
        raise ScoreError(f"{len(generated)} samples against the reference's {len(reference)}: trim them first")
    for name, wave in (("reference", reference), ("generated recording", generated)):
        if not np.any(wave):
            raise ScoreError(f"the {name} is silent (all samples are 0)")
    return np.asarray(reference, dtype=np.float64), np.asarray(generated, dtype=np.float64)


@contextmanager
def _fixed_numpy_draws() -> Iterator[None]:
    """pystoi's extended measure adds tiny noise from numpy's global generator, which decides in digital silence."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)

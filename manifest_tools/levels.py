"""Levels of speech and noise, and their sum at a given signal-to-noise ratio."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FRAME = 400  # samples of a level frame (25 ms)
ACTIVE_RANGE_DB = 40.0  # frames this far below the loudest, or more, are pauses
SILENT_POWER = 1e-8  # -80 dB of full scale: nothing that can be scaled to a level
PEAK = 0.99  # of full scale, the highest sample of a mixture


class Mixture(NamedTuple):
    """Speech with noise."""

    noisy: np.ndarray  # float32 (S,)
    clean: np.ndarray  # the speech in it, at its level there
    gain: float  # by which both were turned down to avoid clipping; 1 for most


def active_power(wave: np.ndarray) -> float:
    """Mean power of the 25 ms frames of (S,) within 40 dB of the loudest: the pauses of speech do not count."""
    if len(wave) < FRAME:
        return float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
    frames = np.square(wave[: len(wave) // FRAME * FRAME], dtype=np.float64).reshape(-1, FRAME).mean(axis=1)
    return float(frames[frames >= frames.max() * 10 ** (-ACTIVE_RANGE_DB / 10)].mean())


def mix(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> Mixture:
    """Add noise to speech, both (S,), so that active speech is `snr_db` above the noise's mean power.

    Where the sum would clip, sum and speech are turned down alike. Raises ValueError where one is silent or no sound.
    """
    for what, wave in (("recording", speech), ("noise", noise)):
        if not np.isfinite(wave).all():
            raise ValueError(f"the {what} holds NaN or infinity")
    power = active_power(speech)
    noise_power = float(np.mean(np.square(noise, dtype=np.float64)))
    if power < SILENT_POWER or noise_power < SILENT_POWER:
        raise ValueError(f"the {'recording' if power < SILENT_POWER else 'noise'} is silent")
    noisy = speech + noise * np.float32(np.sqrt(power / noise_power * 10 ** (-snr_db / 10)))
    gain = min(1.0, PEAK / float(np.abs(noisy).max()))
    return Mixture(noisy * np.float32(gain), speech * np.float32(gain), gain)

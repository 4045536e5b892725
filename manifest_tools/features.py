"""MFCC at the encoder's frame rate: what the first speech units are clustered from."""

from __future__ import annotations

import numpy as np
import torch
import torchaudio

from speecht5_fairseq.constants import ENCODER_STRIDE, ENCODER_WINDOW, SAMPLE_RATE

MFCC_COEFFICIENTS = 13
MFCC_DIM = 3 * MFCC_COEFFICIENTS  # with first and second differences
DELTA_FRAMES = 5  # frames a difference is fitted over
_INT16_SCALE = 32768.0  # Kaldi's features are those of 16-bit integers; its floor on silence depends on it


def mfcc(wave: np.ndarray) -> np.ndarray:
    """(S,) 16 kHz waveform -> (T, 39) float32: 13 MFCC, their first and second differences, T = (S - 400) // 320 + 1.

    Windows are Kaldi's (25 ms, snipped at the ends), one every 20 ms, so that frame t covers exactly what encoder
    frame t sees. The mean of the utterance is taken off the 13 coefficients: clusters then tell sounds apart, not
    microphones. No dither, so that the same audio always gives the same units.
    Raises ValueError for fewer than 400 samples.
    """
    if len(wave) < ENCODER_WINDOW:
        raise ValueError(f"{len(wave)} samples make no frame; {ENCODER_WINDOW} make the first")
    static = torchaudio.compliance.kaldi.mfcc(
        torch.from_numpy(np.asarray(wave, dtype=np.float32))[None] * _INT16_SCALE,
        sample_frequency=SAMPLE_RATE,
        frame_length=1000 * ENCODER_WINDOW / SAMPLE_RATE,  # milliseconds
        frame_shift=1000 * ENCODER_STRIDE / SAMPLE_RATE,
        num_ceps=MFCC_COEFFICIENTS,
        use_energy=False,
        dither=0.0,
    )
    static = (static - static.mean(dim=0)).T  # (13, T)
    first = torchaudio.functional.compute_deltas(static, DELTA_FRAMES)
    second = torchaudio.functional.compute_deltas(first, DELTA_FRAMES)
    return torch.cat((static, first, second)).T.contiguous().numpy()

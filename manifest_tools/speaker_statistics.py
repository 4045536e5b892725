"""A speaker vector without a trained model: long-term statistics of the log-mel spectrum, and the packaged extractors.

What the statistics are good for: telling apart recordings of few speakers or channels, and giving the decoder a
constant that goes with the voice, with nothing to download. What they are not: a recogniser of unseen speakers. They
hold the microphone and the room as well as the voice, and they need some seconds of speech to settle.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from speecht5_fairseq.constants import MEL_BINS, SAMPLE_RATE, SPEAKER_DIM
from speecht5_fairseq.data.mel import log_mel

ACTIVE_RANGE_DB = 40.0  # frames this far below the loudest, or more, are pauses
PROJECTION_SEED = 5  # part of the definition: vectors of different seeds cannot be compared
STATISTICS = 4 * MEL_BINS
WEIGHTS = (1.0, 1.0, 0.25, 1.0)  # of mean, deviation, skewness, change: skewness is large, and mostly chance


def active_frames(mel: np.ndarray) -> np.ndarray:
    """The frames of (N, M) log10 magnitudes that lie within 40 dB of the loudest one; all if that leaves none."""
    level = mel.max(axis=1)
    return mel[level >= level.max() - ACTIVE_RANGE_DB / 20.0]


def spectral_statistics(mel: np.ndarray) -> np.ndarray:
    """(N, M) log-mel -> (4 M,) float32: four statistics of the active frames, each centred over the bins and weighted.

    They are the mean, the standard deviation, the skewness and the mean absolute change from frame to frame. Centring
    takes the loudness off, so the level of the recording does not matter.
    """
    active = active_frames(mel).astype(np.float64)
    mean, deviation = active.mean(axis=0), active.std(axis=0)
    skewness = (((active - mean) / np.maximum(deviation, 1e-6)) ** 3).mean(axis=0)
    change = np.abs(np.diff(active, axis=0)).mean(axis=0) if len(active) > 1 else np.zeros(MEL_BINS)
    parts = [part - part.mean() for part in (mean, deviation, skewness, change)]
    return np.concatenate([weight * part for weight, part in zip(WEIGHTS, parts, strict=True)]).astype(np.float32)


@lru_cache(maxsize=1)
def _projection() -> np.ndarray:
    """Random (320, 512) with orthonormal rows: lengths and angles stay what they are (float32)."""
    normal = np.random.default_rng(PROJECTION_SEED).standard_normal((SPEAKER_DIM, STATISTICS))
    return np.linalg.qr(normal)[0].T.astype(np.float32)


def statistics_vector(wave: np.ndarray) -> np.ndarray:
    """(S,) 16 kHz waveform -> (512,) float32 of length 1: the statistics above, spread over 512 entries.

    The cosine of two vectors is that of their statistics. The spreading only makes the size the model's.
    """
    mel = log_mel(torch.from_numpy(np.asarray(wave, dtype=np.float32))).numpy()
    return unit_length(spectral_statistics(mel) @ _projection())


def unit_length(vector: np.ndarray) -> np.ndarray:
    """`vector` divided by its length, float32. Raises ValueError when it is all zero or not finite."""
    vector = np.asarray(vector, dtype=np.float32)
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0.0:
        raise ValueError("the vector is all zero or not finite: is the audio silent?")
    return vector / length


@lru_cache(maxsize=1)
def _resemblyzer() -> Any:
    try:
        from resemblyzer import VoiceEncoder
    except ImportError as error:
        raise ImportError(
            f"--extractor resemblyzer: {error}; `pip install -c constraints.txt -e '.[speakers]'` (it compiles "
            "webrtcvad, which needs a C compiler and Python's headers; without them `pip install webrtcvad-wheels` and "
            "`pip install --no-deps resemblyzer`), or use --extractor statistics"
        ) from error
    return VoiceEncoder("cpu", verbose=False)


def resemblyzer_vector(wave: np.ndarray) -> np.ndarray:
    """(S,) 16 kHz waveform -> (512,): Resemblyzer's 256 trained numbers, then 256 zeros, of length 1.

    The zeros change no cosine. A model trained with these vectors needs them at synthesis too: they cannot be mixed
    with other extractors'.
    """
    logging.getLogger("numba").setLevel(logging.WARNING)  # it reports every byte code that it compiles
    encoder = _resemblyzer()
    from resemblyzer import preprocess_wav

    speech = preprocess_wav(np.asarray(wave, dtype=np.float32), source_sr=SAMPLE_RATE)
    embedding = encoder.embed_utterance(speech if len(speech) else wave)  # its voice detector may find none
    return np.pad(unit_length(embedding), (0, SPEAKER_DIM - len(embedding)))

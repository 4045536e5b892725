"""Log-mel spectrograms of 100 utterances, as the data loader makes them, beside librosa's.

python -m benchmarks.mel
"""

from __future__ import annotations

import argparse
import logging

import numpy as np
import torch

from speecht5_fairseq.constants import MEL_BINS, MEL_FLOOR, MEL_HOP, MEL_MAX_HZ, MEL_MIN_HZ, MEL_WINDOW, SAMPLE_RATE
from speecht5_fairseq.data.mel import log_mel

from .measure import Ratio, Report, add_options, take_turns

UTTERANCES, SHORTEST, LONGEST = 100, 2.0, 12.0  # seconds
AIM, TOLERANCE = 5.0, 1e-4


def recordings() -> list[np.ndarray]:
    """Noise under a slow envelope."""
    generator = np.random.default_rng(0)
    found = []
    for seconds in np.linspace(SHORTEST, LONGEST, UTTERANCES):
        count = int(seconds * SAMPLE_RATE)
        envelope = 0.55 + 0.45 * np.sin(np.arange(count) / 3000)
        found.append((0.1 * envelope * generator.standard_normal(count)).astype(np.float32))
    return found


def ours(waveforms: list[np.ndarray]) -> list[torch.Tensor]:
    """Each by itself, as the workers of the data loader do."""
    found = []
    for waveform in waveforms:
        found.append(log_mel(torch.from_numpy(waveform)))
    return found


def of_librosa(waveforms: list[np.ndarray], dtype: type = np.float32) -> list[np.ndarray]:
    """The same definition; its filters are computed once and kept by librosa itself."""
    import librosa

    window = {"n_fft": MEL_WINDOW, "hop_length": MEL_HOP, "window": "hann", "power": 1.0}
    bands = {"n_mels": MEL_BINS, "fmin": MEL_MIN_HZ, "fmax": MEL_MAX_HZ}
    found = []
    for waveform in waveforms:
        samples = waveform.astype(dtype)
        mel = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, pad_mode="reflect", **window, **bands)
        found.append(np.log10(np.maximum(mel, MEL_FLOOR)).T)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.getLogger("numba").setLevel(logging.WARNING)  # which librosa compiles with, and fairseq's logging lets talk
    waveforms = recordings()
    exact = of_librosa(waveforms, np.float64)
    apart = max(float(np.abs(a.numpy() - b).max()) for a, b in zip(ours(waveforms), exact, strict=True))
    steps = {"ours": lambda: ours(waveforms), "librosa": lambda: of_librosa(waveforms)}
    found = take_turns(steps, device="cpu", repeats=options.repeats)
    ratio = Ratio(
        f"log-mel, {UTTERANCES} utterances", found["ours"].seconds, found["librosa"].seconds, "s", "librosa", AIM
    )
    notes = [f"largest difference from librosa in float64: {apart:.1e} (allowed {TOLERANCE:.0e})"]
    Report("mel", list(found.values()), [ratio], notes).publish(options.json)
    if apart > TOLERANCE:
        raise SystemExit("the spectrograms differ")


if __name__ == "__main__":
    main()

"""What every vocoder holds its input to: the shape of a mel, and the settings that a mel is made with.

Shapes: N mel frames, M mel bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..constants import MEL_BINS, MEL_HOP, MEL_MAX_HZ, MEL_MIN_HZ, MEL_WINDOW, SAMPLE_RATE


class VocoderError(ValueError):
    """A vocoder that cannot be loaded, or a mel that it cannot voice."""


# Settings of our mels by the names that vocoders' configurations give them: `transformers`', then ParallelWaveGAN's.
# A configuration need not state all; hop_size and the like are in samples, f* in Hz.
_SETTINGS = {
    "sampling_rate": SAMPLE_RATE,
    "model_in_dim": MEL_BINS,
    "num_mels": MEL_BINS,
    "hop_size": MEL_HOP,
    "fft_size": MEL_WINDOW,
    "win_length": MEL_WINDOW,
    "window": "hann",
    "fmin": MEL_MIN_HZ,
    "fmax": MEL_MAX_HZ,
    "log_base": 10.0,
}
# What ParallelWaveGAN takes where a setting is null.
_NULL_MEANS = {"win_length": MEL_WINDOW, "fmin": 0.0, "fmax": SAMPLE_RATE / 2, "log_base": "e"}


def check_mel_settings(config: Mapping[str, object], file: Path) -> None:
    """Hold that a vocoder's configuration, read from `file`, was made for our mels.

    Raises:
        VocoderError: listing each setting that differs, what it is and what it has to be.
    """
    wrong = []
    for name, needed in _SETTINGS.items():
        if name not in config:
            continue
        value = config[name] if config[name] is not None else _NULL_MEANS.get(name)
        if value != needed:
            wrong.append(f"{name} is {value}, needed is {needed}")
    if wrong:
        raise VocoderError(
            f"{file}: the vocoder was made for other mels: {'; '.join(wrong)}. Give a vocoder of our mels, such as "
            "the public SpeechT5 one, train one (examples/vocoder), or use griffin-lim"
        )


def mel_settings() -> dict[str, int | float | str]:
    """Our mel's settings under the names that `check_mel_settings` reads, for a configuration that we write."""
    return dict(_SETTINGS)


def checked_mel(mel: Tensor) -> Tensor:
    """The mel (N, M) as float32.

    Raises:
        VocoderError: not of that shape, without a frame, or with NaN or infinity.
    """
    if mel.dim() != 2 or mel.size(0) < 1 or mel.size(1) != MEL_BINS:
        raise VocoderError(
            f"a mel of shape {tuple(mel.shape)}; a vocoder takes one utterance of shape (frames, {MEL_BINS}), without "
            "padding"
        )
    mel = mel.float()
    if not torch.isfinite(mel).all():
        bad = int((~torch.isfinite(mel)).any(1).nonzero()[0])
        raise VocoderError(f"frame {bad} of the mel holds NaN or infinity; check the model that predicted it")
    return mel

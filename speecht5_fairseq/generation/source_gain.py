"""The waveform of an enhanced utterance from its own noisy source, each band turned down as the predicted mel says.

A mel holds no phases. Where it is frame by frame the source's, made quieter, the source's phases are better than any
that a vocoder invents, and what the model leaves alone stays as it was recorded.

Shapes: N mel frames, M mel bins, F frequency bins (MEL_WINDOW / 2 + 1), S samples.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..constants import MEL_HOP, MEL_WINDOW
from ..data.mel import log_mel, mel_tables
from .vocoder_checks import VocoderError, checked_mel


def source_gain(mel: Tensor, source: Tensor) -> Tensor:
    """Turn the source's short-time spectrum down to the predicted mel.

    Args:
        mel: (N, M) predicted log10-mel, of the source's frames.
        source: (S,) waveform at 16 kHz.

    Returns:
        float32 (S,); where the prediction is the source's own mel, the source itself.

    Raises:
        VocoderError: another number of frames than the source has, or no numbers.
    """
    mel, source = checked_mel(mel), source.to(mel.device).float()
    noisy = log_mel(source)
    if len(mel) != len(noisy):
        raise VocoderError(
            f"{len(mel)} predicted frames for a source of {len(noisy)}; --vocoder source is for enhancement, where "
            "both have one length (--speech-prediction mask or residual)"
        )
    filters, window = mel_tables(mel.device)
    window = window.to(mel.dtype)
    gains = (10.0 ** (mel - noisy)).clamp(max=1.0) @ _spread(filters).to(mel.dtype)  # noise is only taken away
    half = MEL_WINDOW // 2
    padded = pad(source, (half, half))  # silence, which short sources can have too; a reflection needs more samples
    spectrum = torch.stft(padded, MEL_WINDOW, MEL_HOP, window=window, center=True, return_complex=True)
    skipped = half // MEL_HOP  # frames over the silence before the source
    spectrum[:, :skipped] *= gains[:1].T
    spectrum[:, skipped : skipped + len(gains)] *= gains[: spectrum.size(1) - skipped].T
    spectrum[:, skipped + len(gains) :] *= gains[-1:].T
    wave = torch.istft(spectrum, MEL_WINDOW, MEL_HOP, window=window, center=True, length=len(padded))
    return wave[half : half + len(source)]


def _spread(filters: Tensor) -> Tensor:
    """Weights (M, F) that give each frequency the mean of the filters (F, M) over it, and the nearest one outside."""
    weights = filters.clone()
    covered = (filters.sum(1) > 0).nonzero().flatten()
    weights[: covered[0]] = filters[covered[0]]
    weights[covered[-1] + 1 :] = filters[covered[-1]]
    return (weights / weights.sum(1, keepdim=True)).T

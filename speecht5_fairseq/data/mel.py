"""The one log-mel of the package. Shapes: B batch, S samples, N mel frames, M mel bins."""

from __future__ import annotations

from functools import lru_cache

import torch
import torchaudio
from torch.nn import functional

from ..constants import MEL_BINS, MEL_FLOOR, MEL_HOP, MEL_MAX_HZ, MEL_MIN_HZ, MEL_WINDOW, SAMPLE_RATE

_FRAMES_AT_A_TIME = 256  # 10 MB


def mel_frames(samples: torch.Tensor | int) -> torch.Tensor | int:
    """Log-mel frames of a waveform of that many samples: one at every hop, the first centred on sample 0."""
    return 1 + samples // MEL_HOP


def mel_samples(frames: int) -> int:
    """Samples of the shortest waveform that has so many log-mel frames."""
    return max(1, (frames - 1) * MEL_HOP)


def log_mel(
    waveform: torch.Tensor, lengths: torch.Tensor | None = None
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Log10 mel spectrogram, librosa's to 1e-4: centred periodic Hann frames, reflected at the utterance's own ends.

    Args:
        waveform: (S,), or (B, S) with `lengths`, in which row b is valid up to lengths[b]. 16 kHz.
        lengths: (B,) int64.

    Returns:
        (N, M) for one waveform; for a batch ((B, N, M), (B,) frames), zero after each utterance's own frames.
    """
    if lengths is None:
        if waveform.dim() != 1:
            raise ValueError(f"a batch of shape {tuple(waveform.shape)} needs lengths (B,)")
        return _log_mel(_reflected(waveform[None]), waveform.dtype)[0]
    if lengths.numel() == 0 or int(lengths.min()) < 1:
        raise ValueError(f"log_mel needs at least one sample for each utterance, not lengths {lengths.tolist()}")
    padded = waveform.double().gather(1, _reflected_index(lengths, waveform.size(1)))
    mel = _log_mel(padded, waveform.dtype)
    frames = mel_frames(lengths)
    valid = torch.arange(mel.size(1), device=mel.device) < frames[:, None]
    return mel * valid[..., None], frames


def _log_mel(padded: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(B, S + MEL_WINDOW) float64, reflected at both ends -> (B, N, M); past an utterance's end it is anything finite.

    The transform is float64: in float32 it is off by up to 0.7 in log10 beside a loud pure tone. What comes out of it
    loses nothing in float32: sums of magnitudes have positive terms alone. On a CPU some frames at a time stay in its
    cache.
    """
    frames = padded.unfold(1, MEL_WINDOW, MEL_HOP)  # (B, N, MEL_WINDOW)
    size = frames.size(1) if padded.is_cuda else -(-_FRAMES_AT_A_TIME // len(padded))
    return torch.cat([_mel_of(part, dtype) for part in frames.split(size, dim=1)], dim=1)


def _mel_of(frames: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Frames of samples (B, N, MEL_WINDOW) float64 -> (B, N, M) of ``dtype``."""
    filters, window = mel_tables(frames.device)
    sums = torch.promote_types(dtype, torch.float32)
    spectrum = torch.fft.rfft(frames * window).to(sums.to_complex())
    magnitude = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag).sqrt_()  # abs() takes three times as long
    return (magnitude @ filters.to(sums)).clamp_(min=MEL_FLOOR).log10_().to(dtype)


def _reflected(waveform: torch.Tensor) -> torch.Tensor:
    """(1, S) -> (1, S + MEL_WINDOW) float64, as ``_reflected_index`` has it."""
    samples, half = waveform.size(1), MEL_WINDOW // 2
    if samples > half:
        return functional.pad(waveform.double(), (half, half), mode="reflect")
    if samples == 0:
        raise ValueError("log_mel needs at least one sample")
    return waveform.double().gather(1, _reflected_index(torch.tensor([samples], device=waveform.device), samples))


def _reflected_index(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    """Where each padded sample comes from: int64 (B, longest + MEL_WINDOW).

    Reflection about the first and last sample is a triangle wave of period 2 (S - 1), which also covers utterances
    shorter than the half window, where the reflection is reflected again as in numpy's and librosa's padding.
    """
    half = MEL_WINDOW // 2
    position = torch.arange(-half, longest + half, device=lengths.device).abs()
    period = (2 * (lengths - 1)).clamp(min=1)[:, None]
    phase = position % period
    return torch.minimum(phase, period - phase) * (lengths > 1)[:, None]


@lru_cache(maxsize=8)
def mel_tables(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mel filters (MEL_WINDOW / 2 + 1, M) and Hann window (MEL_WINDOW,), float64, kept for each device."""
    filters = torchaudio.functional.melscale_fbanks(
        n_freqs=MEL_WINDOW // 2 + 1,
        f_min=MEL_MIN_HZ,
        f_max=MEL_MAX_HZ,
        n_mels=MEL_BINS,
        sample_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return filters.to(device, torch.float64), torch.hann_window(MEL_WINDOW, dtype=torch.float64, device=device)

"""Fast Griffin-Lim (Perraudin, Balazs, Søndergaard 2013) from a log10-mel: the vocoder that needs no download.

A mel says nothing of how energy is spread inside its filters, so a linear spectrum is fitted to it first. Measured on
ten recorded prompts (29 s): analysed, voiced in 60 iterations and analysed again, on one CPU core.

fit                       mel L1 (log10)  STOI   PESQ (wide band)  seconds a second of audio
`nonnegative_magnitudes`  0.049           0.969  2.90              0.068, the fit 0.004 of it
pseudo-inverse, clamped   0.065           0.954  2.59              0.067

Plain non-negative least squares, multiplicative or by accelerated projected gradient, came between them and took five
to twenty times as long to fit: in 32 iterations L1 0.055 to 0.056 against 0.053, PESQ 2.76 to 2.86 against 2.87. A
random first phase, seeded, gave the same L1 and STOI and a PESQ lower by 0.05. 32 iterations give 0.053, 0.968 and 2.87
in half the time; 100 gain 0.001 of L1 alone.

Shapes: N mel frames, M mel bins, F frequency bins (MEL_WINDOW / 2 + 1), S samples (S = N * MEL_HOP).
"""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor

from ..constants import MEL_HOP, MEL_WINDOW
from ..data.mel import mel_tables
from .vocoder_checks import VocoderError, checked_mel

_MOMENTUM = 0.99  # the paper's alpha, as torchaudio and librosa take it
_FIT_STEPS = 30  # the mel of the fit is then within 1e-4 (log10) of the given one
_SHORTEST = 4  # frames: the analysis reflects half a window at each end and needs more samples than that
_TINY = 1e-12  # keeps divisions finite, also outside the filters; magnitudes below MEL_FLOOR do not matter
_LOUDEST = 10.0  # log10; waveforms in [-1, 1] stay below 1.3, and float32 overflows above 38


def nonnegative_magnitudes(mel: Tensor) -> Tensor:
    """Mel magnitudes (N, M) -> non-negative linear magnitudes (N, F) with that mel; 0 outside the filters.

    Minimises the Kullback-Leibler divergence, which weighs loud and soft bands by their ratio as the log-mel does, by
    multiplicative updates (Lee, Seung 2000). They keep the shape of their start where the mel leaves it open: it is
    smooth over frequency, each bin the mean of the mels that see it.
    """
    filters = mel_tables(mel.device)[0].to(mel.dtype)
    shares = filters / (filters.sum(1, keepdim=True) + _TINY)
    magnitudes = (mel / filters.sum(0)) @ shares.T
    for _ in range(_FIT_STEPS):
        magnitudes = magnitudes * ((mel / (magnitudes @ filters + _TINY)) @ shares.T)
    return magnitudes


class GriffinLim:
    """Griffin-Lim as a `Vocoder`: phases start at zero, so the same mel gives the same waveform.

    The level is the mel's own; only a waveform that would pass [-1, 1] is made softer, as a whole.

    Args:
        iterations: more follow the mel more closely and take longer.
    """

    def __init__(self, *, iterations: int = 60) -> None:
        self.iterations = iterations
        self.device = torch.device("cpu")

    @torch.no_grad()
    def __call__(self, mel: Tensor) -> Tensor:
        """Log10-mel (N, M) -> float32 (S,)."""
        mel = checked_mel(mel).to(self.device)
        if mel.max() > _LOUDEST:
            raise VocoderError(
                f"the mel reaches {float(mel.max()):.1f}, far above any waveform in [-1, 1]; a vocoder takes log10 "
                "magnitudes, not natural logarithms or decibels"
            )
        frames = len(mel)
        # One frame more than the mel: n frames of a centred analysis are (n - 1) * MEL_HOP samples.
        repeats = max(_SHORTEST - frames, 1)
        magnitudes = nonnegative_magnitudes(10 ** torch.cat([mel, mel[-1:].expand(repeats, -1)]))
        wave = torchaudio.functional.griffinlim(
            magnitudes.T.contiguous(),
            window=mel_tables(self.device)[1].to(mel.dtype),
            n_fft=MEL_WINDOW,
            hop_length=MEL_HOP,
            win_length=MEL_WINDOW,
            power=1.0,
            n_iter=self.iterations,
            momentum=_MOMENTUM,
            length=None,
            rand_init=False,
        )[: frames * MEL_HOP]
        return wave / wave.abs().max().clamp(min=1.0)

    def to(self, device: torch.device | str) -> GriffinLim:
        """Move to a device."""
        self.device = torch.device(device)
        return self

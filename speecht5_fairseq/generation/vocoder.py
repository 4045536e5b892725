"""Vocoders: log10-mel in, waveform out, one utterance at a time.

Shapes: N mel frames, M mel bins, S samples (S = N * MEL_HOP).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ..data.plugin import load_function
from ..modules.hifigan import HifiganGenerator
from .griffin_lim import GriffinLim
from .hifigan_checkpoint import load_hifigan
from .vocoder_checks import VocoderError, checked_mel

__all__ = ["HifiganVocoder", "Vocoder", "VocoderError", "load_vocoder"]

_GRIFFIN_LIM = re.compile(r"griffin-lim(?::(?P<iterations>.*))?")
_PLUGIN = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*:[A-Za-z_]\w*")
_CHOICES = (
    "choose griffin-lim or griffin-lim:ITERATIONS, a folder or checkpoint of a HiFi-GAN, or a function of your own as "
    "MODULE:FUNCTION. The public one: `hf download microsoft/speecht5_hifigan --local-dir FOLDER`, then FOLDER"
)


@runtime_checkable
class Vocoder(Protocol):
    """What every vocoder does, a plug-in too. The same mel gives the same waveform every time."""

    def __call__(self, mel: Tensor) -> Tensor:
        """One utterance: log10-mel (N, M) on any device -> float32 (S,) in [-1, 1] at 16 kHz, on the vocoder's device.

        Raises:
            VocoderError: the mel has another shape, or holds NaN or infinity.
        """
        ...

    def to(self, device: torch.device | str) -> Vocoder:
        """Move to a device; returns the vocoder."""
        ...


class HifiganVocoder:
    """A HiFi-GAN generator as a `Vocoder`, in float32 whatever the mel's type.

    Args:
        generator: in evaluation, weight norm folded.
    """

    def __init__(self, generator: HifiganGenerator) -> None:
        self.generator = generator

    @torch.no_grad()
    def __call__(self, mel: Tensor) -> Tensor:
        """Log10-mel (N, M) -> float32 (S,)."""
        return self.generator(checked_mel(mel).to(self.generator.mean.device)[None])[0]

    def to(self, device: torch.device | str) -> HifiganVocoder:
        """Move to a device."""
        self.generator.to(device)
        return self


def load_vocoder(spec: str | None, device: torch.device | str = "cpu", *, functions: bool = True) -> Vocoder:
    """The vocoder that `spec` names, on `device`.

    Args:
        spec: None or "griffin-lim" for Griffin-Lim, "griffin-lim:64" for one of 64 iterations; a folder or file for a
            HiFi-GAN (`hifigan_checkpoint` has the layouts); "module:function" for a plug-in, called with the device.
        functions: whether a plug-in will do; False where the spec came with a checkpoint, of which nothing is run.

    Raises:
        VocoderError: names what is wrong with the spec or with the files, and the mend.
    """
    device = torch.device(device)
    if spec is None or _GRIFFIN_LIM.fullmatch(spec):
        return _griffin_lim(spec or "griffin-lim").to(device)
    if spec and Path(spec).exists():
        return HifiganVocoder(load_hifigan(Path(spec))).to(device)
    if _PLUGIN.fullmatch(spec):
        if not functions:
            raise VocoderError(
                f"vocoder {spec!r}: the checkpoint names it, and no function that a checkpoint names is run; give "
                f"--vocoder {spec} to fairseq-generate if you know it"
            )
        return _plugin(spec, device)
    raise VocoderError(f"no vocoder {spec!r}: it is not a file or folder here; {_CHOICES}")


def _griffin_lim(spec: str) -> GriffinLim:
    iterations = _GRIFFIN_LIM.fullmatch(spec)["iterations"]
    if iterations is None:
        return GriffinLim()
    if not iterations.isdecimal() or int(iterations) < 1:
        raise VocoderError(f"vocoder {spec!r}: {iterations!r} is no number of iterations; give griffin-lim:64, say")
    return GriffinLim(iterations=int(iterations))


def _plugin(spec: str, device: torch.device) -> Vocoder:
    try:
        vocoder = load_function(spec, "--vocoder")(device)
    except ValueError as error:
        raise VocoderError(f"{error}; or {_CHOICES}") from error
    if not isinstance(vocoder, Vocoder):
        raise VocoderError(
            f"vocoder {spec!r} returned a {type(vocoder).__name__}, which lacks __call__ or to; give it both methods"
        )
    return vocoder

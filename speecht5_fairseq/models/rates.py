"""Learning rates by depth and by name: a factor on the schedule's rate for each parameter.

A parameter carries its factor in ``param_group``: of what a parameter may carry, the one thing that the half-precision
optimizers of every fairseq hand on to their float32 copies. ``optim.adam`` reads it.
"""

from __future__ import annotations

import math

from torch import nn

from .parts import part_values, prefixes, summary, within

DECAY_OPTION = "--layer-lr-decay"
FACTORS_OPTION = "--lr-factors"
_DECODER_PRENETS = ("speech_decoder_prenet", "text_decoder_prenet")
_ENCODER_PRENETS = ("speech_encoder_prenet", "text_encoder_prenet")


class LearningRates:
    """The factor of each parameter that learns: decay to the power of its depth, times those of the named parts.

    Depth counts layers from the top of the decoder, 0, down through the decoder and then the encoder; a decoder
    pre-net stands one below the lowest layer of the decoder, an encoder pre-net one below that of the encoder. What
    gives results (post-nets, heads, quantizer) has depth 0. What a stack holds besides its layers goes with its lowest
    layer, and the final norm of a pre-norm stack with its highest. What several nets share has the depth of the lowest
    of them, and the factors of all.

    Attributes:
        factors: by parameter.
        used: whether any rate is to be another than the schedule's.
        lines: the table of factors, for the log.
    """

    def __init__(self, model: nn.Module, *, decay: float, factors: str) -> None:
        """Give every parameter of ``model`` that learns its factor.

        Raises:
            ValueError: no such part, one that never learns, or a factor that is no number above 0.
        """
        everything = list(model.named_parameters(remove_duplicate=False))
        asked = _asked(factors, everything)
        self.used = decay < 1 or bool(asked)
        holders: dict[nn.Parameter, list[str]] = {}
        for name, parameter in everything:
            if parameter.requires_grad:
                holders.setdefault(parameter, []).append(name)
        self.factors = {
            parameter: decay ** max(depth(name, model) for name in names)
            * math.prod(by for part, by in asked if any(within(name, part) for name in names))
            for parameter, names in holders.items()
        }
        self.lines: list[str] = []
        if self.used:
            for parameter, names in holders.items():
                place = {"part": _layer(names[0]), "name": names[0]}
                parameter.param_group = {"lr_scale": self.factors[parameter], **place}
            self.lines = _table(self.factors, holders)


def depth(name: str, model: nn.Module) -> int:
    """Layers from the top of the decoder down to a parameter."""
    pieces = name.split(".")
    net, decoder = pieces[0], 0 if model.decoder is None else len(model.decoder.layers)
    if net in _DECODER_PRENETS:
        return decoder
    if net in _ENCODER_PRENETS:
        return decoder + len(model.encoder.layers)
    if net not in ("decoder", "encoder"):
        return 0
    layers = decoder if net == "decoder" else len(model.encoder.layers)
    above = 0 if net == "decoder" else decoder
    if pieces[1] == "layers":
        return above + layers - 1 - int(pieces[2])
    is_final_norm = pieces[1] == "layer_norm" and (net == "decoder" or model.encoder.pre_norm)
    return above if is_final_norm else above + layers - 1


def _asked(text: str, parameters: list[tuple[str, nn.Parameter]]) -> list[tuple[str, float]]:
    """(prefix, factor) of the option."""
    found = []
    names = [name for name, _ in parameters]
    for part, value in part_values(text, FACTORS_OPTION, "ctc_head:10 or encoder.layers.0-3:0.1").items():
        try:
            factor = float(value)
        except ValueError:
            factor = math.nan
        if not 0 < factor < math.inf:
            raise ValueError(
                f"{FACTORS_OPTION} {part}:{value}: {value!r} is no number above 0 (a part that is not to learn: "
                f"--freeze {part}:forever)"
            )
        for prefix in prefixes(part, names, FACTORS_OPTION):
            if not any(within(name, prefix) and parameter.requires_grad for name, parameter in parameters):
                raise ValueError(
                    f"{FACTORS_OPTION} {part}:{value}: {prefix} never learns (--freeze, --feature-grad-mult 0); drop "
                    "one of the two"
                )
            found.append((prefix, factor))
    return found


def _layer(name: str) -> str:
    """The net of a parameter, or the layer of a stack: what an optimizer groups by, whatever the factors."""
    pieces = name.split(".")
    return ".".join(pieces[:3]) if pieces[1] == "layers" else pieces[0]


def _table(factors: dict[nn.Parameter, float], holders: dict[nn.Parameter, list[str]]) -> list[str]:
    everything = [name for names in holders.values() for name in names]
    lines = []
    for factor in sorted(set(factors.values()), reverse=True):
        members = [parameter for parameter, own in factors.items() if own == factor]
        names = [name for parameter in members for name in holders[parameter]]
        weights = sum(parameter.numel() for parameter in members)
        lines.append(f"lr x {factor:<9.4g} {weights:>12,} weights  {', '.join(summary(names, everything))}")
    return lines

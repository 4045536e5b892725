"""Freezing by updates, as a property of parameters: a frozen parameter has ``requires_grad`` off and no gradient."""

from __future__ import annotations

import math
from collections.abc import Collection

from torch import nn

from .parts import net_of, part_values, prefixes, summary, within

ENCODER_NETS = ("encoder", "speech_encoder_prenet", "text_encoder_prenet")
DECODER_NETS = (
    "decoder",
    "speech_decoder_prenet",
    "text_decoder_prenet",
    "speech_decoder_postnet",
    "text_decoder_postnet",
)
FOREVER = "forever"
OPTION = "--freeze"
OPTIONS = f"--freeze-encoder-updates, --freeze-decoder-updates, {OPTION}"


class Freezing:
    """Keeps parameters from learning: for the first updates, or forever.

    Parameters that never learn (the extractor at ``feature_grad_mult`` 0) stay off whatever the update. What several
    parts share, the tied embedding, learns when all of them do. What is frozen forever is off from the start, so that
    fairseq gives it to no optimizer and no reducer.

    Attributes:
        schedule: parameters and the update from which on each learns.
        lines: what is frozen and until when, for the log.
        without_effect: options that wait for what never learns, as typed.
    """

    def __init__(self, model: nn.Module, *, encoder: int, decoder: int, parts: str = "") -> None:
        """Freeze.

        Args:
            model: with all its nets.
            encoder, decoder: updates for which that side, its nets included, does not learn.
            parts: ``PART:UPDATES`` or ``PART:forever``, with spaces between.

        Raises:
            ValueError: no such part or layer, a number that is none, or nothing that ever learns.
        """
        learning = {name: p for name, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
        sides = {net: encoder for net in ENCODER_NETS} | {net: decoder for net in DECODER_NETS}
        thaws = {name: float(max(0, sides.get(net_of(name), 0))) for name in learning}
        everything = [name for name, _ in model.named_parameters(remove_duplicate=False)]
        asked = _asked(parts, everything)
        self.without_effect = [
            *_waiting_sides(encoder, decoder, everything, learning),
            *_waiting_parts(asked, learning),
        ]
        for prefix, updates in asked:
            thaws |= {name: max(until, updates) for name, until in thaws.items() if within(name, prefix)}
        latest: dict[nn.Parameter, float] = {}
        for name, parameter in learning.items():
            latest[parameter] = max(thaws[name], latest.get(parameter, 0.0))
        if latest and min(latest.values()) == math.inf:
            raise ValueError(f"{OPTION} {parts!r} freezes the whole model forever; leave a part that learns")
        if latest and min(latest.values()) > 0:
            raise ValueError(
                f"{OPTIONS}: until update {min(latest.values()):.0f} nothing would learn; leave a part that learns "
                "from the start"
            )
        self.lines = _lines({name: latest[parameter] for name, parameter in learning.items()}, learning)
        self.schedule = [(parameter, until) for parameter, until in latest.items() if 0 < until < math.inf]
        for parameter, until in latest.items():
            if until == math.inf:
                parameter.requires_grad_(False)

    @property
    def used(self) -> bool:
        """Whether some parameters learn in some updates and not in others."""
        return bool(self.schedule)

    def apply(self, num_updates: int) -> None:
        for parameter, until in self.schedule:
            parameter.requires_grad_(num_updates >= until)

    def release(self) -> None:
        """Let everything learn that ever will: fairseq builds its optimizer of the parameters that learn just then."""
        self.apply(max((int(until) for _, until in self.schedule), default=0))


def _waiting_sides(encoder: int, decoder: int, names: Collection[str], learning: Collection[str]) -> list[str]:
    """Options of a side that the model has and that never learns: over a frozen base, with additions elsewhere."""
    found = []
    for side, updates, nets in (("encoder", encoder, ENCODER_NETS), ("decoder", decoder, DECODER_NETS)):
        there, learns = (any(net_of(name) in nets for name in some) for some in (names, learning))
        if updates > 0 and there and not learns:
            found.append(f"--freeze-{side}-updates {updates}")
    return found


def _waiting_parts(asked: list[tuple[str, float]], learning: Collection[str]) -> list[str]:
    return [
        f"{OPTION} {prefix}:{updates:.0f}"
        for prefix, updates in asked
        if updates < math.inf and not any(within(name, prefix) for name in learning)
    ]


def _asked(text: str, names: list[str]) -> list[tuple[str, float]]:
    """(prefix, updates) of the option; infinity for ever."""
    found = []
    for part, value in part_values(text, OPTION, "encoder.layers.0-3:4000 or speech_encoder_prenet:forever").items():
        if value != FOREVER and not (value.isascii() and value.isdigit() and int(value) > 0):
            raise ValueError(f"{OPTION} {part}:{value}: {value!r} is neither updates (1 or more) nor {FOREVER}")
        updates = math.inf if value == FOREVER else float(value)
        found += [(prefix, updates) for prefix in prefixes(part, names, OPTION)]
    return found


def _lines(thaws: dict[str, float], parameters: dict[str, nn.Parameter]) -> list[str]:
    lines = []
    for until in sorted(set(thaws.values()) - {0.0}):
        names = [name for name, updates in thaws.items() if updates == until]
        weights = sum(parameter.numel() for parameter in {parameters[name] for name in names})
        when = FOREVER if until == math.inf else f"until update {until:.0f}"
        lines.append(f"frozen {when}: {', '.join(summary(names, thaws))} ({weights:,} weights)")
    return lines

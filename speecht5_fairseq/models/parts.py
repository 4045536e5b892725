"""Parts of a model by name, as the options of fine-tuning give them: a net, a layer or layers of it, any module inside.

``encoder``, ``encoder.layers.3``, ``encoder.layers.0-3``, ``speech_decoder_postnet.feat_out``. A part is what the
dotted names of parameters or tensors begin with.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable

_RANGE = re.compile(r"(\d{1,4})-(\d{1,4})")


def net_of(name: str) -> str:
    """The net, a top-level module of the model, of a parameter or tensor."""
    return name.split(".", 1)[0]


def nets_of(names: Iterable[str]) -> set[str]:
    return {net_of(name) for name in names}


def words(text: str) -> list[str]:
    """Of an option that takes commas as well as spaces."""
    return text.replace(",", " ").split()


def part_values(text: str, option: str, example: str) -> dict[str, str]:
    """The words ``PART:VALUE`` of an option, in their order.

    Raises:
        ValueError: a word of another form, or a part that comes twice.
    """
    found: dict[str, str] = {}
    for word in text.split():
        part, _, value = word.rpartition(":")
        if not part or not value:
            raise ValueError(f"{option} {text!r}: {word!r} is no PART:VALUE; give words such as {example}")
        if part in found:
            raise ValueError(f"{option} {text!r}: {part} comes twice; give it one value")
        found[part] = value
    return found


def expand(part: str, option: str) -> list[str]:
    """``encoder.layers.0-2`` as the three prefixes that it stands for; any other part as itself.

    Raises:
        ValueError: a range that runs backwards.
    """
    pieces = []
    for piece in part.split("."):
        bounds = _RANGE.fullmatch(piece)
        if bounds is None:
            pieces.append([piece])
            continue
        low, high = map(int, bounds.groups())
        if low > high:
            raise ValueError(f"{option} {part}: {piece} runs backwards; give the lower number first: {high}-{low}")
        pieces.append([str(number) for number in range(low, high + 1)])
    return [".".join(names) for names in itertools.product(*pieces)]


def within(name: str, prefix: str) -> bool:
    """Whether a dotted name is that of a part or of something inside it."""
    return name == prefix or name.startswith(f"{prefix}.")


def prefixes(part: str, names: Collection[str], option: str) -> list[str]:
    """What ``part`` stands for, each prefix that of some of ``names``.

    Raises:
        ValueError: one is not; the choices at that place are in the message.
    """
    found = expand(part, option)
    for prefix in found:
        if not any(within(name, prefix) for name in names):
            raise ValueError(_unknown(part, prefix, names, option))
    return found


def _unknown(part: str, prefix: str, names: Collection[str], option: str) -> str:
    parent = prefix
    while parent and not any(within(name, parent) for name in names):
        parent = parent.rpartition(".")[0]
    choices = [child.removeprefix(f"{parent}.") for child in join_layers(_children(names, parent))]
    there = f"{parent} has" if parent else "its choices are"
    return f"{option} {part}: there is no {prefix} here; {there} {', '.join(choices)}"


def _children(names: Iterable[str], parent: str) -> list[str]:
    """The parts just inside ``parent`` ("" for the whole) in the order of ``names``."""
    depth = parent.count(".") + 1 if parent else 0
    inside = (name for name in names if not parent or name.startswith(f"{parent}."))
    return list(dict.fromkeys(".".join(name.split(".")[: depth + 1]) for name in inside))


def summary(names: Iterable[str], everything: Collection[str], parent: str = "") -> list[str]:
    """The fewest parts that make up ``names`` among ``everything``: whole nets where all of a net is meant."""
    chosen = set(names)
    parts = []
    for child in _children(everything, parent):
        inside = [name for name in everything if within(name, child)]
        if chosen.issuperset(inside):
            parts.append(child)
        elif not chosen.isdisjoint(inside):
            parts += summary(chosen, inside, child)
    return join_layers(parts)


def join_layers(parts: Iterable[str]) -> list[str]:
    """Neighbours ``a.0``, ``a.1``, ``a.2`` as ``a.0-2``."""
    runs: list[tuple[str, int | None, int | None]] = []  # (part, or what its numbers follow; first; last)
    for part in parts:
        parent, _, last = part.rpartition(".")
        if not last.isdecimal():
            runs.append((part, None, None))
        elif runs and runs[-1][0] == parent and runs[-1][2] == int(last) - 1:
            runs[-1] = (parent, runs[-1][1], int(last))
        else:
            runs.append((parent, int(last), int(last)))
    return [
        name if first is None else f"{name}.{first}" if first == last else f"{name}.{first}-{last}"
        for name, first, last in runs
    ]

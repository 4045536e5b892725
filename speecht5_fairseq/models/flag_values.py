"""What a flag of the published command lines may hold, and how it is read. Nothing in a flag is ever run."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Callable, Mapping
from typing import Any

from ..ranges import POSITIVE, WEIGHT, Rule


def one_of(values: Mapping[str, Any]) -> Rule:
    """A word, and ours for it."""

    def read(value: Any) -> Any:
        if value not in values:
            raise ValueError
        return values[value]

    return Rule(read, _alternatives(list(values)))


def _alternatives(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]


def _numbers(fewest: int, most: int, each: Callable[[Any], float]) -> Callable[[Any], tuple[float, ...]]:
    """Of "[1,0.5]", or of the list itself."""

    def read(value: Any) -> tuple[float, ...]:
        found = tuple(each(part) for part in (literal_eval(value) if isinstance(value, str) else value))
        if not fewest <= len(found) <= most:
            raise ValueError
        return found

    return read


def _ratio(value: Any) -> float:
    """The share of text in "[1,0.0086]"; without any, as much of text as of speech."""
    if value is None:
        return 1.0
    speech, share = _numbers(2, 2, POSITIVE.read)(value)
    return share / speech


def _temperature(value: Any) -> tuple[float, ...]:
    start, end, decay = _numbers(3, 3, POSITIVE.read)(value)
    if decay > 1:
        raise ValueError
    return start, end, decay


BATCH_RATIO = Rule(_ratio, "two numbers above 0, of speech and of text: '[1,0.0086]'")
LOSS_WEIGHTS = Rule(_numbers(1, 2, WEIGHT.read), "one or two weights, of the features and of the codebook: '[10,0.1]'")
TEMPERATURE = Rule(_temperature, "three numbers above 0: start, end, and a decay of at most 1: '(2,0.5,0.999995)'")

"""What a flag of the published command lines may hold, and how it is read. Nothing in a flag is ever run."""

from __future__ import annotations

import math
from ast import literal_eval
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """How a flag is read.

    Attributes:
        read: our value for the one that was given; raises ValueError, TypeError or SyntaxError for any that is none.
        wanted: what to give, for the error.
    """

    read: Callable[[Any], Any]
    wanted: str


def read_value(name: str, value: Any, rule: Rule) -> Any:
    """The value of the flag ``name`` as this code takes it.

    Raises:
        ValueError: it is none; names the flag as typed, the value and what to give.
    """
    try:
        return rule.read(value)
    except (ValueError, TypeError, SyntaxError) as error:
        raise ValueError(f"--{typed(name)} {value}: give {rule.wanted}") from error


def typed(name: str) -> str:
    """``max_tokens`` as ``max-tokens``."""
    return name.replace("_", "-")


def one_of(values: Mapping[str, Any]) -> Rule:
    """A word, and ours for it."""

    def read(value: Any) -> Any:
        if value not in values:
            raise ValueError
        return values[value]

    return Rule(read, _alternatives(list(values)))


def optional(rule: Rule, unset: Any = None) -> Rule:
    """As ``rule``, or the default that stands for "not given", which is read as None."""
    return Rule(lambda value: None if value == unset else rule.read(value), rule.wanted)


def _alternatives(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]


def _number(accepted: Callable[[float], bool]) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        number = float(value)
        if not (math.isfinite(number) and accepted(number)):
            raise ValueError
        return number

    return read


def _whole(least: int) -> Callable[[Any], int]:
    read = _number(lambda number: number >= least and number == int(number))
    return lambda value: int(read(value))


def _numbers(fewest: int, most: int, each: Callable[[Any], float]) -> Callable[[Any], tuple[float, ...]]:
    """Of "[1,0.5]", or of the list itself."""

    def read(value: Any) -> tuple[float, ...]:
        found = tuple(each(part) for part in (literal_eval(value) if isinstance(value, str) else value))
        if not fewest <= len(found) <= most:
            raise ValueError
        return found

    return read


_SHARE = _number(lambda number: 0 <= number <= 1)
_POSITIVE = _number(lambda number: number > 0)
_WEIGHT = _number(lambda number: number >= 0)


def _ratio(value: Any) -> float:
    """The share of text in "[1,0.0086]"; without any, as much of text as of speech."""
    if value is None:
        return 1.0
    speech, share = _numbers(2, 2, _POSITIVE)(value)
    return share / speech


def _temperature(value: Any) -> tuple[float, ...]:
    start, end, decay = _numbers(3, 3, _POSITIVE)(value)
    if decay > 1:
        raise ValueError
    return start, end, decay


SHARE = Rule(_SHARE, "a share from 0 to 1")
BELOW_ONE = Rule(_number(lambda number: 0 <= number < 1), "a share from 0 to less than 1")
POSITIVE = Rule(_POSITIVE, "a number above 0")
WEIGHT = Rule(_WEIGHT, "a number that is not below 0")
SIZE = Rule(_whole(1), "a whole number above 0")
COUNT = Rule(_whole(0), "a whole number that is not below 0")
BATCH_RATIO = Rule(_ratio, "two numbers above 0, of speech and of text: '[1,0.0086]'")
LOSS_WEIGHTS = Rule(_numbers(1, 2, _WEIGHT), "one or two weights, of the features and of the codebook: '[10,0.1]'")
TEMPERATURE = Rule(_temperature, "three numbers above 0: start, end, and a decay of at most 1: '(2,0.5,0.999995)'")

"""What a numeric option may be: said beside the option's default and help, and checked when what has it is built."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import field
from typing import Any, NamedTuple

RANGE = "range"  # the rule's place in a field's metadata, beside "help"


class Rule(NamedTuple):
    """How an option or a published flag is read.

    Attributes:
        read: our value for the one that was given; raises ValueError, TypeError or SyntaxError for any that is none.
        wanted: what to give, for the error.
    """

    read: Callable[[Any], Any]
    wanted: str


class RangeError(ValueError):
    """An option with a value out of its range."""


def read_value(name: str, value: Any, rule: Rule) -> Any:
    """The value of the option ``name`` as this code takes it.

    Raises:
        RangeError: it is none; names the option as typed, the value and what to give.
    """
    try:
        return rule.read(value)
    except (ValueError, TypeError, SyntaxError, OverflowError) as error:
        raise RangeError(f"--{typed(name)} {value}: give {rule.wanted}") from error


def typed(name: str) -> str:
    """``max_tokens`` as ``max-tokens``."""
    return name.replace("_", "-")


def ranged(default: Any, text: str, rule: Rule) -> Any:
    """A dataclass field with a default, a line of help and the values that it may have."""
    return field(default=default, metadata={"help": text, RANGE: rule})


def ranges_of(config: type) -> dict[str, Rule]:
    """The rules of a dataclass's fields by name; a preset that changes a default alone keeps the rule."""
    found: dict[str, Rule] = {}
    for kind in reversed(config.__mro__):
        fields = vars(kind).get("__dataclass_fields__", {})
        found |= {name: each.metadata[RANGE] for name, each in fields.items() if RANGE in each.metadata}
    return found


def check_ranges(options: Any, config: type) -> None:
    """Check options, by attribute, by the rules that the dataclass ``config`` has of them.

    Raises:
        RangeError: the first that is out of its range.
    """
    for name, rule in ranges_of(config).items():
        read_value(name, getattr(options, name), rule)


def optional(rule: Rule, unset: Any = None) -> Rule:
    """As ``rule``, or the default that stands for "not given", which is read as None."""
    return Rule(lambda value: None if value == unset else rule.read(value), rule.wanted)


def number(accepted: Callable[[float], bool]) -> Callable[[Any], float]:
    """Reads what is finite and accepted."""

    def read(value: Any) -> float:
        found = float(value)
        if not (math.isfinite(found) and accepted(found)):
            raise ValueError
        return found

    return read


def whole(least: int, most: float = math.inf) -> Callable[[Any], int]:
    """Reads whole numbers from ``least`` to ``most``."""
    read = number(lambda found: least <= found <= most and found == int(found))
    return lambda value: int(read(value))


SHARE = Rule(number(lambda found: 0 <= found <= 1), "a share from 0 to 1")
BELOW_ONE = Rule(number(lambda found: 0 <= found < 1), "a share from 0 to less than 1")
FACTOR = Rule(number(lambda found: 0 < found <= 1), "a factor above 0, and 1 at most")
POSITIVE = Rule(number(lambda found: found > 0), "a number above 0")
WEIGHT = Rule(number(lambda found: found >= 0), "a number that is not below 0")
FINITE = Rule(number(lambda found: True), "a number")
SIZE = Rule(whole(1), "a whole number above 0")
COUNT = Rule(whole(0), "a whole number that is not below 0")

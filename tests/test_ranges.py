"""Ranges of options: how a value is read, what is refused and in which words, and how presets keep them."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from speecht5_fairseq.ranges import (
    BELOW_ONE,
    COUNT,
    FACTOR,
    FINITE,
    POSITIVE,
    SHARE,
    SIZE,
    WEIGHT,
    RangeError,
    Rule,
    check_ranges,
    optional,
    ranged,
    ranges_of,
    read_value,
    whole,
)


@dataclass
class Base:
    share: float = ranged(0.5, "a share", SHARE)
    size: int = ranged(3, "a size", SIZE)
    name: str = "anything"


@dataclass
class Preset(Base):
    share: float = 0.25
    size: int = ranged(4, "a size", COUNT)
    most: int = ranged(1, "a limit", SIZE)


@pytest.mark.parametrize(
    "rule, given, ours",
    [
        (SHARE, 0, 0.0),
        (SHARE, "1", 1.0),
        (BELOW_ONE, 0.5, 0.5),
        (FACTOR, 1, 1.0),
        (POSITIVE, 1e-9, 1e-9),
        (WEIGHT, 0, 0.0),
        (FINITE, -2, -2.0),
        (SIZE, 50.0, 50),
        (COUNT, "0", 0),
        (Rule(whole(3, 5), "3 to 5"), 5, 5),
        (optional(SIZE), None, None),
        (optional(SIZE, unset=-1), -1, None),
        (optional(SIZE), 7, 7),
    ],
)
def test_values_are_read(rule, given, ours):
    found = read_value("option", given, rule)
    assert found == ours and type(found) is type(ours)


NO_NUMBERS = ("many", None, float("nan"), float("inf"), [1])


@pytest.mark.parametrize(
    "rule, wrong",
    [
        (SHARE, (-0.1, 1.1, *NO_NUMBERS)),
        (BELOW_ONE, (1, -0.1)),
        (FACTOR, (0, 1.1, *NO_NUMBERS)),
        (POSITIVE, (0, -1, *NO_NUMBERS)),
        (WEIGHT, (-1e-9, *NO_NUMBERS)),
        (FINITE, NO_NUMBERS),
        (SIZE, (0, 49.5, 10**400, *NO_NUMBERS)),
        (COUNT, (-1, 0.5)),
        (Rule(whole(3, 5), "3 to 5"), (2, 6)),
        (optional(SIZE), (-1,)),
    ],
)
def test_what_is_none_is_refused_with_option_value_and_mend(rule, wrong):
    for value in wrong:
        with pytest.raises(RangeError) as error:
            read_value("some_option", value, rule)
        assert str(error.value) == f"--some-option {value}: give {rule.wanted}"


def test_a_preset_keeps_the_ranges_of_what_it_gives_another_default():
    assert ranges_of(Base) == {"share": SHARE, "size": SIZE}
    assert ranges_of(Preset) == {"share": SHARE, "size": COUNT, "most": SIZE}


def test_options_are_checked_by_their_dataclass():
    check_ranges(Preset(size=0), Preset)
    with pytest.raises(RangeError, match="^--share 1.5: give a share from 0 to 1$"):
        check_ranges(SimpleNamespace(share=1.5, size=3), Base)
    with pytest.raises(RangeError, match="--most 0: give a whole number above 0"):
        check_ranges(Preset(most=0), Preset)

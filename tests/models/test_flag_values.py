"""How the values of published flags are read, and what is refused."""

import pytest

from speecht5_fairseq.models.flag_values import BATCH_RATIO, LOSS_WEIGHTS, TEMPERATURE, one_of
from speecht5_fairseq.ranges import read_value


@pytest.mark.parametrize(
    "rule, given, ours",
    [
        (BATCH_RATIO, None, 1.0),
        (BATCH_RATIO, "[2,1]", 0.5),
        (LOSS_WEIGHTS, [10], (10.0,)),
        (LOSS_WEIGHTS, "[10, 0.1]", (10.0, 0.1)),
        (TEMPERATURE, (2, 0.5, 1), (2.0, 0.5, 1.0)),
        (one_of({"L1": "l1"}), "L1", "l1"),
    ],
)
def test_values_are_read(rule, given, ours):
    found = read_value("flag", given, rule)
    assert found == ours and type(found) is type(ours)


@pytest.mark.parametrize(
    "rule, wrong",
    [
        (BATCH_RATIO, ("[0,1]", "[1,-1]", "[1]", "[1,2,3]", "1", "[1,", "[1,'x']", "open('x')")),
        (LOSS_WEIGHTS, ([], [1, 2, 3], [-1], 5, "[nan]")),
        (TEMPERATURE, ((2, 0.5), 5, (2, 0.5, 1.5), (0, 0.5, 1), None)),
        (one_of({"L1": "l1", "L2": "l2"}), ("l1", "huber", None)),
    ],
)
def test_what_is_none_is_refused_with_flag_value_and_mend(rule, wrong):
    for value in wrong:
        with pytest.raises(ValueError) as error:
            read_value("some_flag", value, rule)
        assert str(error.value) == f"--some-flag {value}: give {rule.wanted}"


def test_choices_are_listed():
    assert one_of({"a": 1, "b": 2, "c": 3}).wanted == "a, b or c" and one_of({"a": 1}).wanted == "a"

"""Values against examples of their kind."""

import pytest
import torch

from speecht5_fairseq.models.kinds import wrong_kinds


@pytest.mark.parametrize(
    "example, good, bad, wanted",
    [
        (True, [False], [0, None, "yes"], "true or false"),
        (1, [0, -3], [True, 1.5, "1", None, [1]], "a whole number"),
        (0.5, [1, 0.1], [True, "0.5", None], "a number"),
        ("", ["x"], [1, None, ["x"]], "a text"),
        ([], [[1, "x"], ()], ["x", None, {}], "a list"),
        ([1], [[], [1, 2], (3,)], [[1, "x"], [1.5], [True], 3, "1"], "a list, in each place a whole number"),
        ([{}], [[{}]], [[1], {}], "a list, in each place values by name"),
        ({}, [{"a": 1}], [[1], None, "x"], "values by name"),
        (torch.empty(0), [torch.ones(3)], [1.0, [1.0]], "a tensor"),
        (None, [None, 1, "x", [1]], [], ""),
    ],
)
def test_what_is_of_another_kind_is_said(example, good, bad, wanted):
    for value in good:
        assert not [*wrong_kinds({"x": value}, {"x": example})], value
    for value in bad:
        assert [*wrong_kinds({"x": value}, {"x": example})] == [f"x is {value!r}, wanted is {wanted}"]


def test_only_what_has_an_example_is_looked_at():
    assert [*wrong_kinds({"a": 1, "b": "x"}, {"b": 1, "c": 1})] == ["b is 'x', wanted is a whole number"]


def test_a_long_value_is_cut():
    (said,) = wrong_kinds({"a": ["x"] * 100, "b": 1}, {"a": 1})
    assert len(said) < 120 and "..." in said
    (said,) = wrong_kinds({"a": torch.ones(3, 2)}, {"a": ""})
    assert said == "a is a tensor of torch.float32 and shape (3, 2), wanted is a text"

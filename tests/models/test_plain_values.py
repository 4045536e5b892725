"""What options and counts of a checkpoint may be made of."""

import re
from argparse import Namespace

import pytest
import torch

from speecht5_fairseq.models.plain_values import MOST_LEVELS, is_plain, unplain


def deep(levels):
    value = 1
    for number in range(levels):
        value = [value] if number % 2 else Namespace(a={"b": value})
    return value


def doubled(levels):
    value = ["x"]
    for _ in range(levels):
        value = [value, value]
    return value


def circle():
    value = {}
    value["again"] = value
    return value


def test_plain_values_pass():
    state = {"cfg": Namespace(model={"a": [1, 2.5, None, "x", True]}), 3: ({4, 5}, torch.ones(2)), "n": -(1 << 63)}
    assert unplain(state) is None
    assert unplain(deep(MOST_LEVELS // 2)) is None
    assert unplain([0] * 190_000) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (deep(MOST_LEVELS + 2), "values more than 50 levels deep"),
        (circle(), "values more than 50 levels deep"),
        (doubled(30), "more than 200,000 values beside the tensors"),
        ({1 << 64: 1}, "a whole number of 65 bits"),
        ([Namespace(x=-(1 << 20000))], "a whole number of 20001 bits"),
        ({"state": [torch.zeros(1).expand(1 << 40)]}, r"a tensor of shape \(1099511627776,\) that is not laid out"),
    ],
)
def test_others_are_named(value, said):
    found = unplain(value)
    assert found is not None and re.match(said, found)


@pytest.mark.parametrize(
    ("tensor", "plain"),
    [
        (torch.ones(2, 3).t(), True),
        (torch.ones(4)[1:3], True),
        (torch.tensor(1.0), True),
        (torch.ones(0, 5), True),
        (torch.ones(1 << 40, 0), False),
        (torch.ones(2, 1).expand(2, 3), False),
        (torch.eye(2).to_sparse(), False),
        (torch.ones(2, device="meta"), False),
        (torch.ones(2, dtype=torch.complex64), False),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), False),
    ],
)
def test_tensors(tensor, plain):
    assert is_plain(tensor) is plain

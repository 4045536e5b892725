"""What a checkpoint's options and counts may be made of: few levels, a bounded number of values, plain numbers.

A file of a kilobyte can hold lists within lists as deep as Python's stack, or a list of twice the same list of twice
the same list, which is a value to load and 2 ** 50 to print.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

MOST_LEVELS = 50
MOST_VALUES = 200_000  # an optimizer's state has some for each of some thousand tensors
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1  # whole numbers, signed or not, of 64 bits
_LONGEST_EMPTY = 1 << 24  # rows of a tensor without columns: a tensor as long may be made beside it
_LISTS = (list, tuple, set, frozenset)


def unplain(found: Any) -> str | None:
    """What is wrong with values that are to be gone through, printed or copied; None where they are plain."""
    left, count = [(found, 0)], 0
    while left:
        value, level = left.pop()
        count += 1
        if level > MOST_LEVELS:
            return f"values more than {MOST_LEVELS} levels deep"
        if count > MOST_VALUES:
            return f"more than {MOST_VALUES:,} values beside the tensors"
        if isinstance(value, int) and not _LEAST <= value <= _MOST:
            return f"a whole number of {value.bit_length()} bits"
        if isinstance(value, Tensor) and not is_plain(value):
            return f"a tensor of shape {str(tuple(value.shape))[:60]} that is not laid out one value after another"
        inner = vars(value) if isinstance(value, Namespace) else value
        if isinstance(inner, Mapping):
            left += ((each, level + 1) for pair in inner.items() for each in pair)
        elif isinstance(inner, _LISTS):
            left += ((each, level + 1) for each in inner)
    return None


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense, real, in this machine's memory, and no larger than what is stored of it.

    One value may be repeated to a shape of terabytes, which whoever copies it would need.
    """
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_complex():
        return False
    if max(tensor.shape, default=0) > _LONGEST_EMPTY and not tensor.numel():
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()

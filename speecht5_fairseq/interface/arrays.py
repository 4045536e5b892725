"""What users hand over: one thing or several of them, and numbers of any kind as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np
from torch import Tensor

from ..data.errors import AudioError


def is_file(given: Any) -> bool:
    """Whether this names a file."""
    return isinstance(given, (str, PathLike))


def listed(given: Any, what: str) -> Any:
    """What may be gone through more than once: generators and other iterables as lists, all else as it is.

    Raises:
        AudioError: neither a file, nor numbers, nor several of these; ``what`` says of what.
    """
    if is_file(given) or isinstance(given, (np.ndarray, Tensor, list, tuple)):
        return given
    if not isinstance(given, Iterable):
        raise AudioError(f"{what} {given!r}: give a file, numbers, or a list of either")
    return list(given)


def is_one(given: Any) -> bool:
    """Whether this is a file or a row of numbers, not several of them; ``given`` is ``listed``.

    Numbers are those of Python, numpy and torch: `list(array)` holds numpy's. Nothing at all is several.
    """
    if is_file(given):
        return True
    if isinstance(given, (np.ndarray, Tensor)):
        return given.ndim < 2
    return len(given) > 0 and all(not is_file(each) and np.ndim(each) == 0 for each in given)


def array_of(numbers: Any, name: str) -> np.ndarray:
    """Numbers as an array in memory: tensors of any device, with or without a gradient, arrays, or lists.

    Args:
        name: says which, in errors.

    Raises:
        AudioError: they are none.
    """
    if isinstance(numbers, Tensor):
        numbers = numbers.detach().cpu()
        numbers = (numbers.float() if numbers.is_floating_point() else numbers).numpy()
    elif not isinstance(numbers, np.ndarray):
        try:
            numbers = np.asarray([float(each) if isinstance(each, Tensor) else each for each in numbers])
        except (TypeError, ValueError) as error:  # no iterable, or rows of different lengths
            raise AudioError(f"{name}: no numbers ({error}); give an array, a tensor or a list of numbers") from error
    if numbers.dtype.kind not in "iuf":
        raise AudioError(f"{name}: holds {numbers.dtype}, not numbers; give an array, a tensor or a list of numbers")
    return np.ascontiguousarray(numbers, dtype=numbers.dtype.newbyteorder("="))

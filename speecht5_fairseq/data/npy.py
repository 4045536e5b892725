"""Arrays of .npy files, whose header is looked at before anything is read or allocated by it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from .archives import opened
from .paths import irregular

# numpy parses the header of a .npy as Python source, and in two threads at once Python 3.11 may lose count of its
# depth: "SystemError: AST constructor recursion depth mismatch".
_ONE_HEADER = threading.Lock()
_HEADERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
_NUMBERS = "fiu"  # kinds of dtypes: floats and integers


class NpyHeader(NamedTuple):
    """What the header of a .npy says."""

    shape: tuple[int, ...]
    dtype: np.dtype


@contextmanager
def npy_file(path: str | Path) -> Iterator[BinaryIO]:
    """A .npy file, or a member of an archive (see ``archives``), open for ``read_header`` and then ``read_numbers``.

    Raises:
        OSError: it cannot be opened, or is no regular file.
        AudioError: of the archive.
    """
    with opened(path) as source:
        if not isinstance(source, str):
            yield source
            return
        kind = irregular(source)
        if kind is not None:
            raise OSError(f"it is {kind}, not a file")
        with open(source, "rb") as file:
            yield file


def read_header(file: BinaryIO) -> NpyHeader:
    """The header of a .npy that holds numbers.

    Raises:
        ValueError: it is none, or holds something else: objects (which are pickles), texts, records.
    """
    try:
        with _ONE_HEADER:
            version = npy_format.read_magic(file)
            if version not in _HEADERS:
                raise ValueError(f"a .npy of version {version}")
            shape, _, dtype = _HEADERS[version](file)
    except OSError:
        raise
    except Exception as error:  # whatever a damaged header makes Python's parser trip over
        raise ValueError(f"no .npy header: {(str(error) or type(error).__name__).splitlines()[0][:200]}") from error
    if dtype.kind not in _NUMBERS or dtype.shape:
        raise ValueError(f"it holds no numbers but {str(dtype)[:80]}")
    return NpyHeader(shape, dtype)


def read_numbers(file: BinaryIO, header: NpyHeader) -> np.ndarray:
    """The numbers behind a header, in C order; allocates no more than the file holds.

    Raises:
        ValueError: the file ends before them, or has a negative size.
    """
    count = 1
    for size in header.shape:
        count *= size
    needed, start = count * header.dtype.itemsize, file.tell()
    there = file.seek(0, os.SEEK_END) - start
    if not 0 <= needed <= there:
        raise ValueError(f"it ends after {there:,} of {needed:,} bytes")
    file.seek(start)
    return np.frombuffer(file.read(needed), dtype=header.dtype).reshape(header.shape)

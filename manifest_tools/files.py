"""What the tools share: text files that are whole or absent, and splits that a name alone decides."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

from speecht5_fairseq.data.atomic import atomic_text
from speecht5_fairseq.data.unit_record import file_hash

__all__ = ["SPLITS", "file_hash", "hash_fraction", "read_lines", "split_by_hash", "write_lines", "write_text"]

SPLITS = ("train", "valid", "test")


def read_lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """The lines of a UTF-8 file. Raises ValueError naming the file when it is not UTF-8."""
    try:
        with open(path, encoding="utf-8") as file:
            yield from (line.rstrip("\n") for line in file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); convert it to UTF-8") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with atomic_text(path) as file:
        file.write(text)


def write_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> int:
    """Write one line an item, whole or not at all. Returns how many.

    Raises ValueError for an item that holds a line break: it would shift all lines after it.
    """
    number = 0
    with atomic_text(path) as file:
        for number, line in enumerate(lines, start=1):
            if "\n" in line or "\r" in line:
                raise ValueError(f"{path}:{number}: the text {line!r} holds a line break; replace it by a space")
            file.write(line + "\n")
    return number


def hash_fraction(key: str, salt: str) -> float:
    """A number in [0, 1) that depends on `key` and `salt` only: the same on every machine and in every run."""
    digest = hashlib.blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def split_by_hash(key: str, salt: str, valid_fraction: float, test_fraction: float) -> str:
    """ "test", "valid" or "train" for `key`; adding or removing other keys never moves it."""
    place = hash_fraction(key, salt)
    if place < test_fraction:
        return "test"
    return "valid" if place < test_fraction + valid_fraction else "train"

"""Damaged inputs out of good ones: bytes turned over, cut, repeated and exchanged for what readers trip over."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable, Sequence

MOST_BYTES = 400_000  # of an input: inputs come by the hundred thousand
_WORDS = (b"\0", b"\xff", b"\n", b"\r\n", b"\t", b"\xef\xbb\xbf", b"\x1b[2J", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff")
_SIZES = (0, 1, -1, 127, 255, 32767, 65535, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 40, (1 << 63) - 1)
_FORMATS = ("<B", "<H", "<I", "<Q", ">H", ">I", ">Q")


def mutated(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """One of the seeds with some changes; ``words`` are what the format gives a meaning to."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9))):
        rng.choice(_CHANGES)(rng, data, (*words, *words, *_WORDS))
    return bytes(data[:MOST_BYTES])


def _place(rng: random.Random, data: bytearray) -> int:
    """Heads of files are short and decide most."""
    return rng.randrange(min(len(data), rng.choice((16, 64, 512, 1 << 30))) + 1)


def _turn_bits(rng: random.Random, data: bytearray, words: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 4, 40))):
        if data:
            data[_place(rng, data) % len(data)] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, data: bytearray, words: Sequence[bytes]) -> None:
    del data[_place(rng, data) :]


def _leave_out(rng: random.Random, data: bytearray, words: Sequence[bytes]) -> None:
    start = _place(rng, data)
    del data[start : start + rng.choice((1, 2, 7, 100))]


def _put_word(rng: random.Random, data: bytearray, words: Sequence[bytes]) -> None:
    start, word = _place(rng, data), rng.choice(words)
    data[start : start + rng.choice((0, len(word)))] = word


def _put_number(rng: random.Random, data: bytearray, words: Sequence[bytes]) -> None:
    kind, start = rng.choice(_FORMATS), _place(rng, data)
    size = struct.calcsize(kind)
    data[start : start + size] = struct.pack(kind, rng.choice(_SIZES) % (1 << 8 * size))


def _put_digits(rng: random.Random, data: bytearray, words: Sequence[bytes]) -> None:
    start = _place(rng, data)
    digits = rng.choice((b"-1", b"0", b"1e9", b"9" * 17, b"9" * 5000, "٣".encode(), b"1_0", b"NaN", b"+5", b" 5"))
    data[start : start + rng.choice((0, 1, 3))] = digits


def _repeat(rng: random.Random, data: bytearray, words: Sequence[bytes]) -> None:
    start = _place(rng, data)
    part = bytes(data[start : start + rng.choice((1, 8, 80))])
    data[start:start] = part * rng.choice((1, 2, 100, 3000))


def _exchange(rng: random.Random, data: bytearray, words: Sequence[bytes]) -> None:
    one, other, size = _place(rng, data), _place(rng, data), rng.choice((1, 8, 80))
    data[one : one + size] = data[other : other + size]


def _noise(rng: random.Random, data: bytearray, words: Sequence[bytes]) -> None:
    start, size = _place(rng, data), rng.choice((1, 4, 60))
    data[start : start + size] = rng.randbytes(size)


_CHANGES: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], None], ...] = (
    *(_turn_bits, _cut, _leave_out, _put_word, _put_word, _put_number, _put_digits, _repeat, _exchange, _noise),
)


def mutated_member(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes], member: str) -> bytes:
    """A zip, one of the seeds, sound in itself, with a damaged member: the one whose name ends so."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(rng.choice(seeds))) as source, zipfile.ZipFile(made, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            if info.filename.endswith(member):
                content = mutated(rng, [content], words)
            elif rng.random() < 0.02:
                content = content[: rng.randrange(len(content) + 1)]
            target.writestr(info.filename, content)
    return made.getvalue()

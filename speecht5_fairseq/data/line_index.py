"""An index beside a large text file, `train.km.idx`: where its lines start, and what else was read from all of them.

It is a header and int64 arrays, which are memory-mapped, so that processes share their pages. It is made when the file
is first opened and appears complete or not at all. It is never needed: where it cannot be written, and where it is
damaged or of another content, version or machine, the file itself is read.

Size and time of a file can hide an edit: one that keeps the size, in the same tick of the file system's clock in which
the file was written. Hence the rule of trust:

1. The index notes the size, the times of the content and of the inode (which no program can set back), the inode, a
   digest of samples of the content, and a digest of all of it.
2. Times that had rested for TICK when the file was read show every later edit. Where they are the same still, they and
   the samples suffice, and nothing else of the file is read.
3. Else (the file was new, or has been copied, moved or touched since) the digest of all of it decides.
4. A file that changes while it is read gets no index.

Processes that start together may each make the index; the first that is there stays, for over a network a file that is
replaced is lost to those who have it mapped. Hence other readings of a file (a job's columns) have other indexes too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from .atomic import replacing

logger = logging.getLogger(__name__)

INDEX_FROM = 1 << 22  # bytes; a smaller file is read in less than the blink of an eye
TICK = 2_000_000_000  # ns; the coarsest clock of a file system in use, FAT's
VERSION = 1  # raise it when the arrays, or what is refused in the lines, change
MAGIC = b"ST5LINES"
LINES = "lines"  # the reading that is the lines' offsets alone
_PREFIX = struct.Struct("<8sIII")  # magic, version, bytes and CRC-32 of the JSON header that follows
_MAX_HEADER = 1 << 16  # bytes
_ALIGNED = 64  # bytes; the arrays start at a multiple
_BLOCK = 1 << 22  # bytes read at a time
_SAMPLES, _SAMPLE_BYTES = 64, 4096

Arrays = dict[str, np.ndarray]


class Source(NamedTuple):
    """What tells without reading that a file may be another one now; times in ns."""

    size: int
    modified: int
    changed: int  # of the inode
    inode: int

    def rested(self, now: int) -> bool:
        """Whether a change from `now` on must show in the times. Times of 0 are a file system's that keeps none."""
        return 0 < max(self.modified, self.changed) <= now - TICK


class Index(NamedTuple):
    """What an index holds.

    Attributes:
        reading: what the arrays are; another reading of the same file is another index.
        rested: `source` can be trusted.
        samples, content: digests of some and of all of the file.
        arrays: int64 (n,) each, by name.
    """

    reading: str
    source: Source
    rested: bool
    samples: str
    content: str
    arrays: Arrays


def index_file(path: Path, reading: str = LINES) -> Path:
    """Where the index of a file is: `train.km.idx` of its lines, `train.tsv.04b35d44.idx` of another reading."""
    mark = "" if reading == LINES else f".{zlib.crc32(reading.encode()):08x}"
    return path.with_name(f"{path.name}{mark}.idx")


def indexed(file: BinaryIO, path: Path, reading: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays of a text file: mapped from its index where that holds, else made, and kept where that is possible.

    Args:
        file: `path`, opened for reading.
        reading: names what `make` reads of the file.
        make: reads the file; what it raises is raised, and then there is no index.
    """
    source = _source(file)
    if source.size < INDEX_FROM:
        return make()
    target = index_file(path, reading)
    known = load(target, reading)
    if known is not None and known.rested and known.source == source and known.samples == _samples(file, source.size):
        return known.arrays
    now = _clock(target.parent)
    if known is None and now is None:
        return make()
    content, rested = _digest(file), now is not None and source.rested(now)
    if known is not None and known.content == content:
        renew = rested and _source(file) == source
        return _save(target, known._replace(source=source, rested=True)) if renew else known.arrays
    if known is not None:
        logger.info("%s is of what the file was before: the file itself is read", target)
    arrays = make()
    if now is None:
        return arrays
    if _source(file) != source or not (rested or _digest(file) == content):
        logger.info("%s: not written, for the file changed while it was read", target)
        return arrays
    return _save(target, Index(reading, source, rested, _samples(file, source.size), content, arrays))


def load(target: Path, reading: str) -> Index | None:
    """The index in a file, its arrays mapped; None where there is none that is whole and of this reading."""
    try:
        with open(target, "rb") as file:
            return _load(file, reading)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, struct.error) as error:
        logger.info("%s is not used (%s): the file itself is read", target, error)
        return None


def _load(file: BinaryIO, reading: str) -> Index:
    """Raises ValueError or struct.error for what is no index, none of this reading, or damaged."""
    magic, version, length, check = _PREFIX.unpack(file.read(_PREFIX.size))
    if (magic, version) != (MAGIC, VERSION):
        raise ValueError(f"magic {magic!r} and version {version}, not {MAGIC!r} and {VERSION}")
    if length > _MAX_HEADER or zlib.crc32(raw := file.read(length)) != check:
        raise ValueError("damaged: its header is not as it was written")
    header = json.loads(raw)
    for name, wanted in (("byte_order", sys.byteorder), ("reading", reading)):
        if header[name] != wanted:
            raise ValueError(f"its {name} is {header[name]!r}, not {wanted!r}")
    lengths, start = header["arrays"], _aligned(_PREFIX.size + length)
    total = sum(lengths.values())
    if os.fstat(file.fileno()).st_size != start + 8 * total:
        raise ValueError("damaged: not as long as it should be")
    mapped = np.asarray(np.memmap(file, dtype=np.int64, mode="r", offset=start, shape=(total,)))
    if _hash([mapped.data]) != header["digest"]:
        raise ValueError("damaged: another digest than it should have")
    parts = np.split(mapped, np.cumsum(list(lengths.values()))[:-1])
    source = Source(*header["source"])
    arrays = dict(zip(lengths, parts, strict=True))
    return Index(reading, source, header["rested"], header["samples"], header["content"], arrays)


def _save(target: Path, index: Index) -> Arrays:
    """Write an index atomically. The arrays, mapped from it where it could be written.

    An index of the same that another process has written meanwhile stays.
    """
    taken, there = target.exists(), load(target, index.reading)
    if there is None or there[:-1] != index[:-1]:
        try:
            with replacing(target) as partial:
                with open(partial, "xb") as file:
                    _write(file, index)  # not synced: of one that a power cut spoils its digest tells
                if not taken:
                    _let_the_first_stay(partial, target)
        except FileExistsError:
            pass
        except OSError as error:
            _say_unwritable(target.parent, error)
            return index.arrays
        there = load(target, index.reading)
    return index.arrays if there is None or there.content != index.content else there.arrays


def _let_the_first_stay(partial: Path, target: Path) -> None:
    """Give an index its name, unless another process was quicker, which may have mapped its own by now.

    Raises:
        FileExistsError: it was.
    """
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError as error:
        logger.debug("%s: no hard links here (%s)", target, error)


def _write(file: BinaryIO, index: Index) -> None:
    arrays = [np.ascontiguousarray(array, dtype=np.int64) for array in index.arrays.values()]
    content = index._asdict() | {
        "byte_order": sys.byteorder,
        "arrays": {name: len(array) for name, array in index.arrays.items()},
        "digest": _hash([array.data for array in arrays]),
    }
    header = json.dumps(content).encode()
    file.write(_PREFIX.pack(MAGIC, VERSION, len(header), zlib.crc32(header)) + header)
    file.seek(_aligned(_PREFIX.size + len(header)))
    for array in arrays:
        file.write(array.data)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _source(file: BinaryIO) -> Source:
    status = os.fstat(file.fileno())
    return Source(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _digest(file: BinaryIO) -> str:
    """Of the whole file; it is read, not mapped, so that no memory grows with it."""
    digest, block = hashlib.blake2b(digest_size=16), memoryview(bytearray(_BLOCK))
    file.seek(0)
    while count := file.readinto(block):
        digest.update(block[:count])
    return digest.hexdigest()


def _samples(file: BinaryIO, size: int) -> str:
    """Digest of some evenly spaced places, the file's ends among them."""
    parts = []
    for place in np.linspace(0, max(0, size - _SAMPLE_BYTES), _SAMPLES).astype(np.int64).tolist():
        file.seek(place)
        parts.append(file.read(_SAMPLE_BYTES))
    return _hash(parts)


def _hash(parts: list[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _clock(folder: Path) -> int | None:
    """Now (ns) by the clock of the folder's file system, which need not be this machine's; None if it is read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        _say_unwritable(folder, error)
        return None


_said: set[Path] = set()


def _say_unwritable(folder: Path, error: OSError) -> None:
    if folder not in _said:
        _said.add(folder)
        logger.info("%s: no index can be written (%s): each opening reads its large files", folder, error.strerror)

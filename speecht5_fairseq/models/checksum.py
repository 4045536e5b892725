"""Checkpoint files that tell whether they are whole: written at once, or not at all, with a checksum inside.

torch.save writes a zip archive. Its last record may end with a comment, which zip readers and torch skip; ours is the
SHA-256 of the file as torch wrote it. The checksum is so in the same file, comes with the same rename and travels with
every copy: there is no second file that could be of another moment.

Checkpoints without it, of fairseq or of earlier versions, are checked by the CRC-32 that zip keeps of each record.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ..data.atomic import durable
from .checkpoint import ZIP, read_file
from .errors import CheckpointError

END = b"PK\x05\x06"  # how a zip's last record begins
END_SIZE = 22  # bytes of it, without the comment
MARK = b"speecht5_fairseq sha256 "
LONGEST_COMMENT = 0xFFFF  # bytes
SEAL_SIZE = len(MARK) + 64  # bytes of the comment: the mark, then hexadecimal digits
BLOCK = 1 << 20  # bytes


class HashedFile:
    """What torch.save writes to: a binary file, and the SHA-256 of all that went there.

    Attributes:
        error: of the system, where writing failed; torch tells of it in words of its own.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """As the file's own."""
        try:
            written = self.file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.sha256.update(data)
        return written

    def flush(self) -> None:
        """As the file's own."""
        try:
            self.file.flush()
        except OSError as error:
            self.error = error
            raise


def write_checkpoint(state: Any, path: str | Path) -> None:
    """Save as torch.save does, with a checksum; a crash at any moment leaves the old file or the new one, whole.

    Raises:
        OSError: it cannot be written, a full disk say; what stood there is untouched.
    """
    with durable(path) as file:
        hashed = HashedFile(file)
        try:
            torch.save(state, hashed)
        except RuntimeError:
            if hashed.error is not None:
                raise hashed.error from None
            raise
        _seal(file, hashed.sha256.hexdigest())


def copy_checkpoint(source: str | Path, target: str | Path) -> None:
    """Copy a file; a crash at any moment leaves the old target or the new one, whole.

    Raises:
        OSError: it cannot be written; what stood there is untouched.
    """
    with open(source, "rb") as old, durable(target) as new:
        shutil.copyfileobj(old, new, BLOCK)


def why_broken(path: str | Path) -> str:
    """What is wrong with a checkpoint file, by its checksum or those of its records; empty where it is whole.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            sealed = _read_seal(file, size)
            if sealed:
                return "" if _digest(file, size) == sealed else "the checksum says that it is not what was written"
        return _why_unsealed_broken(Path(path), size)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return f"the disk does not give it back ({error.strerror})"


def check_whole(path: str | Path) -> None:
    """Refuse a broken checkpoint file.

    Raises:
        CheckpointError: it is broken; names the file and what is wrong.
    """
    reason = why_broken(path)
    if reason and not (_is_zip(path) or has_checksum(path)):
        read_file(path)  # says itself what is wrong
    if reason:
        raise CheckpointError(f"{path}: no readable checkpoint ({reason}); copy it again, or give another")


def has_checksum(path: str | Path) -> bool:
    """Whether a file's end holds a checksum of this code's."""
    with open(path, "rb") as file:
        return bool(_read_seal(file, file.seek(0, 2)))


def _seal(file: BinaryIO, digest: str) -> None:
    """Add the digest as the archive's comment."""
    end = file.seek(-END_SIZE, 2)
    record = file.read()
    if record[:4] != END or record[-2:] != b"\0\0":
        raise ValueError(f"{file.name}: torch.save wrote no zip archive, and the checksum goes into one's last record")
    file.seek(end + END_SIZE - 2)
    file.write(SEAL_SIZE.to_bytes(2, "little") + MARK + digest.encode())


def _read_seal(file: BinaryIO, size: int) -> str:
    """The digest that a file's end holds; empty where there is none."""
    if size < END_SIZE + SEAL_SIZE:
        return ""
    file.seek(size - SEAL_SIZE - END_SIZE)
    tail = file.read()
    comment = tail[END_SIZE:]
    found = tail[:4] == END and comment.startswith(MARK)
    return comment[len(MARK) :].decode("ascii", "replace") if found else ""


def _digest(file: BinaryIO, size: int) -> str:
    """SHA-256 of a sealed file as it was before: without the comment, whose length was 0."""
    sha256, left = hashlib.sha256(), size - SEAL_SIZE - 2
    file.seek(0)
    while left > 0:
        block = file.read(min(BLOCK, left))
        if not block:
            return ""
        sha256.update(block)
        left -= len(block)
    sha256.update(b"\0\0")
    return sha256.hexdigest()


def _is_zip(path: str | Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(ZIP)) == ZIP


def _ends_as_zips_do(path: Path, size: int) -> bool:
    """Whether a zip's last record, with its comment, is the end of the file."""
    with path.open("rb") as file:
        file.seek(max(0, size - END_SIZE - LONGEST_COMMENT))
        tail = file.read()
    start = tail.rfind(END)
    length = int.from_bytes(tail[start + END_SIZE - 2 : start + END_SIZE], "little")
    return start >= 0 and start + END_SIZE + length == len(tail)


def _why_unsealed_broken(path: Path, size: int) -> str:
    if not size:
        return "it is empty"
    if not _is_zip(path):  # an older format of torch's, or none: it must be read to know
        try:
            read_file(path)
        except CheckpointError as error:
            return str(error).removeprefix(f"{path}: ")
        return ""
    if not _ends_as_zips_do(path, size):
        return f"cut off after {size:,} bytes"
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
        return f"its archive does not fit together ({error})"
    return f"its record {bad} is not what was written, its CRC-32 says" if bad else ""

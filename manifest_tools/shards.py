"""Archives for `manifest_tools.pack`: written whole or not at all, and known again by what they hold."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

import soundfile

from speecht5_fairseq.data.archives import file_state, opened
from speecht5_fairseq.data.atomic import replacing
from speecht5_fairseq.data.errors import AudioError

FLAC_TYPES = {"PCM_16": "int16", "PCM_24": "int32"}  # subtype that FLAC holds exactly -> numpy's type to move it in
_OLDEST = (1980, 1, 1, 0, 0, 0)  # zip's; members bear no time, so that the same files make the same archive


class Item(NamedTuple):
    """A file to pack. With a member that ends in .flac while the file does not, its samples are packed as FLAC."""

    source: str
    member: str
    place: str  # manifest and line, for messages


class Shard(NamedTuple):
    """An archive to make: a zip where its name ends so, else a tar."""

    path: Path
    items: tuple[Item, ...]


def make_shard(shard: Shard) -> bool:
    """Write an archive, unless it is there with these files as they are now; whether it was written.

    Raises ValueError naming the row of a file that is not there, or that --flac cannot hold exactly.
    """
    mark = _fingerprint(shard)
    if _mark_of(shard.path) == mark:
        return False
    with replacing(shard.path) as partial_file, open(partial_file, "wb") as file:
        (_write_zip if shard.path.suffix == ".zip" else _write_tar)(file, shard, mark)
        file.flush()
        os.fsync(file.fileno())
    return True


def _fingerprint(shard: Shard) -> str:
    """What the archive holds: members, and the size and time of each one's file."""
    digest = hashlib.blake2b(digest_size=16)
    for item in shard.items:
        state = file_state(item.source)
        if state is None:
            raise ValueError(f"{item.place}: {item.source}: no such file; correct the path or the audio root")
        digest.update(f"{item.member}\0{item.source}\0{state.size}\0{state.changed}\n".encode())
    return f"manifest_tools.pack {digest.hexdigest()}"


def _mark_of(path: Path) -> str | None:
    """The fingerprint in an archive, where tar and zip keep a comment; None where there is no such archive."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return archive.comment.decode()
        with tarfile.open(path, "r:") as archive:
            return archive.pax_headers.get("comment")
    except (OSError, tarfile.TarError, zipfile.BadZipFile, UnicodeDecodeError):
        return None


def _write_tar(file: BinaryIO, shard: Shard, mark: str) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": mark}) as tar:
        for item in shard.items:
            with _content(item) as content:
                info = tarfile.TarInfo(item.member)
                info.size = content.seek(0, os.SEEK_END)
                content.seek(0)
                tar.addfile(info, content)


def _write_zip(file: BinaryIO, shard: Shard, mark: str) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = mark.encode()
        for item in shard.items:
            info = zipfile.ZipInfo(item.member, _OLDEST)
            with _content(item) as content, archive.open(info, "w", force_zip64=True) as member:
                shutil.copyfileobj(content, member)


def _content(item: Item) -> BinaryIO:
    """The bytes to pack: the file's, or FLAC of its samples."""
    try:
        with opened(item.source) as source:
            if item.member.endswith(".flac") and not item.source.lower().endswith(".flac"):
                return io.BytesIO(_as_flac(source))
            return open(source, "rb") if isinstance(source, str) else io.BytesIO(source.read())
    except (AudioError, OSError, soundfile.LibsndfileError) as error:
        raise ValueError(
            f"{item.place}: {item.source}: cannot be packed ({error}); mend or convert it, or leave --flac out"
        ) from error


def _as_flac(source: str | BinaryIO) -> bytes:
    with soundfile.SoundFile(source) as file:
        if file.subtype not in FLAC_TYPES:
            raise AudioError(f"its samples are {file.subtype}, and FLAC holds {' and '.join(FLAC_TYPES)} exactly")
        samples = file.read(dtype=FLAC_TYPES[file.subtype], always_2d=True)
        packed = io.BytesIO()
        soundfile.write(packed, samples, file.samplerate, subtype=file.subtype, format="FLAC")
    return packed.getvalue()

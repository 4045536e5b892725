"""Which recordings the vectors of a folder are of: a vector is known by its name, which two corpora may share.

OUT/.sources.tsv has the recording of each vector, OUT/speakers/.rows.tsv the vectors of each speaker's mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import NamedTuple

from speecht5_fairseq.data.archives import file_exists

from .files import read_lines, write_lines
from .origins import Origin

SOURCES = ".sources.tsv"
ROWS = ".rows.tsv"


class Recording(NamedTuple):
    """One row to make a vector for."""

    audio: Path
    vector: Path
    place: str  # manifest and line, for messages


def claim(recordings: Iterable[Recording], out: Path) -> None:
    """Note in out/.sources.tsv what each vector is of, before it is made.

    A vector of the recording as it was before is removed. So is one whose recording is gone, unless the new one is the
    same file in another place. A vector that the list does not name counts as the recording's.
    Raises ValueError when a vector is of another recording.
    """
    known = _read_sources(out / SOURCES)
    claims = dict(known)
    for recording in recordings:
        source = Origin.of(recording.audio, out)
        name = recording.vector.relative_to(out).as_posix()
        old = None if source is None else claims.get(name)
        if source is None or old == source:
            continue
        if old is not None and old.path != source.path and file_exists(place := _absolute(old, out)):
            raise ValueError(
                f"{recording.vector}: the vector of {place}; {_absolute(source, out)} has the same name below its "
                "manifest's root; choose another --out"
            )
        if old is not None and old[1:] != source[1:]:
            recording.vector.unlink(missing_ok=True)
        claims[name] = source
    if claims != known:
        write_lines(out / SOURCES, ("\t".join(map(str, (name, *claims[name]))) for name in claims))


def claim_means(out: Path, means: Mapping[Path, Set[Path]]) -> None:
    """Note in out/speakers/.rows.tsv which vectors each mean is of, before it is made.

    means: the file of a speaker -> the vectors. More of them may be in it than before. Raises ValueError for a mean
    that would lose some: a manifest that is not given may name it.
    """
    record = out / "speakers" / ROWS
    known: dict[str, set[str]] = {}
    for line in read_lines(record) if record.is_file() else ():
        mean, _, vector = line.partition("\t")
        known.setdefault(mean, set()).add(vector)
    claims = dict(known)
    for mean, vectors in means.items():
        names = {vector.relative_to(out).as_posix() for vector in vectors}
        lost = known.get(mean.name, set()) - names
        if lost and mean.is_file():
            raise ValueError(
                f"{mean} is the mean of {len(lost)} more vector(s), {min(lost)} say: give the manifests of all "
                f"recordings of a speaker at once, choose another --out, or delete {record.parent}"
            )
        claims[mean.name] = names
    if claims != known:
        write_lines(record, (f"{mean}\t{vector}" for mean in claims for vector in sorted(claims[mean])))


def _read_sources(record: Path) -> dict[str, Origin]:
    sources = {}
    for number, line in enumerate(read_lines(record) if record.is_file() else (), start=1):
        fields = line.split("\t")
        if len(fields) != 4 or not (fields[2].isdigit() and fields[3].isdigit()):
            raise ValueError(f"{record}:{number}: {line!r} is not a vector, a path, bytes and a time; delete the file")
        sources[fields[0]] = Origin(fields[1], int(fields[2]), int(fields[3]))
    return sources


def _absolute(source: Origin, out: Path) -> str:
    return os.path.normpath(out.resolve() / source.path)

"""Lengths of recordings. A log beside the output keeps them, so that a run that goes on reads no file twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from speecht5_fairseq.data.atomic import atomic_text
from speecht5_fairseq.data.audio import audio_info, read_audio
from speecht5_fairseq.data.errors import AudioError

from .left_out import LeftOut
from .parallel import parallel_map
from .voices import Audio

LOGS = ".headers"
TAIL = 400  # samples at the end that are decoded: a file that was cut off has them in its header alone
FLUSH = 1000  # recordings that a stop may cost


class Measured(NamedTuple):
    """Recordings with their lengths, in the order given, and those that cannot be used."""

    rows: list[Audio]
    broken: list[LeftOut]


class State(NamedTuple):
    """What says that a file is the one that was measured."""

    size: int  # bytes
    time: int  # of its last change, ns


def measure(root: Path, names: Sequence[str], out: Path, split: str, *, n_jobs: int) -> Measured:
    """The samples at 16 kHz of the recordings `names` below `root`: by the header, and with the end decoded.

    out/.headers/SPLIT.tsv is the log; a file whose size or time changed since is read again. Broken files, absent ones,
    and names that a manifest cannot hold are told in the result; nothing is raised for them.
    """
    log = out / LOGS / f"{split}.tsv"
    usable = [name for name in names if _writable(name)]
    broken = {name: "name with a tab, a line end or bytes that are no UTF-8" for name in set(names) - set(usable)}
    states = {name: state for name in usable if (state := _state(root / name)) is not None}
    broken |= {name: "no such file" for name in usable if name not in states}
    known = _read_log(log, root, states)
    todo = [name for name in states if name not in known]
    if todo:
        with atomic_text(log) as file:
            file.writelines(_line(root, name, states[name], samples) for name, samples in known.items())
        found = _measure(root, todo, n_jobs, f"headers {split}")
        with open(log, "a", encoding="utf-8", newline="\n") as file:
            for number, (name, length) in enumerate(found, start=1):
                if isinstance(length, str):
                    broken[name] = f"unreadable ({length})"
                    continue
                known[name] = length
                file.write(_line(root, name, states[name], length))
                if number % FLUSH == 0:
                    file.flush()
    rows = [Audio(name, known[name]) for name in names if name in known]
    return Measured(rows, [LeftOut(_shown(name), broken[name]) for name in names if name in broken])


def _measure(root: Path, names: Sequence[str], n_jobs: int, description: str) -> Iterator[tuple[str, int | str]]:
    paths = (str(root / name) for name in names)
    lengths = parallel_map(_length, paths, total=len(names), n_jobs=n_jobs, description=description)
    return zip(names, lengths, strict=True)


def _length(path: str) -> int | str:
    try:
        samples = audio_info(path).samples
        read_audio(path, start=max(samples - TAIL, 0))
    except AudioError as error:
        return str(error)
    return samples if samples else f"{path}: no samples; copy it again"


def _writable(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return not any(separator in name for separator in "\t\r\n")


def _shown(name: str) -> str:
    return name if _writable(name) else ascii(name)


def _state(path: Path) -> State | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return State(found.st_size, found.st_mtime_ns)


def _line(root: Path, name: str, state: State, samples: int) -> str:
    return f"{state.size}\t{state.time}\t{samples}\t{root / name}\n"


def _read_log(log: Path, root: Path, states: dict[str, State]) -> dict[str, int]:
    """name -> samples of the files that are as they were; a last line that a stop cut is not among them."""
    if not log.is_file():
        return {}
    paths, known = {str(root / name): name for name in states}, {}
    with open(log, encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if not line.endswith("\n") or len(fields) != 4 or not all(field.isdigit() for field in fields[:3]):
                continue
            size, time, samples = map(int, fields[:3])
            name = paths.get(fields[3])
            if name is not None and states[name] == (size, time):
                known[name] = samples
    return known

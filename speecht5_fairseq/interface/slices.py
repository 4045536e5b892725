"""Many recordings a slice at a time: little is in memory, and what was found is there before the rest is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..constants import SAMPLE_RATE
from ..data.audio import audio_info
from ..data.errors import AudioError

SLICE_SECONDS = 600.0  # of recordings that are read at a time, 38 MB of samples


class Found(NamedTuple):
    """The result of the recording ``file``, the ``index``-th from 0; an AudioError where it cannot be used."""

    index: int
    file: Path
    result: Any


def each_found(files: Sequence[Path], compute: Callable[[list[Path]], list]) -> Iterator[Found]:
    """The result of each recording, in their order, as soon as its slice is computed.

    Args:
        compute: of a list of recordings: a result each, which do not depend on each other.
    """
    index = 0
    for several in slices(files):
        for file, result in zip(several, _computed(several, compute), strict=True):
            yield Found(index, file, result)
            index += 1


def slices(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Recordings in their order, ``SLICE_SECONDS`` together at most; a longer or unreadable one is alone."""
    if len(files) == 1:
        yield list(files)
        return
    chosen: list[Path] = []
    seconds = 0.0
    for file in files:
        length = _seconds(file)
        if chosen and seconds + length > SLICE_SECONDS:
            yield chosen
            chosen, seconds = [], 0.0
        chosen.append(file)
        seconds += length
    if chosen:
        yield chosen


def _seconds(file: Path) -> float:
    """By the file's header; infinity where there is none, which is told when the file is read."""
    try:
        return audio_info(file).samples / SAMPLE_RATE
    except AudioError:
        return math.inf


def _computed(files: list[Path], compute: Callable[[list[Path]], list]) -> list:
    """The results, one by one where a recording of several cannot be used."""
    try:
        return compute(files)
    except AudioError as error:
        return [error] if len(files) == 1 else [_computed([file], compute)[0] for file in files]

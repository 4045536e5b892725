"""What was mixed of which recording: the lines of SPLIT.mix.tsv, and of the journal of a run that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from .origins import Origin

HEADER = ("path", "noise", "offset", "snr_db", "gain", "samples", "recording", "size", "time")


class Mixed(NamedTuple):
    """What was mixed: a line of SPLIT.mix.tsv."""

    name: str
    noise: str
    offset: int
    snr_db: float
    gain: float
    samples: int
    recording: Origin

    @classmethod
    def parsed(cls, line: str) -> Mixed | None:
        """Of its line; None for the header, one that a stop cut, and one of 0.6.0, which tells no recording."""
        fields = line.rstrip("\n").split("\t")
        if not line.endswith("\n") or len(fields) != len(HEADER) or tuple(fields) == HEADER:
            return None
        name, noise, offset, snr_db, gain, samples, path, size, time = fields
        recording = Origin(path, int(size), int(time))
        return cls(name, noise, int(offset), float(snr_db), float(gain), int(samples), recording)

    def line(self) -> str:
        """As SPLIT.mix.tsv has it."""
        return "\t".join(map(str, (*self[:-1], *self.recording)))


def read_mixed(path: Path) -> dict[str, Mixed]:
    """The lines of a SPLIT.mix.tsv, or of one that an interrupted run left."""
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        found = [mixed for line in file if (mixed := Mixed.parsed(line)) is not None]
    return {mixed.name: mixed for mixed in found}

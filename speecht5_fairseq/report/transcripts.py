"""Recognised or translated text: what fairseq-generate printed, or wrote to OUT/generate-SUBSET.txt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ..scoring.text import has_pieces, pieces_to_words

PATTERN = "generate-*.txt"
_RESULT = re.compile(r"^Generate (\S+) with beam=\S+: (.*)$")
_OPTION = {  # of the line of options that fairseq-generate logs
    "data": re.compile(r"'task': \{.*?'data': '([^']+)'"),
    "audio_root": re.compile(r"'task': \{.*?'audio_root': '([^']+)'"),
    "gen_subset": re.compile(r"'gen_subset': '([^']+)'"),
}


class Transcript(NamedTuple):
    """One utterance; words with one space between."""

    number: int  # row of the manifest, from 0
    reference: str | None
    hypothesis: str


class Transcripts(NamedTuple):
    """What was decoded of a split.

    Attributes:
        rows: in the order of the manifest.
        result: the line of the scorer, empty without one.
        data: folder of the manifests, empty where it is not told; ``audio_root`` likewise.
    """

    subset: str
    rows: list[Transcript]
    result: str
    data: str = ""
    audio_root: str = ""

    @property
    def scored(self) -> list[Transcript]:
        """Those with a reference."""
        return [row for row in self.rows if row.reference is not None]

    @property
    def is_translation(self) -> bool:
        """Whether the run scored itself with BLEU."""
        return "BLEU" in self.result


def read_transcripts(path: Path) -> Transcripts | None:
    """The T- and D- lines of a file (of several hypotheses the first, which is the best); None where it has none."""
    references: dict[int, str] = {}
    hypotheses: dict[int, str] = {}
    subset, result, options = "", "", {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            line = line.rstrip("\n")
            if line[:2] == "T-":
                _keep(references, line, 1)
            elif line[:2] == "D-":
                _keep(hypotheses, line, 2)
            elif (found := _RESULT.match(line)) is not None:
                subset, result = found[1], found[2]
            elif "'gen_subset': " in line:
                options = {name: hit[1] for name, pattern in _OPTION.items() if (hit := pattern.search(line))}
    if not hypotheses:
        return None
    subset = subset or options.get("gen_subset") or path.stem.removeprefix("generate-")
    rows = _rows(references, hypotheses)
    return Transcripts(subset, rows, result, options.get("data", ""), options.get("audio_root", ""))


def _keep(lines: dict[int, str], line: str, column: int) -> None:
    fields = line.split("\t")
    number = fields[0][2:]
    if number.isdecimal() and len(fields) > column:
        lines.setdefault(int(number), fields[column])


def _rows(references: dict[int, str], hypotheses: dict[int, str]) -> list[Transcript]:
    """In words, whether the file has words or pieces."""
    pieces = has_pieces(references.values()) or has_pieces(hypotheses.values())

    def words(line: str | None) -> str | None:
        if line is None:
            return None
        return pieces_to_words(line) if pieces else " ".join(line.split())

    return [
        Transcript(number, words(references.get(number)), words(hypotheses[number])) for number in sorted(hypotheses)
    ]

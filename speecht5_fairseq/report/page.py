"""The page: what was found in the folders, as the template takes it, and the template filled in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..data.atomic import atomic_text
from ..scoring.detection import detection_errors, equal_error_rate
from ..scoring.errors import ScoreError
from ..scoring.estimates import COVERAGE, DRAWS, Estimate
from ..scoring.verification_plots import EDGE, TICKS, deviates
from .alignment import align, count_confusions, most_frequent
from .charts import COLOURS, Chart, Line, Tick, square_chart
from .media import Recordings
from .scores import Comparison, Score, compare, scores_of
from .sources import Source
from .speaker_map import SpeakerMap, speaker_map
from .training import training_charts
from .transcripts import Transcripts
from .worst import Worst, worst_classes, worst_speech, worst_transcripts, worst_trials

TEMPLATE = "page.html.j2"
FREQUENT = 15  # edits in a table
SPACE = "\u2423"  # an open box, for the character that nobody sees


class ScoreRow(NamedTuple):
    """A row of the table of scores; `cells` are those of the folders, None where one has no such score."""

    subset: str
    metric: str
    unit: str
    better: str
    cells: list[Estimate | None]


class ConfusionTable(NamedTuple):
    """The frequent edits of words or of characters: (what, times)."""

    unit: str
    substituted: list[tuple[str, str, int]]
    deleted: list[tuple[str, int]]
    inserted: list[tuple[str, int]]
    totals: tuple[int, int, int, int]  # substitutions, deletions, insertions, correct


class Part(NamedTuple):
    """What the page shows of one subset of one folder."""

    title: str
    worst: list[Worst]
    confusions: list[ConfusionTable]
    speakers: SpeakerMap | None
    trials: list[tuple[str, str, str, str]]


class Section(NamedTuple):
    """What the page shows of one folder."""

    name: str
    path: str
    holds: str
    colour: int
    parts: list[Part]
    notes: list[str]


class Page(NamedTuple):
    """All that the template needs."""

    title: str
    sections: list[Section]
    curves: list[Chart]
    scores: list[ScoreRow]
    comparisons: list[Comparison]
    notes: list[str]
    detection: list[Chart]
    scored: list[tuple[int, str]]  # (colour, name) of the folders that have scores; the columns of `scores`
    trained: list[tuple[int, str]]  # of those that have curves


def make_page(sources: Sequence[Source], *, title: str, worst: int, recordings: Sequence[Recordings]) -> Page:
    """Score, rank and draw everything.

    Args:
        worst: utterances that are shown of each subset.
        recordings: where those of each source are.
    """
    notes: list[str] = []
    own_notes = [list(source.notes) for source in sources]
    scores = [scores_of(source, told) for source, told in zip(sources, own_notes, strict=True)]
    parts = [
        _parts(source, place, worst, told) for source, place, told in zip(sources, recordings, own_notes, strict=True)
    ]
    sections = [
        Section(source.name, str(source.path), ", ".join(source.parts), number % COLOURS, shown, told)
        for number, (source, shown, told) in enumerate(zip(sources, parts, own_notes, strict=True))
    ]
    names = [source.name for source in sources]
    keys = [(number % COLOURS, name) for number, name in enumerate(names)]
    return Page(
        title,
        sections,
        training_charts(sources),
        _score_rows([own for own in scores if own]),
        compare(names, scores, notes),
        notes,
        _detection_charts(sources),
        [key for key, own in zip(keys, scores, strict=True) if own],
        [key for key, source in zip(keys, sources, strict=True) if source.curves is not None],
    )


def render(page: Page) -> str:
    """The page as HTML; every text of the data is escaped, and printable."""
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = _number
    text = environment.get_template(TEMPLATE).render(page=page, coverage=COVERAGE, draws=DRAWS, isnan=math.isnan)
    return printable(text)


def printable(text: str) -> str:
    r"""With what is no character written out: names of files that are not UTF-8 hold such (`caf\udce9`)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _number(value: float, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.2f}" if abs(value) >= 10 else f"{value:{sign}.3f}"


def _parts(source: Source, recordings: Recordings, worst: int, notes: list[str]) -> list[Part]:
    found = [
        Part(f"{each.subset}: transcripts", worst_transcripts(each, recordings, worst), _confusions(each), None, [])
        for each in source.transcripts
    ]
    found += [
        Part(f"{table.subset}: generated speech", worst_speech(table, worst, notes), [], None, [])
        for table in source.speech
    ]
    found += [
        Part(f"{table.subset}: speakers", worst_classes(table, recordings, worst), [], speaker_map(table, notes), [])
        for table in source.speakers
    ]
    found += [
        Part(f"{trials.subset}: verification", [], [], None, worst_trials(trials, worst)) for trials in source.trials
    ]
    return found


def _confusions(transcripts: Transcripts) -> list[ConfusionTable]:
    """Of words and of characters; none without references."""
    rows = transcripts.scored
    if not rows:
        return []
    words = count_confusions(align(row.reference.split(), row.hypothesis.split()) for row in rows)
    characters = count_confusions(align(_characters(row.reference), _characters(row.hypothesis)) for row in rows)
    return [
        ConfusionTable(
            unit,
            [(*pair, count) for pair, count in most_frequent(found.substituted, FREQUENT)],
            most_frequent(found.deleted, FREQUENT),
            most_frequent(found.inserted, FREQUENT),
            (*(_sum(counts) for counts in found[:3]), found.correct),
        )
        for unit, found in (("words", words), ("characters", characters))
    ]


def _characters(line: str) -> list[str]:
    return list(line.replace(" ", SPACE))


def _sum(counts: Counter) -> int:
    return sum(counts.values())


def _score_rows(scores: Sequence[Sequence[Score]]) -> list[ScoreRow]:
    """One row for each metric of a subset, one cell for each folder."""
    rows: dict[tuple[str, str], ScoreRow] = {}
    for column, own in enumerate(scores):
        for score in own:
            row = rows.setdefault((score.subset, score.metric), ScoreRow(*score[:4], [None] * len(scores)))
            row.cells[column] = score.estimate
    return list(rows.values())


def _detection_charts(sources: Sequence[Source]) -> list[Chart]:
    """The DET curves of each subset, one line a folder (Martin et al. 1997)."""
    lines: dict[str, list[Line]] = {}
    for number, source in enumerate(sources):
        for trials in source.trials:
            try:
                errors = detection_errors(trials.scores, trials.targets)
            except ScoreError:  # told with the scores
                continue
            eer = equal_error_rate(errors).value
            kept = ((errors.false_alarms > EDGE) | (errors.misses > EDGE)).nonzero()[0]
            points = np.stack([deviates(errors.false_alarms[kept]), deviates(errors.misses[kept])], axis=1)
            line = Line(f"{source.name}: EER {100 * eer:.2f}%", number, [tuple(point) for point in points.tolist()])
            lines.setdefault(trials.subset, []).append(line)
    ticks = [Tick(place, f"{100 * rate:g}") for rate, place in zip(TICKS, deviates(np.array(TICKS)), strict=True)]
    return [
        square_chart(f"DET curve of {subset}", found, ticks, x_label="false alarms, %", y_label="misses, %")
        for subset, found in lines.items()
    ]


def write_page(path: Path, page: Page) -> int:
    """Write the page, whole or not at all; returns its size in bytes."""
    text = render(page)
    with atomic_text(path) as file:
        file.write(text)
    return len(text.encode("utf-8"))

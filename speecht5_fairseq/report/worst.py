"""The utterances that went wrong most, each with what there is to hear and to see of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..data.errors import DataError, located
from ..scoring.error_rate import edits, word_errors
from ..scoring.intelligibility import plain_text
from ..scoring.metrics import ASR_REFERENCE, GENERATED, METRICS
from ..scoring.report import CorpusMetric, corpus_metrics
from .alignment import Step, align, edit_count
from .media import Player, Recordings, mel_picture, player, png_file
from .scores import FOCUS, numbers
from .sources import Table, Trials
from .transcripts import Transcript, Transcripts


class Worst(NamedTuple):
    """One utterance.

    Attributes:
        measure: by how much it is wrong, in words.
        steps: the alignment of its words; empty without a reference.
        facts: names and texts of what else is known.
        picture: a data URI; None for none.
    """

    title: str
    measure: str
    steps: list[Step]
    facts: list[tuple[str, str]]
    players: list[Player]
    picture: str | None = None


def worst_transcripts(transcripts: Transcripts, recordings: Recordings, number: int) -> list[Worst]:
    """The utterances with the most word edits for each word of the reference; of one rate the most edits first."""

    def rank(row: Transcript) -> tuple[float, int, int]:
        wanted, heard = row.reference.split(), row.hypothesis.split()
        count = edits(wanted, heard)
        return (-count / len(wanted) if wanted else -math.inf if count else 0.0, -count, row.number)

    wrong = [row for row in transcripts.scored if row.reference.split() != row.hypothesis.split()]
    return [_of_transcript(row, transcripts.subset, recordings) for row in sorted(wrong, key=rank)[:number]]


def _of_transcript(row: Transcript, subset: str, recordings: Recordings) -> Worst:
    steps = align(row.reference.split(), row.hypothesis.split())
    words = sum(step.reference is not None for step in steps)
    wrong = edit_count(steps)
    rate = f"WER {100 * wrong / words:.0f}%" if words else "no word in the reference"
    players = _players(lambda: recordings.path(subset, row.number, "s2t"))
    return Worst(f"utterance {row.number}", f"{rate}, {wrong} edits for {words} words", steps, [], players)


def worst_speech(table: Table, number: int, notes: list[str]) -> list[Worst]:
    """The generated utterances with the worst score: of the first metric that the table has, or the focus rate."""
    ranked = ((metric, _ranked(table, metric)) for metric in (*corpus_metrics(METRICS), FOCUS))
    metric, rows = next(((metric, rows) for metric, rows in ranked if rows), (FOCUS, []))
    if not rows:
        notes.append(f"{table.subset}: neither scores nor focus rates, so no worst utterances")
    found = [
        _of_speech(row, f"{metric.name} {value:.4g} {metric.unit}".removesuffix(" -"), table.folder)
        for value, row in rows[:number]
    ]
    if any(each.picture is None for each in found):
        notes.append(
            f"{table.subset}: pictures are missing where there is neither a PNG (--save-pictures) nor a mel, or "
            "without matplotlib (pip install matplotlib)"
        )
    return found


def _ranked(table: Table, metric: CorpusMetric) -> list[tuple[float, dict[str, str]]]:
    """(value, row) of the utterances that have a metric, the worst first."""
    values = [(amount / weight, row) for row, (amount, weight) in numbers(table, metric, GENERATED) if weight]
    sign = 1 if metric.better == "higher" else -1
    return sorted(values, key=lambda entry: (sign * entry[0], entry[1]["id"]))


def _of_speech(row: dict[str, str], measure: str, folder: Path) -> Worst:
    shown = ("focus_rate", "length_ratio", "hit_limit", "seconds", "mcd", "stoi", "pesq", "si_sdr", "score_problems")
    facts = [("text", row["text"])] if row.get("text") else []
    facts += [(name.replace("_", " "), row[name]) for name in shown if row.get(name)]
    players = [player("generated", folder / row["wav"])] if row["wav"] else []
    for column in ("reference", "source"):
        if row.get(column):
            players.append(player(column, Path(row[column])))
    picture = png_file(folder / f"{row['id']}.png")
    if picture is None and row.get("mel"):
        picture = mel_picture(folder / row["mel"])
    return Worst(row["id"], measure, _recognised(row), facts, players, picture)


def _recognised(row: dict[str, str]) -> list[Step]:
    """What was recognised (maybe nothing) beside what it was scored against; empty where the table does not tell.

    Tables without a column of that, of an earlier scoring, are believed where their text makes the edits of the table.
    """
    if not row.get("words") or "asr_text" not in row:
        return []
    heard, wanted = row["asr_text"], row.get(ASR_REFERENCE)
    if wanted is None:
        wanted = plain_text(row.get("text", ""))
        if [*map(str, word_errors([wanted], [heard]))] != [row.get("word_edits"), row["words"]]:
            return []
    return align(wanted.split(), heard.split())


def worst_classes(table: Table, recordings: Recordings, number: int) -> list[Worst]:
    """The utterances of another class than the one told, the surest mistakes first.

    Raises:
        DataError: with file and line, for a probability that is no number.
    """
    rows = enumerate(table.table.rows, start=2)
    wrong = [(_probability(table, line, row), row) for line, row in rows if row["correct"] == "no"]
    wrong.sort(key=lambda entry: (-entry[0], entry[1]["id"]))
    return [
        Worst(
            row["id"],
            f"taken for {row['class']} with probability {probability:.3f}",
            [],
            [("is", row["label"]), ("classes", row["classes"])],
            _players(lambda path=row["path"]: recordings.path_of(table.subset, path, "s2c")),
        )
        for probability, row in wrong[:number]
    ]


def _probability(table: Table, line: int, row: dict[str, str]) -> float:
    try:
        return float(row["probability"])
    except ValueError:
        problem = f"probability {row['probability']!r} is no number"
        raise DataError(located(table.table.path, line, problem, "generate the folder again")) from None


def worst_trials(trials: Trials, number: int) -> list[tuple[str, str, str, str]]:
    """Trials of one speaker with the least scores, and of two with the greatest, in turn: (is, path, path, score)."""
    order = trials.scores.argsort(kind="stable").tolist()
    missed = [place for place in order if trials.targets[place]]
    taken = [place for place in order[::-1] if not trials.targets[place]]
    mixed = [place for pair in zip(missed, taken, strict=False) for place in pair][:number]
    return [
        ("one speaker" if trials.targets[place] else "two speakers", *trials.names[place],
         f"{trials.scores[place]:.4f}")
        for place in mixed
    ]  # fmt: skip


def _players(find: Callable[[], Path | None], label: str = "recording") -> list[Player]:
    """The player of a recording, or why there is none; nothing where nobody named its manifest."""
    try:
        path = find()
    except DataError as error:
        return [Player(label, "", str(error))]
    return [] if path is None else [player(label, path)]

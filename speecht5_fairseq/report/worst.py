"""The utterances that went wrong most, each with what there is to hear and to see of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from ..data.errors import DataError
from ..scoring.error_rate import edits
from ..scoring.metrics import METRICS
from ..scoring.report import CorpusMetric, corpus_metrics
from .alignment import Step, align, edit_count
from .media import Player, Recordings, mel_picture, player, png_file
from .scores import FOCUS
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
    path = _found(lambda: recordings.path(subset, row.number, "s2t"))
    return Worst(f"utterance {row.number}", f"{rate}, {wrong} edits for {words} words", steps, [], _players(path))


def worst_speech(table: Table, number: int, notes: list[str]) -> list[Worst]:
    """The generated utterances with the worst score: of the first metric that the table has, or the focus rate."""
    metrics = [*(metric for metric in corpus_metrics(METRICS)), FOCUS]
    metric = next((each for each in metrics if any(row.get(each.amount) for row in table.table.rows)), None)
    if metric is None:
        notes.append(f"{table.subset}: neither scores nor focus rates, so no worst utterances")
        return []
    ranked = sorted(
        ((value, row["id"], row) for row in table.table.rows if (value := _value(metric, row)) is not None),
        key=lambda entry: (entry[0] if metric.better == "higher" else -entry[0], entry[1]),
    )
    found = [_of_speech(row, f"{metric.name} {value:.4g} {metric.unit}".removesuffix(" -"), table.folder)
             for value, _, row in ranked[:number]]  # fmt: skip
    if any(each.picture is None for each in found):
        notes.append(f"{table.subset}: pictures are missing where there is neither a PNG (--save-pictures) nor a mel, "
                     "or without matplotlib (pip install matplotlib)")  # fmt: skip
    return found


def _value(metric: CorpusMetric, row: dict[str, str]) -> float | None:
    pair = metric.pairs(row, "generated")
    return None if pair is None or not pair[1] else pair[0] / pair[1]


def _of_speech(row: dict[str, str], measure: str, folder: Path) -> Worst:
    heard, wanted = row.get("asr_text", ""), row.get("text", "")
    shown = ("focus_rate", "length_ratio", "hit_limit", "seconds", "mcd", "stoi", "pesq", "si_sdr", "score_problems")
    facts = [("text", wanted), ("recognised", heard)] if wanted or heard else []
    facts += [(name.replace("_", " "), row[name]) for name in shown if row.get(name)]
    players = _players(folder / row["wav"], "generated") if row["wav"] else []
    for column in ("reference", "source"):
        if row.get(column):
            players += _players(Path(row[column]), column)
    picture = png_file(folder / f"{row['id']}.png")
    if picture is None and row.get("mel"):
        picture = mel_picture(folder / row["mel"])
    return Worst(row["id"], measure, [], facts, players, picture)


def worst_classes(table: Table, recordings: Recordings, number: int) -> list[Worst]:
    """The utterances of another class than the one told, the surest mistakes first."""
    wrong = [row for row in table.table.rows if row.get("correct") == "no"]
    wrong.sort(key=lambda row: (-float(row["probability"]), row["id"]))
    return [
        Worst(
            row["id"],
            f"taken for {row['class']} with probability {float(row['probability']):.3f}",
            [],
            [("is", row["label"]), ("classes", row["classes"])],
            _players(_found(lambda path=row["path"]: recordings.path_of(table.subset, path, "s2c"))),
        )
        for row in wrong[:number]
    ]


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


def _players(path: Path | None, label: str = "recording") -> list[Player]:
    return [] if path is None else [player(label, path)]


def _found(look) -> Path | None:
    """A recording that cannot be found only lacks its player."""
    try:
        return look()
    except DataError:
        return None

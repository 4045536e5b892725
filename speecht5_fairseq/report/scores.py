"""The scores of what a folder holds, each with its interval, and how folders differ.

All intervals are bootstrap intervals over utterances: 95%, 1000 draws, a fixed seed.
"""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..data.errors import DataError, located
from ..scoring.detection import Costs
from ..scoring.error_rate import ErrorCount, character_errors, word_errors
from ..scoring.errors import ScoreError
from ..scoring.estimates import Estimate, Sample, estimate, estimate_difference, paired_p_value
from ..scoring.metrics import METRICS, PREFIXES
from ..scoring.report import CorpusMetric, corpus_metrics
from ..scoring.text import scored_lines
from .intervals import (
    TRANSLATION_METRICS,
    translation_estimate,
    translation_p_value,
    translation_score,
    verification_differences,
    verification_estimates,
)
from .sources import Source, Table, Trials
from .transcripts import Transcripts

FOCUS = CorpusMetric("focus rate", "-", "higher", "focus_rate")
COSTS = Costs()
VERIFICATION_METRICS = ("EER", f"minDCF ({COSTS.p_target:g})")


class Score(NamedTuple):
    """A number of a subset.

    Attributes:
        utterances: what tells an utterance apart (its name, and its reference, so that only equal test sets are
            compared) -> (amount, weight), or for translation the hypothesis; for verification (its two utterances,
            whether they are of one speaker) of a trial -> its score.
    """

    subset: str
    metric: str
    unit: str
    better: str
    estimate: Estimate
    utterances: dict[Hashable, tuple[float, float] | str | float]


class Comparison(NamedTuple):
    """A score of two folders on the utterances that both have; ``difference`` is the second minus the first."""

    subset: str
    metric: str
    unit: str
    better: str
    first: str
    second: str
    difference: Estimate
    p_value: float


def scores_of(source: Source, notes: list[str]) -> list[Score]:
    """Everything that can be scored; what cannot is told in ``notes``."""
    found: list[Score] = []
    for transcripts in source.transcripts:
        found += _of_transcripts(transcripts, notes)
    for table in source.speech:
        found += _of_speech(table, notes)
    for table in source.speakers:
        found += _of_classes(table, notes)
    for trials in source.trials:
        found += _of_trials(trials, notes)
    return found


def _of_transcripts(transcripts: Transcripts, notes: list[str]) -> Iterator[Score]:
    rows = transcripts.scored
    if not rows:
        notes.append(f"{transcripts.subset}: no references (T- lines), so no error rates and no confusions")
        return
    lines = scored_lines([row.reference for row in rows], [row.hypothesis for row in rows])
    rows = [row._replace(reference=said, hypothesis=heard) for row, said, heard in zip(rows, *lines, strict=True)]
    for name, count in (("WER", word_errors), ("CER", character_errors)):
        values = {}
        for row in rows:
            errors: ErrorCount = count([row.reference], [row.hypothesis])
            values[row.number, row.reference] = (100.0 * errors.errors, float(errors.reference))
        yield _ratio(transcripts.subset, name, "%", "lower", values)
    if transcripts.is_translation:
        texts = {(row.number, row.reference): row.hypothesis for row in rows}
        for name in TRANSLATION_METRICS:
            value = translation_estimate(name, *lines)
            yield Score(transcripts.subset, name, "-", "higher", value, texts)


def _of_speech(table: Table, notes: list[str]) -> Iterator[Score]:
    metrics = [*corpus_metrics(METRICS), FOCUS]
    rows = table.table.rows
    scored = False
    for metric in metrics:
        for system, prefix in PREFIXES.items():
            pairs = {_utterance(row): pair for row, pair in numbers(table, metric, system)}
            if pairs:
                scored |= metric is not FOCUS
                name = metric.name if not prefix else f"{metric.name} of the {system}"
                yield _ratio(table.subset, name, metric.unit, metric.better, pairs)
    if not scored:
        notes.append(
            f"{table.subset}: not scored yet (python -m speecht5_fairseq.scoring {shlex.quote(str(table.folder))})"
        )
    failed = sum(row.get("status", "ok") not in ("ok", "") for row in rows)
    if failed:
        notes.append(f"{table.subset}: {failed} of {len(rows)} utterances were not generated; its table says why")


def numbers(table: Table, metric: CorpusMetric, system: str) -> Iterator[tuple[dict[str, str], tuple[float, float]]]:
    """(row, (amount, weight)) of the utterances that have a metric.

    Raises:
        DataError: with file and line, for a field that is no number, or a column that is not there.
    """
    for line, row in enumerate(table.table.rows, start=2):
        try:
            pair = metric.pairs(row, system)
        except (KeyError, ValueError) as error:
            problem = f"no column {error}" if isinstance(error, KeyError) else error
            mend = "score the folder again"
            raise DataError(located(table.table.path, line, f"{metric.name}: {problem}", mend)) from None
        if pair is not None:
            yield row, pair


def _utterance(row: dict[str, str]) -> Hashable:
    """What is the same in two folders of one test set: the id, the text, the reference's file name."""
    return row["id"], row.get("text", ""), row.get("reference", "").rpartition("/")[2]


def _of_classes(table: Table, notes: list[str]) -> Iterator[Score]:
    told = {(row["id"], row["label"]): (100.0 * (row["correct"] == "yes"), 1.0) for row in table.table.rows
            if row["correct"]}  # fmt: skip
    if not told:
        notes.append(f"{table.subset}: no labels, so no accuracy")
        return
    yield _ratio(table.subset, "accuracy", "%", "higher", told)


def _of_trials(trials: Trials, notes: list[str]) -> Iterator[Score]:
    try:
        eer, cost = verification_estimates(trials.scores, trials.targets, _pairs(trials.names), COSTS)
    except ScoreError as error:
        notes.append(f"{trials.subset}: no error rate of the trials ({error})")
        return
    keys = zip(trials.names, trials.targets.tolist(), strict=True)
    told = dict(zip(keys, trials.scores.tolist(), strict=True))
    for name, unit, value in zip(VERIFICATION_METRICS, ("%", "-"), (eer, cost), strict=True):
        yield Score(trials.subset, name, unit, "lower", value, told)


def _pairs(names: Iterable[tuple[str, str]]) -> np.ndarray:
    """(N, 2) int64: the utterances of trials, numbered from 0."""
    numbers: dict[str, int] = {}
    return np.array([[numbers.setdefault(name, len(numbers)) for name in pair] for pair in names])


def _ratio(subset: str, name: str, unit: str, better: str, values: dict[Hashable, tuple[float, float]]) -> Score:
    return Score(subset, name, unit, better, estimate(_sample(values.values())), values)


def _sample(pairs: Iterable[tuple[float, float]]) -> Sample:
    return Sample(*zip(*pairs, strict=True))


def compare(names: Sequence[str], scores: Sequence[Sequence[Score]], notes: list[str]) -> list[Comparison]:
    """Each folder's scores against the first folder's that has them; of other test sets is told in ``notes``."""
    found, firsts = [], {}
    for name, own in zip(names, scores, strict=True):
        for score in own:
            first = firsts.setdefault((score.subset, score.metric), (name, score))
            if first[1] is score:
                continue
            common = [key for key in first[1].utterances if key in score.utterances]
            if len(common) < 2:
                share = "one utterance in common, too few for a test" if common else "no utterance in common"
                notes.append(f"{score.metric} of {score.subset}: {first[0]} and {name} have {share}: not compared")
                continue
            try:
                found.append(_comparison(first[0], name, first[1], score, common))
            except ScoreError as error:  # of the trials that both have
                notes.append(f"{score.metric} of {score.subset}: {first[0]} and {name} are not compared ({error})")
    return found


def _comparison(first_name: str, second_name: str, first: Score, second: Score, common: list[Hashable]) -> Comparison:
    ours, others = ([score.utterances[key] for key in common] for score in (second, first))
    if second.metric in TRANSLATION_METRICS:
        references = [key[1] for key in common]
        values = [translation_score(second.metric, references, texts) for texts in (ours, others)]
        difference = Estimate(values[0] - values[1], float("nan"), float("nan"), len(common))
        p_value = translation_p_value(second.metric, references, others, ours)
    elif second.metric in VERIFICATION_METRICS:
        pairs, targets = zip(*common, strict=True)
        both = verification_differences(np.array(others), np.array(ours), np.array(targets), _pairs(pairs), COSTS)
        difference, p_value = both[VERIFICATION_METRICS.index(second.metric)]
    else:
        difference = estimate_difference(_sample(ours), _sample(others))
        p_value = paired_p_value(_sample(ours), _sample(others))
    return Comparison(*second[:4], first_name, second_name, difference, p_value)

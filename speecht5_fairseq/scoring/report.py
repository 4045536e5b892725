"""The corpus numbers of a scored table, as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .estimates import Estimate, Sample, estimate, estimate_difference
from .metrics import ASR, GENERATED, PAIR_METRICS, PREFIXES, REFERENCE, SPEAKER, SPEAKER_COLUMN, Plan

Row = Mapping[str, str]


class CorpusMetric(NamedTuple):
    """A number of the corpus, made of columns of the table."""

    name: str
    unit: str
    better: str
    amount: str  # column
    weight: str | None = None  # column; None: each utterance counts alike
    scale: float = 1.0

    def pairs(self, row: Row, system: str) -> tuple[float, float] | None:
        """(amount, weight) of an utterance; None where it was not computed."""
        amount = row.get(PREFIXES[system] + self.amount, "")
        if not amount:
            return None
        weight = 1.0 if self.weight is None else float(row[PREFIXES[system] + self.weight])
        return self.scale * float(amount), weight


def corpus_metrics(metrics: Sequence[str]) -> Iterator[CorpusMetric]:
    """The corpus numbers of the metrics: one each, two for asr."""
    for name in metrics:
        if name == ASR:
            yield CorpusMetric("WER", "%", "lower", "word_edits", "words", 100.0)
            yield CorpusMetric("CER", "%", "lower", "character_edits", "characters", 100.0)
        elif name == SPEAKER:
            yield CorpusMetric("speaker", "cosine", "higher", SPEAKER_COLUMN)
        else:
            yield CorpusMetric(name, PAIR_METRICS[name].unit, PAIR_METRICS[name].better, name)


def corpus_table(rows: Sequence[Row], plan: Plan) -> str:
    """Means and error rates of every system, and what the generated recordings gain on the source, with intervals."""
    header = ("metric", "unit", "better", "recordings", "utterances", "value", "95% interval")
    return aligned((header, *_lines(rows, plan)))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns separated by two spaces, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _lines(rows: Sequence[Row], plan: Plan) -> Iterator[tuple[str, ...]]:
    for system_metrics in corpus_metrics(plan.metrics):
        labels = (system_metrics.name, system_metrics.unit, system_metrics.better)
        for system in plan.systems:
            if system == REFERENCE and system_metrics.weight is None:
                continue  # a reference beside itself says nothing
            yield (*labels, system, *_cells(_estimate(rows, system_metrics, system)))
        for system in plan.systems[1:]:
            if system != REFERENCE:
                difference = _difference(rows, system_metrics, system)
                yield (*labels, f"{GENERATED} - {system}", *_cells(difference, sign="+"))


def _estimate(rows: Sequence[Row], metric: CorpusMetric, system: str) -> Estimate | None:
    pairs = [pair for row in rows if (pair := metric.pairs(row, system)) is not None]
    return estimate(Sample(*zip(*pairs, strict=True))) if pairs else None


def _difference(rows: Sequence[Row], metric: CorpusMetric, system: str) -> Estimate | None:
    both = [(metric.pairs(row, GENERATED), metric.pairs(row, system)) for row in rows]
    both = [(first, second) for first, second in both if first is not None and second is not None]
    if not both:
        return None
    samples = (Sample(*zip(*pairs, strict=True)) for pairs in zip(*both, strict=True))
    return estimate_difference(*samples)


def _cells(found: Estimate | None, sign: str = "") -> tuple[str, str, str]:
    """Utterances, value, interval."""
    if found is None:
        return "0", "-", "-"
    interval = "-" if math.isnan(found.low) else f"{found.low:{sign}.3f} .. {found.high:{sign}.3f}"
    return str(found.count), f"{found.value:{sign}.3f}", interval

"""Which of a training's numbers are drawn, in which order, and the curves of several runs over each other."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .charts import Chart, Line, line_chart
from .sources import Source

# Metrics by name, in the order of the page; what none matches (times, sizes of batches) is not drawn, nor what fairseq
# repeats as the best so far.
SHOWN = tuple(
    re.compile(pattern)
    for pattern in (
        "loss",
        "uer|wer|ppl|.*error.*",
        "(.*_)?accuracy",
        ".*_loss|feature_penalty",
        "focus_rate|.*focus.*",
        "lr(_.*)?",
        "gnorm",
        ".*_perplexity",
        "codes_.*",
        "gumbel_temperature",
        "bad_batches|loss_scale",
    )
)


def training_charts(sources: Sequence[Source]) -> list[Chart]:
    """One chart a metric: solid what was trained on, dashed with dots what was validated, one colour a run."""
    runs = [(number, source) for number, source in enumerate(sources) if source.curves is not None]
    names = {name for _, source in runs for metrics in source.curves.groups.values() for name in metrics}
    charts = []
    for name in sorted((name for name in names if _rank(name) is not None), key=lambda name: (_rank(name), name)):
        lines = [line for number, source in runs for line in _lines(name, number, source, len(runs) > 1)]
        if lines:
            charts.append(line_chart(name, lines))
    return charts


def _rank(name: str) -> int | None:
    if name.startswith("best_"):
        return None
    return next((rank for rank, pattern in enumerate(SHOWN) if pattern.fullmatch(name)), None)


def _lines(name: str, colour: int, source: Source, several: bool) -> list[Line]:
    prefix = f"{source.name}: " if several else ""
    groups = [("train", source.curves.training), *source.curves.validation.items()]
    found = []
    for group, metrics in groups:
        points = sorted(metrics.get(name, {}).items())
        if points:
            validated = group != "train"
            found.append(Line(prefix + group, colour, points, dashed=validated, dotted=validated))
    return found

"""The numbers that a training logged, by update: from its logs, or from its checkpoints where there is no log.

fairseq writes a line of averages every ``--log-interval`` updates, one at the end of an epoch, and one for each
validation, in the format of ``--log-format simple`` or ``json``; with ``--log-file`` without a prefix.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..models.checkpoint import read_file, section, updates_of
from ..models.errors import CheckpointError
from .charts import GREATEST

INNER, EPOCH = "train_inner", "train"  # averages since the last line, and of an epoch
VALID = "valid"
_INNER_LINE = re.compile(r"epoch \d+:\s+\d+ / \d+ (.+)$")
_OTHER_LINE = re.compile(r"epoch \d+ \| (?:valid on '([^']+)' subset \| )?(.+)$")
_JSON_LINE = re.compile(r'(\{"epoch": .*\})\s*$')
_UPDATES = "num_updates"
_PARTS = ("speech_loss", "text_loss")  # whose mean pre-training's loss is; checkpoints keep the parts alone

Points = dict[int, float]  # update -> value


class Curves(NamedTuple):
    """What a training logged.

    Attributes:
        groups: ``INNER``, ``EPOCH`` or the name of a validation split -> metric -> points.
        broken: numbers that were NaN, infinite or beyond ``GREATEST``, which have no place on a curve, and lines of
            JSON that is none.
    """

    groups: dict[str, dict[str, Points]]
    broken: int

    @property
    def training(self) -> dict[str, Points]:
        """Of the training split: the lines between, else the averages of epochs."""
        return self.groups.get(INNER) or self.groups.get(EPOCH, {})

    @property
    def validation(self) -> dict[str, dict[str, Points]]:
        """Split -> metric -> points."""
        return {name: metrics for name, metrics in self.groups.items() if name not in (INNER, EPOCH)}


class _Line(NamedTuple):
    group: str
    values: dict[str, str]


def read_logs(paths: Iterable[Path]) -> Curves:
    """The curves of a run's logs; of an update that was logged twice (a run that went on), the last line's counts."""
    curves = Curves({}, 0)
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    found = parse_line(line)
                except (ValueError, RecursionError):
                    curves = curves._replace(broken=curves.broken + 1)
                    continue
                if found is not None:
                    curves = _with_line(curves, found)
    return curves


def parse_line(line: str) -> _Line | None:
    """One line of a log; None where it is none of numbers.

    Raises:
        ValueError, RecursionError: what looks like JSON and is none (lines of two processes in one), or too deep.
    """
    if (found := _JSON_LINE.search(line)) is not None:
        return _json_line(found[1])
    if (found := _INNER_LINE.search(line)) is not None:
        pairs = (part.split("=", 1) for part in found[1].split(", "))
        return _numbered(INNER, {pair[0]: pair[1] for pair in pairs if len(pair) == 2})
    if (found := _OTHER_LINE.search(line)) is not None:
        pairs = (part.rsplit(" ", 1) for part in found[2].split(" | "))
        return _numbered(found[1] or EPOCH, {pair[0]: pair[1] for pair in pairs if len(pair) == 2})
    return None


def _json_line(text: str) -> _Line | None:
    values = {name: str(value) for name, value in json.loads(text).items()}
    key = next((name for name in values if name.endswith(_UPDATES)), None)
    if key is None:
        return None
    group = key.removesuffix(_UPDATES).rstrip("_")
    own = {name.removeprefix(f"{group}_"): value for name, value in values.items() if name.startswith(group)}
    return _numbered(group or INNER, own)


def _numbered(group: str, values: dict[str, str]) -> _Line | None:
    """The line; None where it does not say of which update."""
    updates = _number(values.get(_UPDATES, ""))
    if updates is None or not _is_drawn(updates):
        return None
    return _Line(group, {name: value.strip() for name, value in values.items()})


def _with_line(curves: Curves, line: _Line) -> Curves:
    numbers = {name: number for name, text in line.values.items() if (number := _number(text)) is not None}
    update, broken = int(numbers.pop(_UPDATES, 0)), curves.broken
    metrics = curves.groups.setdefault(line.group, {})
    for name, number in numbers.items():
        if _is_drawn(number):
            metrics.setdefault(name, {})[update] = number
        else:
            broken += 1
    return curves._replace(broken=broken)


def _is_drawn(number: float) -> bool:
    return math.isfinite(number) and abs(number) <= GREATEST


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read_checkpoints(paths: Iterable[Path]) -> Curves:
    """A point for each checkpoint: the averages of its epoch so far, and what it was validated with.

    Raises:
        CheckpointError: a file that cannot be read, or whose numbers are not laid out as fairseq's.
    """
    curves = Curves({}, 0)
    for path in paths:
        try:
            lines = list(_lines_of(read_file(path)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{path}: holds no numbers of a training; take it out of the folder") from error
        for line in lines:
            curves = _with_line(curves, line)
    return curves


def _lines_of(state: dict) -> Iterator[_Line]:
    """What a checkpoint tells, as a log would."""
    extra = state.get("extra_state") or {}
    averages = dict(_averages((extra.get("metrics") or {}).get("train", ())))
    if "loss" not in averages and set(_PARTS) <= averages.keys():
        averages["loss"] = sum(averages[part] for part in _PARTS) / len(_PARTS)
    for group, found in ((EPOCH, averages), (VALID, _validated(state, extra))):
        if found:
            texts = {name: str(value) for name, value in found.items()}
            yield _Line(group, {**texts, _UPDATES: str(updates_of(state))})


def _validated(state: dict, extra: dict) -> dict[str, float]:
    """The one metric of the validation that a checkpoint keeps."""
    name = str(section(state, "checkpoint").get("best_checkpoint_metric") or "loss")
    value = extra.get("val_loss")
    return {} if value is None else {name: float(value)}


def _averages(meters: Iterable[tuple]) -> Iterator[tuple[str, float]]:
    """(metric, value) of what fairseq's meters had averaged; sums for derived metrics and times are left out."""
    for _, name, kind, state in meters:
        if kind != "AverageMeter" or name.startswith("_") or state.get("sum") is None:
            continue
        count = float(state["count"])
        value = float(state["sum"]) / count if count else state.get("val")
        if value is not None:
            yield name, float(value)

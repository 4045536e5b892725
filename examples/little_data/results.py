"""What the runs reached, read from their logs: one row a run, and the table of means that the README shows."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from grid import ABLATED, FULL_START, METHODS, STARTS, Place, Run
from runner import seconds_of

from manifest_tools.files import write_lines

SCORE = re.compile(r"WER: (?P<wer>[\d.]+) .*CER: (?P<cer>[\d.]+) ")
TRAINED = re.compile(r"num\. shared model params: [\d,]+ \(num\. trained: (?P<trained>[\d,]+)\)")
VALID = re.compile(r"\| valid \| (?P<values>\{.*\})$", re.MULTILINE)
COLUMNS = (
    "run", "start", "method", "minutes", "seed", "WER", "CER", "trained parameters", "checkpoint MB", "seconds",
    "best update",
)  # fmt: skip


class Result(NamedTuple):
    """Of one fine-tuning: error rates in percent on the held-out sentences, and what it cost."""

    run: Run
    wer: float
    cer: float
    trained: int  # parameters
    megabytes: float  # of the checkpoint file, Adam's moments of what is trained with it
    seconds: float  # training and decoding
    curve: tuple[tuple[int, float], ...]  # (update, error of greedy CTC in percent of the characters) in validation

    @property
    def best_update(self) -> int:
        """The update that was decoded: of equal ones fairseq keeps the last."""
        return min(reversed(self.curve), key=lambda point: point[1])[0]


def read_result(place: Place, run: Run) -> Result:
    """The result of a fine-tuning that ended well. Raises ValueError naming the log that lacks a number."""
    folder = place.folder(run.name)
    train, decode = folder / "train.log", folder / "decode.log"
    score, trained = _find(SCORE, decode), _find(TRAINED, train)
    curve = read_curve(train)
    if not curve:
        raise ValueError(f"{train}: no validation; delete {folder} to train it again")
    return Result(
        run,
        float(score["wer"]),
        float(score["cer"]),
        int(trained["trained"].replace(",", "")),
        (folder / "checkpoint_best.pt").stat().st_size / 1e6,
        sum(seconds_of(folder).values()),
        curve,
    )


def read_curve(log: Path) -> tuple[tuple[int, float], ...]:
    """(update, character error of greedy CTC) of each validation in a log of --log-format json."""
    found = VALID.finditer(log.read_text(encoding="utf-8"))
    values = [json.loads(match["values"]) for match in found]
    return tuple((int(each["valid_num_updates"]), float(each["valid_uer"])) for each in values)


def _find(pattern: re.Pattern[str], log: Path) -> re.Match[str]:
    matches = list(pattern.finditer(log.read_text(encoding="utf-8")))
    if not matches:
        raise ValueError(f"{log}: no line like {pattern.pattern!r}; delete {log.parent} to run it again")
    return matches[-1]


def write_results(results: Sequence[Result], path: Path) -> None:
    """One line a run, with a header."""
    lines = ["\t".join(COLUMNS)]
    for each in results:
        run = each.run
        row = (run.name, run.start, run.method, f"{run.minutes:g}", run.seed, f"{each.wer:.2f}", f"{each.cer:.2f}",
               each.trained, f"{each.megabytes:.2f}", f"{each.seconds:.0f}", each.best_update)  # fmt: skip
        lines.append("\t".join(map(str, row)))
    write_lines(path, lines)


def chosen(results: Sequence[Result], start: str, method: str, minutes: float | None = None) -> list[Result]:
    """The seeds of one cell; without minutes, of all amounts."""
    return [
        each for each in results
        if (each.run.start, each.run.method) == (start, method) and minutes in (None, each.run.minutes)
    ]  # fmt: skip


def mean_and_spread(values: Sequence[float]) -> str:
    """Mean over seeds, ± the standard deviation of the sample where there are several; - where there is none."""
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def table(results: Sequence[Result]) -> str:
    """Two Markdown tables: methods after joint pre-training, and starts of full fine-tuning."""
    amounts = sorted({each.run.minutes for each in results})
    seeds = len({each.run.seed for each in results})
    spread = f"; mean ± standard deviation of {seeds} seeds" if seeds > 1 else ""
    note = f"CER / WER in percent on the held-out sentences, by minutes of labelled speech{spread}."
    methods = [(METHODS[name].title, chosen(results, FULL_START, name)) for name in METHODS]
    starts = [(STARTS[name].title, chosen(results, name, ABLATED)) for name in STARTS]
    costs = [
        ("trained", lambda found: f"{found[0].trained:,}"),
        ("file, MB", lambda found: f"{found[0].megabytes:.1f}"),
    ]
    parts = [note]
    parts += _rows(f"from {STARTS[FULL_START].title}", methods, amounts, costs)
    parts += _rows(METHODS[ABLATED].title, starts, amounts, [])
    return "\n".join(parts) + "\n"


def _rows(
    corner: str,
    named: Sequence[tuple[str, list[Result]]],
    amounts: Sequence[float],
    costs: Sequence[tuple[str, Callable[[list[Result]], str]]],
) -> list[str]:
    head = [corner, *(title for title, _ in costs), *(f"{amount:g} min" for amount in amounts)]
    lines = ["", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for title, found in named:
        if found:
            cells = [_cell([each for each in found if each.run.minutes == amount]) for amount in amounts]
            lines.append(f"| {' | '.join([title, *(cost(found) for _, cost in costs), *cells])} |")
    return lines


def _cell(found: Sequence[Result]) -> str:
    return f"{mean_and_spread([each.cer for each in found])} / {mean_and_spread([each.wer for each in found])}"

"""A training that is killed (SIGKILL) again and again, and started again by the same command line."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from stress.live import Live, parts

KINDS = {"start": 1, "update": 4, "save": 3, "copy": 2}  # kind of moment -> how often, relative to the others
LONGEST_START = 8.0  # seconds of a start within which a kill falls: imports, data, model, loading
LONGEST_LEG = 9  # updates between a start and a kill


class Moment(NamedTuple):
    """When to kill.

    Attributes:
        kind: "start": before the first update; "update": anywhere; "save": while a checkpoint is written; "copy": while
            it is copied to checkpoint_last.pt.
        updates: logged since the start before it looks for the moment.
        delay: seconds that it waits then.
    """

    kind: str
    updates: int
    delay: float


class Kill(NamedTuple):
    """What a kill met, and what the start after it found.

    Attributes:
        moment: that was asked for.
        update: the last that was logged before it; 0 before the first of a leg.
        inside: the checkpoints that were being written; empty where none was.
        found: what the next start went on from, see ``Live.found``.
        notes: what the next start said of broken and half-written files.
    """

    moment: Moment
    update: int
    inside: list[str]
    found: str
    notes: list[str]


def draw_moments(count: int, seed: int) -> list[Moment]:
    """Random moments, the same for the same seed."""
    draw = random.Random(seed)
    kinds = draw.choices(list(KINDS), list(KINDS.values()), k=count)
    return [
        Moment(kind, 0, draw.uniform(0, LONGEST_START))
        if kind == "start"
        else Moment(kind, draw.randint(1, LONGEST_LEG), draw.uniform(0, 0.1) if kind == "update" else 0.0)
        for kind in kinds
    ]


def kill_at(run: Live, moment: Moment, folder: Path) -> bool:
    """Kill a run at a moment; False where it ended before."""
    if moment.updates and not run.wait_for_updates(moment.updates):
        return False
    stem = {"save": r"checkpoint_?\d", "copy": "checkpoint_last"}.get(moment.kind)
    if stem is not None and not run.wait_for(lambda: parts(folder, stem), pause=0.0002):
        return False
    time.sleep(moment.delay)
    if run.process.poll() is not None:
        return False
    run.kill()
    return True


def train_through(
    arguments: Sequence[object],
    folder: Path,
    moments: Sequence[Moment],
    told: Callable[[Kill], None] = print,
    *,
    cold: bool = False,
) -> list[Kill]:
    """Start the command, kill it, start it again, until the moments are used up or it is done.

    Args:
        folder: its --save-dir.
        told: called with each kill once the start after it has looked at the folder.
        cold: as of `Live`.

    Raises:
        AssertionError: it ended otherwise than by a kill or well.
    """
    kills: list[Kill] = []
    pending: tuple[Moment, int, list[str]] | None = None
    for moment in [*moments, None]:
        left = parts(folder)  # by the kill before
        run = Live(arguments, cold=cold)
        killed = moment is not None and kill_at(run, moment, folder)
        status = run.end()
        assert killed or not status, f"it ended with status {status}:\n{run.output[-6000:]}"
        if pending is not None:
            kills.append(Kill(*pending, run.found, notes(run.output)))
            told(kills[-1])
        if not killed:
            return kills
        pending = (moment, (run.updates or [0])[-1], [name for name in parts(folder) if name not in left])
    raise AssertionError("unreachable: the last run is not killed")


def notes(output: str) -> list[str]:
    """What a start said of its folder, in short."""
    found = []
    for pattern, name in (
        (r"removed \S+/\.(\S+?)\.[0-9a-f]{32}\.part\S*: a run was killed", "removed half of {}"),
        (r"(\S+\.pt): broken: ", "broken {}"),
        (r"goes on from (\S+) \(update", "went on from {}"),
    ):
        found += [name.format(Path(match).name) for match in re.findall(pattern, output)]
    return found


def differences(first: Path, second: Path) -> list[str]:
    """Names of what is not equal bit for bit in two checkpoints: weights, optimizer, place in the data."""
    one, two = (flat(kept(torch.load(file))) for file in (first, second))
    names = sorted(one.keys() | two.keys())
    return [name for name in names if name not in one or name not in two or not equal(one[name], two[name])]


def kept(checkpoint: dict) -> dict:
    """What a run goes on from, without times and averages of losses."""
    extra = checkpoint["extra_state"]
    return {
        "model": checkpoint["model"],
        "optimizer": checkpoint["last_optimizer_state"],
        "updates": checkpoint["optimizer_history"][-1]["num_updates"],
        "data": extra["train_iterator"],
        "best": extra.get("best"),
    }


def flat(value: object, name: str = "") -> dict[str, object]:
    """Leaves of nested dicts and lists by their path."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {path: leaf for key, each in items for path, leaf in flat(each, f"{name}/{key}").items()}
    return {name: value}


def equal(first: object, second: object) -> bool:
    """Bit for bit."""
    if torch.is_tensor(first) and torch.is_tensor(second):
        return first.dtype == second.dtype and torch.equal(first, second)
    return first == second

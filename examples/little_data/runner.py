"""Runs side by side, each once: a marker says that it ended well with these settings, a log says what it printed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from grid import Run

from speecht5_fairseq.data.atomic import replacing

ROOT = Path(__file__).resolve().parents[2]
USER_DIR = ROOT / "speecht5_fairseq"
POLL_SECONDS = 0.1
SHOWN_LINES = 15  # of the log of a run that failed


def settings(run: Run, before: dict[str, str]) -> str:
    """A digest of all that decides the result: programs and options, the inputs' content, the run that it starts from.

    before: the digests of the runs that come before.
    """
    parts = [run.steps, [hashlib.sha256(path.read_bytes()).hexdigest() for path in run.inputs]]
    return hashlib.sha256(json.dumps([*parts, before.get(run.needs or "")]).encode()).hexdigest()


def seconds_of(folder: Path) -> dict[str, float]:
    """Seconds of each step of a run that ended well."""
    return json.loads((folder / "done.json").read_text())["seconds"]


class Active(NamedTuple):
    """A step in progress."""

    run: Run
    step: int
    process: subprocess.Popen
    slot: int
    began: float
    seconds: dict[str, float]  # of the steps before


class Runner:
    """Starts what is not done, as many at a time as there are slots.

    Attributes:
        failed: run -> what is to be said of it.
    """

    def __init__(self, folder: Path, jobs: int, gpus: Sequence[str] = ()) -> None:
        """folder: of the runs' folders. gpus: names for CUDA_VISIBLE_DEVICES that the slots take in turn; none: CPU."""
        self.folder, self.gpus = folder, list(gpus)
        self.slots = list(range(jobs))
        self.digests: dict[str, str] = {}
        self.done: set[str] = set()
        self.failed: dict[str, str] = {}
        self.active: list[Active] = []

    def run(self, runs: Sequence[Run]) -> None:
        """Run all; a run that fails is reported and kept in `failed`, and the others go on."""
        waiting = [run for run in runs if not self._done_before(run)]
        try:
            while waiting or self.active:
                waiting = self._start(waiting)
                for active in [each for each in self.active if each.process.poll() is not None]:
                    self.active.remove(active)
                    self._ended(active)
                time.sleep(POLL_SECONDS)
        finally:
            for active in self.active:
                active.process.terminate()
            for active in self.active:
                active.process.wait()

    def _done_before(self, run: Run) -> bool:
        self.digests[run.name] = settings(run, self.digests)
        marker = self.folder / run.name / "done.json"
        if run.needs is not None and run.needs not in self.done:  # what it starts from is made anew
            return False
        if not marker.is_file() or json.loads(marker.read_text())["settings"] != self.digests[run.name]:
            return False
        print(f"[done ] {run.name}", flush=True)
        self.done.add(run.name)
        return True

    def _start(self, waiting: list[Run]) -> list[Run]:
        """Start what can start, in order; returns what still waits."""
        still = []
        for run in waiting:
            if run.needs in self.failed:
                self._fail(run, f"{run.needs} failed, which it starts from")
            elif self.slots and (run.needs is None or run.needs in self.done):
                shutil.rmtree(self.folder / run.name, ignore_errors=True)
                (self.folder / run.name).mkdir(parents=True)
                print(f"[start] {run.name}", flush=True)
                self._launch(run, 0, self.slots.pop(0), {})
            else:
                still.append(run)
        return still

    def _launch(self, run: Run, step: int, slot: int, seconds: dict[str, float]) -> None:
        name, (program, *arguments) = run.steps[step]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)] if self.gpus else ""
        command = [str(Path(sys.executable).with_name(program)), *arguments, "--user-dir", str(USER_DIR)]
        with open(self.folder / run.name / f"{name}.log", "wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        self.active.append(Active(run, step, process, slot, time.monotonic(), seconds))

    def _ended(self, active: Active) -> None:
        run, (name, _) = active.run, active.run.steps[active.step]
        seconds = {**active.seconds, name: round(time.monotonic() - active.began, 1)}
        log = self.folder / run.name / f"{name}.log"
        if active.process.returncode == 0 and active.step + 1 < len(run.steps):
            self._launch(run, active.step + 1, active.slot, seconds)
            return
        self.slots = sorted([*self.slots, active.slot])
        if active.process.returncode != 0:
            end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
            self._fail(run, "\n".join([f"{name} ended with {active.process.returncode}; the end of {log} says", *end]))
            return
        with replacing(self.folder / run.name / "done.json") as marker:
            marker.write_text(json.dumps({"settings": self.digests[run.name], "seconds": seconds}) + "\n")
        self.done.add(run.name)
        print(f"[ok   ] {run.name}: {sum(seconds.values()):.0f} s", flush=True)

    def _fail(self, run: Run, reason: str) -> None:
        self.failed[run.name] = reason
        print(f"[fail ] {run.name}: {reason}", file=sys.stderr, flush=True)

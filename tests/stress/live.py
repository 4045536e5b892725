"""A fairseq-train that is watched while it runs: its log as it comes, its processes, its temporary files."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen
from threading import Thread

import commands

UPDATE = re.compile(r'"num_updates": "(\d+)"')
LOADED = re.compile(r"Loaded checkpoint \S+ \(epoch \d+ @ (\d+) updates\)")
PATIENCE = 240.0  # seconds, for whatever is waited for


class Live:
    """One run of the command, started at once; in a process of its own where it is `cold` or has a call `before` it.

    Attributes:
        lines: what it has printed so far.
    """

    def __init__(
        self, arguments: Sequence[object], *, cold: bool = False, before: Callable[[], None] | None = None
    ) -> None:
        if cold or before:
            self.process = commands.start_cold("fairseq-train", *arguments, before=before)
        else:
            self.process = commands.start("fairseq-train", *arguments)
        self.lines: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self) -> str:
        return "".join(list(self.lines))

    @property
    def updates(self) -> list[int]:
        """Numbers of the updates that the log has told of, in order."""
        return [int(found[1]) for line in list(self.lines) if "train_inner" in line and (found := UPDATE.search(line))]

    @property
    def found(self) -> str:
        """What it went on from: "update 12"; "nothing" where it began anew, "?" where it has not said."""
        loaded = LOADED.search(self.output)
        if loaded:
            return f"update {loaded[1]}"
        return "nothing" if "No existing checkpoint found" in self.output else "?"

    def wait_for(self, happened: Callable[[], object], *, pause: float = 0.005) -> bool:
        """Wait until something has happened; False where the run ended before."""
        end = time.monotonic() + PATIENCE
        while not happened():
            if self.process.poll() is not None:
                return bool(happened())
            assert time.monotonic() < end, f"nothing happened in {PATIENCE:g} s:\n{self.output[-4000:]}"
            time.sleep(pause)
        return True

    def wait_for_updates(self, count: int) -> bool:
        """Wait until so many updates were logged since the start."""
        return self.wait_for(lambda: len(self.updates) >= count)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the process and its loader workers, as a terminal or a scheduler does."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def end(self) -> int:
        """Wait for its end; the exit status."""
        try:
            status = self.process.wait(PATIENCE)
        finally:
            self.kill()
        self._reader.join(PATIENCE)
        return status


def children(process: Popen) -> list[int]:
    """Ids of the processes that a process has started: loader workers, say."""
    tasks = Path(f"/proc/{process.pid}/task")
    try:
        return [int(pid) for file in tasks.glob("*/children") for pid in file.read_text().split()]
    except OSError:  # it has ended, or one of its threads
        return []


def parts(folder: Path, stem: str = "checkpoint") -> list[str]:
    """Names of the temporary files in a folder that are to become checkpoints `stem`*, a regular expression."""
    try:
        return sorted(name for name in os.listdir(folder) if re.match(rf"\.{stem}\w*\.\w+\.part", name))
    except FileNotFoundError:
        return []

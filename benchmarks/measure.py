"""Timing, peak memory and the machine, the same way for every program here; and what a program makes of it.

A program's result is a ``Report``: the measurements, the ratios between them, and the machine. It prints as text, is
written as JSON with --json, and ``python -m benchmarks`` puts the ratios and exponents of all into RESULTS.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from .exponents import Growth

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PACKAGES = ("torch", "transformers", "librosa", "espnet")
MARK = "MEASURED "  # before the JSON line of a case that ran in a process of its own
READY = "READY"  # the line of a process that waits for its turn
ROOT = Path(__file__).parents[1]


@dataclass
class Measurement:
    """Median seconds of a step, and the peak memory of its process."""

    name: str
    seconds: float  # median
    slowest: float
    fastest: float
    peak_gib: float  # of the process on CPU, of the allocator on CUDA
    extra_gib: float = 0.0  # of that, above what stood there before the first timed step
    flops: int = 0  # of the products of a step, where they were counted
    weights: int = 0  # that learn, where they were counted

    @classmethod
    def of(cls, name: str, seconds: list[float], peak_gib: float, extra_gib: float) -> Measurement:
        return cls(name, statistics.median(seconds), max(seconds), min(seconds), peak_gib, extra_gib)


@dataclass
class Ratio:
    """How many times more of something the peer takes than ours, and what was aimed at."""

    work: str
    ours: float
    peer: float
    unit: str
    peer_name: str
    aim: float | None = None  # the ratio that was wanted
    floor: float | None = None  # what ours takes at the least on this machine, by benchmarks.floors

    @property
    def times(self) -> float:
        return self.peer / self.ours


@dataclass
class Report:
    """What a program found."""

    program: str
    measurements: list[Measurement]
    ratios: list[Ratio]
    notes: list[str] = field(default_factory=list)  # a line each
    growths: list[Growth] = field(default_factory=list)

    def text(self) -> str:
        ratios = [
            f"{r.work}: ours {r.ours:.3g} {r.unit}, {r.peer_name} {r.peer:.3g}, ratio {r.times:.2f}"
            for r in self.ratios
        ]
        grown = [growth.text() for growth in self.growths]
        return "\n".join([str(machine()), table(self.measurements), *ratios, *self.notes, *grown])

    def json(self) -> str:
        today = str(datetime.date.today())
        found = {"program": self.program, "date": today, "machine": machine(), "notes": self.notes}
        lists = {"measurements": self.measurements, "ratios": self.ratios, "growths": self.growths}
        return json.dumps(found | {name: [asdict(each) for each in made] for name, made in lists.items()}, indent=1)

    def publish(self, file: Path | None) -> None:
        """Print it, and write ``file`` where one is given."""
        print(self.text(), flush=True)
        if file:
            file.write_text(self.json())


def add_options(parser: argparse.ArgumentParser, *, repeats: int = 5) -> None:
    """The options that all programs have."""
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where to run")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--repeats", type=int, default=repeats, help="timed runs of each, of which the median counts")
    parser.add_argument("--json", type=Path, help="also write the result here")


def measure(
    name: str, step: Callable[[], object], *, device: str, warm_up: int, repeats: int, turns: bool = False
) -> Measurement:
    """Run ``step`` ``warm_up`` times, then time it ``repeats`` times; with ``turns`` when ``in_turns`` says so."""
    for _ in range(warm_up):
        step()
    before = start_of_peak(device)
    seconds = []
    for _ in range(repeats):
        if turns:
            _await_turn()
        _synchronize(device)
        start = time.perf_counter()
        step()
        _synchronize(device)
        seconds.append(time.perf_counter() - start)
    peak = _peak_gib(device)
    return Measurement.of(name, seconds, peak, peak - before)


def take_turns(
    steps: Mapping[str, Callable[[], object]], *, device: str, repeats: int, warm_up: int = 1
) -> dict[str, Measurement]:
    """One measurement each of runs that alternate in this process."""
    for step in steps.values():
        for _ in range(warm_up):
            step()
    rounds = [
        {name: measure(name, step, device=device, warm_up=0, repeats=1) for name, step in steps.items()}
        for _ in range(repeats)
    ]
    found = {}
    for name in steps:
        of_one = [each[name] for each in rounds]
        peak, extra = max(m.peak_gib for m in of_one), max(m.extra_gib for m in of_one)
        found[name] = Measurement.of(name, [m.seconds for m in of_one], peak, extra)
    return found


def _await_turn() -> None:
    """Tell ``in_turns`` that this process is ready, and wait for its word."""
    print(READY, flush=True)
    if not sys.stdin.readline():
        raise SystemExit("no turn came: what gave them has ended")


def in_turns(module: str, arguments: Mapping[str, Sequence[str]], repeats: int) -> dict[str, Measurement]:
    """Measurements of ``python -m MODULE ARGUMENTS --turns`` for each name, in processes that stand beside each other.

    Each has a peak memory of its own. After their warm-up one step of one runs at a time, in turn: what else the
    machine does falls on all alike.

    Raises:
        CalledProcessError: one of them failed.
    """
    with contextlib.ExitStack() as running:
        processes = {}
        for name, given in arguments.items():
            command = [sys.executable, "-m", module, *given, "--turns", "--repeats", str(repeats)]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes[name] = running.enter_context(process)
            _line_of(process, READY)
        for left in reversed(range(repeats)):
            found = {name: _step_of(process, MARK if left == 0 else READY) for name, process in processes.items()}
    return {name: Measurement(**json.loads(line.removeprefix(MARK))) for name, line in found.items()}


def _step_of(process: subprocess.Popen[str], ended: str) -> str:
    """Give the process a turn; the line with which it ends."""
    process.stdin.write("go\n")
    process.stdin.flush()
    return _line_of(process, ended)


def _line_of(process: subprocess.Popen[str], start: str) -> str:
    """The next line of its output that starts so."""
    for line in process.stdout:
        if line.startswith(start):
            return line
    raise subprocess.CalledProcessError(process.wait(), process.args)


def apart(module: str, arguments: list[str], rounds: int = 1) -> Measurement:
    """The measurement that ``python -m MODULE ARGUMENTS`` prints, in a process whose peak memory is its own.

    Of several rounds, that with the median of the medians.
    """
    found = []
    for _ in range(rounds):
        command = [sys.executable, "-m", module, *arguments]
        output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        found.append(Measurement(**json.loads(output.split(MARK, 1)[1])))
    return sorted(found, key=lambda m: m.seconds)[(len(found) - 1) // 2]


def tell(measurement: Measurement) -> None:
    """Print what ``apart`` reads."""
    print(MARK + json.dumps(asdict(measurement)))


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "gpu": gpu,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def table(measurements: list[Measurement]) -> str:
    """One line a measurement."""
    head = f"{'':42}{'median s':>10}{'fastest':>10}{'slowest':>10}{'peak GiB':>10}{'extra':>8}"
    rows = [
        f"{m.name:42}{m.seconds:10.3f}{m.fastest:10.3f}{m.slowest:10.3f}{m.peak_gib:10.2f}{m.extra_gib:8.2f}"
        for m in measurements
    ]
    return "\n".join([head, *rows])


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def start_of_peak(device: str) -> float:
    """GiB in use now; where the system allows it, peaks count from here."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**30
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak_gib(device)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**30


def _peak_gib(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kilobytes on Linux


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"

"""Reads very many damaged inputs, in processes whose crash or hang is found, and prints what came of them.

    make fuzz                                       # 100,000 inputs
    python tests/fuzz/run.py --inputs 5000 --seed 7 --targets manifest tar

An input that crashes, hangs or ends in an error that is none of ours is kept, under its target, seed and number, in
--keep; `--again FILE` reads it once more, here and with the traceback. Exit code 1 when there is one.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parents[number]) for number in (1, 2)]

import torch  # noqa: E402
from fuzz.targets import TARGETS, input_of, outcome_of  # noqa: E402

BATCH = 500  # inputs to a process
MEMORY_GIB = 4  # that an input may ask for, above what the process has at its start
PATIENCE = 30.0  # seconds that an input may take
_TICK = 0.02  # seconds between two looks at a process
_PLACE = struct.Struct("q")  # what a process and its parent share: the number of the input that is read


class Finding(NamedTuple):
    """An input that ended in something else than an answer or a refusal."""

    index: int
    what: str


@dataclass
class Results:
    """What came of the inputs of a target."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    slowest: float = 0.0  # seconds of the processor for one input
    peak: int = 0  # bytes of a process
    before: int = 0  # bytes of it at its start

    @property
    def inputs(self) -> int:
        return sum(self.outcomes.values()) + len(self.findings)


def fuzz(target: str, count: int, seed: int, folder: Path, *, patience: float = PATIENCE) -> Results:
    """Read inputs 0 to `count` - 1 of a target, in processes of `BATCH` inputs each."""
    results, start = Results(), 0
    input_of(target, seed, 0, folder)  # makes the good files that the others are made of
    while start < count:
        start = _batch(results, target, range(start, min(start + BATCH, count)), seed, folder, patience)
    return results


def _batch(results: Results, target: str, numbers: range, seed: int, folder: Path, patience: float) -> int:
    """Read inputs in a process of their own; the number after the last that was read."""
    place, report = mmap.mmap(-1, _PLACE.size), folder / "report.jsonl"
    report.unlink(missing_ok=True)
    _PLACE.pack_into(place, 0, numbers.start)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _child(target, numbers, seed, folder, place, report)
    status, peak, hangs = _wait(child, place, patience)
    results.peak = max(results.peak, peak)
    for kind, index, what, seconds in map(json.loads, report.read_text().splitlines() if report.exists() else ()):
        if kind == "start":
            results.before = max(results.before, index)
            continue
        results.slowest = max(results.slowest, seconds)
        if kind == "finding":
            results.findings.append(Finding(index, what))
        else:
            results.outcomes[what] += 1
    if status == 0:
        return numbers.stop
    last = _PLACE.unpack_from(place)[0]
    results.findings.append(Finding(last, f"hangs: more than {patience:g} s" if hangs else _death(status)))
    return last + 1


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by signal {os.WTERMSIG(status)}"
    return f"exit code {os.WEXITSTATUS(status)}"


def _wait(child: int, place: mmap.mmap, patience: float) -> tuple[int, int, bool]:
    """Status, peak memory and whether the process was ended because an input took too long.

    Looks are counted, not seconds: when the whole machine stands still, so does the count.
    """
    looks, last = 0, -1
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return status, usage.ru_maxrss * 1024, False
        index = _PLACE.unpack_from(place)[0]
        looks, last = (looks + 1 if index == last else 0), index
        if looks * _TICK > patience:
            os.kill(child, 9)
            _, status, usage = os.wait4(child, 0)
            return status, usage.ru_maxrss * 1024, True
        time.sleep(_TICK)


def _child(target: str, numbers: range, seed: int, folder: Path, place: mmap.mmap, report: Path) -> None:
    """Never returns. What libraries print in C goes to a file: some of them remark on each input."""
    os.dup2(os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + MEMORY_GIB * 2**30,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with report.open("w") as file:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        file.write(json.dumps(["start", peak, "", 0]) + "\n")
        for index in numbers:
            _PLACE.pack_into(place, 0, index)
            data = input_of(target, seed, index, folder)
            started = time.process_time()
            kind, what = _attempt(target, data, folder)
            file.write(json.dumps([kind, index, what, time.process_time() - started]) + "\n")
            file.flush()
    os._exit(0)


def _attempt(target: str, data: bytes, folder: Path) -> tuple[str, str]:
    try:
        return "outcome", outcome_of(target, data, folder)
    except BaseException as error:  # whatever it is, it is a finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "finding", f"{type(error).__name__}: {str(error)[:300]} ({Path(where.filename).name}:{where.lineno})"


def keep(findings: Sequence[Finding], target: str, seed: int, folder: Path, kept: Path) -> Iterator[str]:
    """Write the inputs of findings; a line for each."""
    for finding in findings:
        kept.mkdir(parents=True, exist_ok=True)
        file = kept / f"{target.replace(' ', '_')}-{seed}-{finding.index}"
        file.write_bytes(input_of(target, seed, finding.index, folder))
        yield f"{file}: {finding.what}"


def line_of(target: str, results: Results) -> tuple[str, ...]:
    """A row of the table."""
    refused = {name: count for name, count in results.outcomes.most_common() if name != "answered"}
    return (
        target,
        f"{results.inputs:,}",
        f"{results.outcomes['answered']:,}",
        ", ".join(f"{name} {count:,}" for name, count in refused.items()) or "none",
        f"{len(results.findings)}",
        f"{results.slowest:.2f}",
        f"{(results.peak - results.before) / 2**20:.0f}",
    )


HEADER = ("target", "inputs", "answered", "refused", "findings", "slowest, s", "memory, MiB")


def read_again(file: Path, folder: Path) -> str:
    """The outcome of a kept input; its error is raised."""
    target = file.name.rsplit("-", 2)[0].replace("_", " ")
    input_of(target, 0, 0, folder)
    return outcome_of(target, file.read_bytes(), folder)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="other inputs (default: %(default)s)")
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-kept"), help="where inputs are kept (%(default)s)")
    parser.add_argument("--again", type=Path, metavar="FILE", help="read a kept input once more")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, read the inputs, print the table; the exit code."""
    options = build_parser().parse_args(argv)
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        if options.again is not None:
            print(read_again(options.again, folder))
            return 0
        total, lines, found = sum(TARGETS[name].share for name in options.targets), [], []
        for target in options.targets:
            count = max(1, round(options.inputs * TARGETS[target].share / total))
            results = fuzz(target, count, options.seed, folder)
            lines.append(line_of(target, results))
            print("\t".join(lines[-1]), file=sys.stderr, flush=True)
            found += keep(results.findings, target, options.seed, folder, options.keep)
        print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
        print("\n".join("| " + " | ".join(line) + " |" for line in lines))
        print(f"\nseed {options.seed}; {len(found)} findings\n" + "\n".join(found))
        return 1 if found else 0
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())

"""All the programs of this folder, one after another, and the table of what they found in RESULTS.md.

    python -m benchmarks
    python -m benchmarks --only mel search

Each runs in a process of its own and prints its report. On a machine that does something else meanwhile the numbers
mean nothing: what the machine does at best is measured first, and stands above the table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .measure import DTYPES, machine

RESULTS = Path(__file__).with_name("RESULTS.md")
# name -> module and arguments
PROGRAMS: dict[str, tuple[str, ...]] = {
    "step": ("training_step",),
    "step_bf16": ("training_step", "--dtype", "bf16"),
    "encoder": ("encoder",),
    "encoder_bf16": ("encoder", "--dtype", "bf16"),
    "synthesis": ("synthesis",),
    "synthesis_bf16": ("synthesis", "--precision", "bfloat16"),
    "search": ("search",),
    "search_bf16": ("search", "--precision", "bfloat16"),
    "mel": ("mel",),
    "optimizer": ("optimizer",),
}


def run(name: str, folder: Path, threads: int, repeats: int) -> dict[str, Any]:
    """The report of a program, which prints it too.

    Raises:
        SystemExit: the program failed.
    """
    module, *arguments = PROGRAMS[name]
    file = folder / f"{name}.json"
    shared = ["--threads", str(threads), "--repeats", str(repeats), "--json", str(file)]
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments, *shared]
    print(f"\n$ python {' '.join(command[1:-2])}", flush=True)
    code = subprocess.run(command, cwd=RESULTS.parents[1], check=False).returncode
    if code:
        raise SystemExit(f"benchmarks.{module} ended with {code}")
    return json.loads(file.read_text())


def rates(threads: int) -> str:
    """What the machine does at best, in words."""
    import torch

    from .floors import rates as measured

    torch.set_num_threads(threads)
    found = {name: measured("cpu", DTYPES[name]) for name in ("fp32", "bf16")}
    products = ", ".join(f"{rate.flops / 1e9:.0f} GFLOP/s in a {name} product" for name, rate in found.items())
    return f"{products}, {found['fp32'].bytes / 1e9:.0f} GB/s in a copy"


def results(reports: list[dict[str, Any]], at_best: str, threads: int) -> str:
    """RESULTS.md of these reports."""
    about = machine()
    names = ("python", "torch", "transformers", "librosa", "espnet")
    versions = ", ".join(f"{name} {about[name]}" for name in names)
    head = f"""# Results

`python -m benchmarks`, {datetime.date.today()}: {threads} threads of {about["processor"]}; {versions}.
The machine does {at_best}. Medians of runs that alternate; above 1, ours takes less. "Aim" is what was aimed at.

| work | ours | peer | | ratio | aim |
|---|---|---|---|---|---|
"""
    rows = [_row(ratio) for report in reports for ratio in report["ratios"]]
    notes = [f"- {report['program']}: {note}" for report in reports for note in report["notes"]]
    return head + "\n".join(rows) + "\n\n" + "\n".join(notes) + "\n"


def _row(ratio: dict[str, Any]) -> str:
    aim = "" if ratio["aim"] is None else f"{ratio['aim']:g}"
    ours, peer = (f"{ratio[name]:.3g} {ratio['unit']}" for name in ("ours", "peer"))
    return f"| {ratio['work']} | {ours} | {peer} | {ratio['peer_name']} | {ratio['peer'] / ratio['ours']:.2f} | {aim} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, help="programs to run; RESULTS.md stays as it is")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each, of which the median counts")
    options = parser.parse_args()
    at_best = rates(options.threads)
    print(f"{machine()}\n{at_best}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        names = options.only or list(PROGRAMS)
        reports = [run(name, Path(folder), options.threads, options.repeats) for name in names]
    if not options.only:
        RESULTS.write_text(results(reports, at_best, options.threads), encoding="utf-8")
        print(f"\nwrote {RESULTS.name}")


if __name__ == "__main__":
    main()

"""All the programs of this folder, one after another, and the table of what they found in RESULTS.md.

    python -m benchmarks
    python -m benchmarks --only mel search
    python -m benchmarks --reports FOLDER     keeps the reports there, and takes those that are there

Each runs in a process of its own and prints its report. On a machine that does something else meanwhile the numbers
mean nothing: what the machine does at best is measured first, and stands above the table.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .exponents import Growth, section
from .measure import DTYPES, machine

RESULTS = Path(__file__).with_name("RESULTS.md")
PLOTS = RESULTS.with_name("plots")
STEPS = ("pretrain_speech", "s2t", "s2t_ce", "transformers_s2t", "t2s", "transformers_t2s")
# name -> module and arguments, which are stronger than those that all have
PROGRAMS: dict[str, tuple[str, ...]] = {
    "step": ("training_step", "--repeats", "7", "--only", *STEPS),
    "step_bf16": ("training_step", "--repeats", "7", "--dtype", "bf16", "--only", *STEPS),
    "encoder": ("encoder",),
    "encoder_bf16": ("encoder", "--dtype", "bf16"),
    "synthesis": ("synthesis",),
    "synthesis_fp16": ("synthesis", "--precision", "float16"),
    "synthesis_bf16": ("synthesis", "--precision", "bfloat16"),
    "search": ("search",),
    "search_bf16": ("search", "--precision", "bfloat16"),
    "ctc_window": ("ctc_window",),
    "mel": ("mel",),
    "optimizer": ("optimizer",),
    "loader": ("loader",),
    "manifest": ("manifest",),
    "growth": ("growth", "--repeats", "3"),
}


def run(name: str, folder: Path, threads: int, repeats: int) -> dict[str, Any]:
    """The report of a program, which prints it too.

    Raises:
        SystemExit: the program failed, or the report that is there is of another machine, of other threads or packages.
    """
    module, *arguments = PROGRAMS[name]
    file = folder / f"{name}.json"
    if file.is_file():
        print(f"\n{name}: the report in {folder}", flush=True)
        return _checked(json.loads(file.read_text()), file, machine() | {"threads": str(threads)})
    shared = ["--threads", str(threads), "--repeats", str(repeats), "--json", str(file)]
    command = [sys.executable, "-m", f"benchmarks.{module}", *shared, *arguments]
    print(f"\n$ python {' '.join(command[1:])}", flush=True)
    code = subprocess.run(command, cwd=RESULTS.parents[1], check=False).returncode
    if code:
        raise SystemExit(f"benchmarks.{module} ended with {code}")
    return json.loads(file.read_text())


def _checked(report: dict[str, Any], file: Path, here: dict[str, str]) -> dict[str, Any]:
    """A report that was made before, on this machine as it is."""
    if "date" not in report:
        raise SystemExit(f"{file}: of an older version, it tells no date; delete it, or name another --reports FOLDER")
    there = report["machine"]
    other = [f"{name} {there.get(name)} there, {here[name]} here" for name in here if there.get(name) != here[name]]
    if other:
        told = "; ".join(other)
        raise SystemExit(f"{file}: measured otherwise ({told}); delete it, or name another --reports FOLDER")
    return report


def chosen(only: list[str] | None) -> tuple[list[str], list[str]]:
    """Programs to run, and those that are left out because the processor does not multiply bfloat16 itself."""
    import torch

    from speecht5_fairseq.modules.precision import has_bfloat16

    if only or has_bfloat16(torch.device("cpu")):
        return only or list(PROGRAMS), []
    names = [name for name in PROGRAMS if not name.endswith("_bf16")]
    return names, [name for name in PROGRAMS if name not in names]


def rates(threads: int) -> str:
    """What the machine does at best, in words."""
    import torch

    from .floors import rates as measured

    torch.set_num_threads(threads)
    found = {name: measured("cpu", DTYPES[name]) for name in ("fp32", "bf16")}
    products = ", ".join(f"{rate.flops / 1e9:.0f} GFLOP/s in a {name} product" for name, rate in found.items())
    return f"{products}, {found['fp32'].bytes / 1e9:.0f} GB/s in a copy"


def results(
    reports: list[dict[str, Any]], at_best: str, threads: int, left_out: Sequence[str] = (), plots: Path = PLOTS
) -> str:
    """RESULTS.md of these reports; pictures of growth are written into ``plots``, a folder beside it."""
    about, dates = machine(), sorted({report["date"] for report in reports})
    names = ("python", "torch", "transformers", "librosa", "espnet")
    versions = ", ".join(f"{name} {about[name]}" for name in names)
    head = f"""# Results

`python -m benchmarks`, {" and ".join(dates)}: {threads} threads of {about["processor"]}; {versions}.
The machine does {at_best}. Medians of runs that alternate; above 1, ours takes less. "Aim" is what was aimed at.
"Floor" is what ours takes at the least: counted products and bytes, at the best rates of this machine at that time. "At
most" is the ratio that it would make.

| work | ours | peer | | ratio | aim | floor | at most |
|---|---|---|---|---|---|---|---|
"""
    rows = [_row(ratio) for report in reports for ratio in report["ratios"]]
    notes = [f"- {report['program']}: {note}" for report in reports for note in report["notes"]]
    if left_out:
        notes.append(f"- left out, for this processor multiplies no bfloat16: {', '.join(left_out)}")
    text = head + "\n".join(rows) + "\n\n" + "\n".join(notes) + "\n"
    growths = [Growth(**growth) for report in reports for growth in report["growths"]]
    if growths:
        from .growth_plots import draw

        text += section(growths, [f"{plots.name}/{file.name}" for file in draw(growths, plots)])
    return text


def _row(ratio: dict[str, Any]) -> str:
    aim = "" if ratio["aim"] is None else f"{ratio['aim']:g}"
    ours, peer = (f"{ratio[name]:.3g} {ratio['unit']}" for name in ("ours", "peer"))
    found = f"{ratio['peer'] / ratio['ours']:.2f}"
    floor, at_most = "", ""
    if ratio["floor"] is not None:
        floor, at_most = f"{ratio['floor']:.3g}", f"{ratio['peer'] / ratio['floor']:.2f}"
    cells = [ratio["work"], ours, peer, ratio["peer_name"], found, aim, floor, at_most]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, help="programs to run; RESULTS.md stays as it is")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each, of which the median counts")
    parser.add_argument("--reports", type=Path, metavar="FOLDER", help="where reports stay (default: nowhere)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", force=True)  # fairseq's is DEBUG
    at_best = rates(options.threads)
    print(f"{machine()}\n{at_best}", flush=True)
    names, left_out = chosen(options.only)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.reports or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        reports = [run(name, folder, options.threads, options.repeats) for name in names]
    if not options.only:
        RESULTS.write_text(results(reports, at_best, options.threads, left_out), encoding="utf-8")
        print(f"\nwrote {RESULTS.name}")


if __name__ == "__main__":
    main()

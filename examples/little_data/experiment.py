"""Recognition from 1, 5 and 15 minutes of labelled speech: ways of fine-tuning, and what pre-training is worth.

    python examples/little_data/experiment.py --size short

Prepares the recorded prompts, pre-trains, fine-tunes and decodes side by side, and writes WORK/results.tsv, table.md,
plot.png and curves.png. Started again it goes on: runs that ended well with the same settings and data are kept.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from grid import ABLATED, FULL_START, MAX_SAMPLES, METHODS, SIZES, STARTS, Place, Run, grid, subset_name
from plots import plot_curves, plot_rates
from results import read_result, table, write_results
from runner import ROOT, Runner

from manifest_tools.command import run as run_command
from manifest_tools.files import write_text
from manifest_tools.parallel import default_jobs
from manifest_tools.subset import subset_manifest

HERE = Path(__file__).resolve().parent


def prepare(work: Path) -> Path:
    """Fetch and prepare the prompts as the demo does, once. Returns their folder; raises RuntimeError with the log."""
    folder, marker, log = work / "prompts", work / "prepare.done", work / "prepare.log"
    if marker.is_file():
        return folder
    print(f"[start] preparing the prompts; log: {log}", flush=True)
    work.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with open(log, "wb") as output:
        command = ["bash", str(ROOT / "examples/demo/prepare.sh"), str(folder.resolve())]
        status = subprocess.run(command, env={**os.environ, "PATH": path}, stdout=output, stderr=subprocess.STDOUT)
    if status.returncode:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise RuntimeError(f"preparing the prompts failed; the end of {log} says\n{end}")
    marker.touch()
    return folder


def gpus(cpu: bool) -> list[str]:
    """Names of the GPUs to use, as CUDA_VISIBLE_DEVICES takes them."""
    if cpu or not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]


def device_options(names: Sequence[str]) -> tuple[str, ...]:
    """Of the training programs. A GPU that knows bfloat16 trains in it."""
    if not names:
        return ("--cpu",)
    return ("--bf16", "--fp16-no-flatten-grads") if torch.cuda.is_bf16_supported() else ()


def take_subsets(data: Path, minutes: Sequence[float], seeds: Sequence[int]) -> None:
    """Write the training splits of labelled speech; those of one seed are nested."""
    for seed in seeds:
        for amount in minutes:
            out = data / "en" / f"{subset_name(amount, seed)}.tsv"
            subset_manifest(data / "en" / "train.tsv", out, minutes=amount, seed=seed, max_samples=MAX_SAMPLES)


def report(place: Place, runs: Sequence[Run]) -> None:
    """Write the results of these fine-tunings, and print the table."""
    results = [read_result(place, run) for run in runs]
    if not results:
        return
    write_results(results, place.work / "results.tsv")
    write_text(place.work / "table.md", table(results))
    plot_rates(results, place.work / "plot.png")
    plot_curves(results, place.work / "curves.png")
    print(f"\n{table(results)}\nwritten to {place.work}: results.tsv, table.md, plot.png, curves.png")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="short", help="how long everything trains (default: short)")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the subsets and the trainings (default: the size's)")
    parser.add_argument("--minutes", type=float, nargs="+", help="of labelled speech (default: all of the size)")
    parser.add_argument(
        "--starts", nargs="+", choices=STARTS, default=list(STARTS),
        help=f"pre-trainings; all but {FULL_START} take full fine-tuning only (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), help="ways of fine-tuning (default: all)"
    )
    parser.add_argument("--jobs", type=int, help="runs side by side (default: one a core, or one a GPU)")
    parser.add_argument("--cpu", action="store_true", help="leave GPUs alone")
    parser.add_argument("--work", type=Path, default=HERE / "work", metavar="DIR", help="where everything goes")
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help="a folder that examples/demo/prepare.sh has made, the demo's say; the subsets of en/train.tsv are written "
        "beside it (default: WORK/prompts, made first)",
    )  # fmt: skip
    return parser


def planned(args: argparse.Namespace, place: Place) -> list[Run]:
    """The runs that the options ask for, with the data that they train on. Raises ValueError naming a wrong option."""
    size = SIZES[args.size]
    minutes, seeds = args.minutes or list(size.updates), args.seeds or list(size.seeds)
    unknown = [f"{amount:g}" for amount in minutes if amount not in size.updates]
    if unknown:
        choices = " ".join(f"{amount:g}" for amount in size.updates)
        raise ValueError(
            f"--minutes {' '.join(unknown)}: --size {args.size} has updates for {choices}; choose of these"
        )
    take_subsets(place.data, minutes, seeds)
    runs = grid(place, size, minutes=minutes, starts=args.starts, methods=args.methods, seeds=seeds)
    if not runs:
        raise ValueError(f"nothing to run: methods start from {FULL_START}, and other starts take {ABLATED}")
    return runs


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is not done, report what is; exit with 1 where a run failed."""
    args = build_parser().parse_args(argv)
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"--jobs {args.jobs}: at least one run at a time")
    names = gpus(args.cpu)
    place = Place(args.data or prepare(args.work), args.work, device_options(names))
    runs = planned(args, place)
    runner = Runner(place.work / "runs", args.jobs or len(names) or default_jobs(), names)
    runner.run(runs)
    report(place, [run for run in runs if run.name in runner.done and run.method in METHODS])
    if runner.failed:
        first = "; ".join(f"{name}: {reason.splitlines()[0]}" for name, reason in runner.failed.items())
        raise RuntimeError(f"{len(runner.failed)} of {len(runs)} runs failed: {first}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the runs in progress are ended too
    run_command(main)

"""Kill a training (SIGKILL) at random moments and compare what comes out with a run that was never killed.

    make stress                                      # 30 kills of a tiny s2t training
    make stress STRESS_ARGS="--job t2s --kills 100 --seed 7"

Prints a line for each kill. The exit status is 1 where anything differs, where a start does not go on by itself, or
where no kill fell inside a save.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from stress.jobs import JOBS, command, make_data
from stress.kills import Kill, differences, draw_moments, train_through
from stress.live import Live, parts

UPDATES_PER_KILL = 6  # more than a leg has in the mean, so that the run is not done before its last kill
ROW = "{:>4}  {:<7} {:>6}  {:<34} {:>10}  {}"


def main() -> None:
    """Parse the command line, train twice, compare."""
    parser = argparse.ArgumentParser(prog="make stress", description=__doc__.split("\n\n")[0])
    parser.add_argument("--job", choices=JOBS, default="s2t", help="what is trained (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=30, help="moments to kill it at (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of moments (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(stress(options.job, options.kills, options.seed, Path(folder)))


def stress(job: str, count: int, seed: int, folder: Path) -> int:
    """Exit status of the comparison."""
    began = time.monotonic()
    data, updates = make_data(job, folder / "data"), count * UPDATES_PER_KILL
    print(f"{job}: {updates} updates, {count} kills, seed {seed}", flush=True)
    straight = Live(command(job, data, folder / "straight", updates=updates), cold=True)
    if straight.end():
        print(straight.output[-6000:])
        return 1
    print(ROW.format("kill", "asked", "update", "inside the saving of", "found", "said at the next start"), flush=True)
    kills: list[Kill] = []

    def tell(kill: Kill) -> None:
        kills.append(kill)
        inside = ", ".join(map(plain_name, kill.inside)) or "-"
        row = ROW.format(len(kills), kill.moment.kind, kill.update, inside, kill.found, "; ".join(kill.notes))
        print(row, flush=True)

    arguments = command(job, data, folder / "killed", updates=updates)
    train_through(arguments, folder / "killed", draw_moments(count, seed), tell, cold=True)
    return judge(kills, count, folder, time.monotonic() - began)


def judge(kills: list[Kill], count: int, folder: Path, seconds: float) -> int:
    """Say what came out; the exit status."""
    first, second = (folder / name / "checkpoint_last.pt" for name in ("straight", "killed"))
    wrong = differences(first, second)
    inside = sum(bool(kill.inside) for kill in kills)
    left = parts(folder / "killed")
    print(f"{len(kills)} kills, {inside} of them inside a save; {seconds:.0f} s")
    print(f"not equal bit for bit to the run that was never killed: {', '.join(wrong) or 'nothing'}")
    print(f"temporary files that are left: {', '.join(left) or 'none'}")
    broken = [name for name in os.listdir(folder / "killed") if ".broken" in name]
    print(f"broken checkpoints: {', '.join(broken) or 'none'}")
    good = not (wrong or left or broken) and len(kills) == count and inside
    print("PASSED" if good else "FAILED")
    return 0 if good else 1


def plain_name(part: str) -> str:
    """The checkpoint that a temporary file was to become."""
    return part.lstrip(".").split(".")[0] + ".pt"


if __name__ == "__main__":
    main()

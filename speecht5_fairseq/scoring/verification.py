"""Speaker verification: do two utterances have one speaker? Cosines of embeddings, and their error rates.

    python -m speecht5_fairseq.scoring.verification --trials trials.txt --embeddings out/test

TRIALS has a line `LABEL PATH PATH` a trial, as VoxCeleb's lists: LABEL is 1 for one speaker, 0 for two. --embeddings
takes the folder of `fairseq-generate --task speecht5_s2c --results-path out --save-embeddings` (its paths are those of
the manifest), or any folder of .npy files at the paths of the trials, with or without their suffix.

Printed are the equal error rate and the minimum detection cost, beside what a detector reaches that hears nothing.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.atomic import atomic_text
from .detection import Costs, detection_errors, equal_error_rate, minimum_cost
from .report import aligned
from .trials import Trial, read_trials, trial_embeddings
from .verification_plots import draw_verification, require_matplotlib


def cosine_scores(trials: Sequence[Trial], embeddings: dict[str, np.ndarray]) -> np.ndarray:
    """Cosine (N,) of each trial's two utterances, from vectors of length 1."""
    return np.array([embeddings[trial.first] @ embeddings[trial.second] for trial in trials])


def write_scores(path: Path, trials: Sequence[Trial], scores: np.ndarray) -> None:
    """Lines `LABEL PATH PATH SCORE`, tabs between, in the order of the trials; whole or not at all."""
    with atomic_text(path) as file:
        for trial, score in zip(trials, scores.tolist(), strict=True):
            file.write(f"{int(trial.target)}\t{trial.first}\t{trial.second}\t{score:.6f}\n")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m speecht5_fairseq.scoring.verification",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, costs = parser.add_argument, Costs()
    add("--trials", type=Path, required=True, metavar="FILE", help="lines `LABEL PATH PATH`")
    add("--embeddings", type=Path, required=True, metavar="FOLDER", help="results.tsv and .npy files, or these alone")
    add("--p-target", type=float, default=costs.p_target, help="share of one speaker to expect (default: %(default)s)")
    add("--cost-miss", type=float, default=costs.miss, help="of refusing the right speaker (default: %(default)s)")
    add("--cost-false-alarm", type=float, default=costs.false_alarm,
        help="of taking another for the right one (default: %(default)s)")  # fmt: skip
    add("--scores", type=Path, metavar="FILE", help="write each trial's score there")
    add("--plots", type=Path, metavar="FOLDER",
        help="draw histograms of the scores and the DET curve there (needs matplotlib)")  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Score, print, write what was asked for."""
    options = build_parser().parse_args(argv)
    costs = Costs(options.p_target, options.cost_miss, options.cost_false_alarm)
    costs.check()
    if options.plots is not None:
        require_matplotlib()
    trials = read_trials(options.trials)
    embeddings = trial_embeddings(trials, options.trials, options.embeddings)
    scores, targets = cosine_scores(trials, embeddings), np.array([trial.target for trial in trials])
    errors = detection_errors(scores, targets)
    eer, cost = equal_error_rate(errors), minimum_cost(errors, costs)
    same = int(targets.sum())
    print(f"{len(trials)} trials of {len(embeddings)} utterances: {same} of one speaker, {len(trials) - same} of two\n")
    name = f"minDCF ({costs.p_target:g}, {costs.miss:g}, {costs.false_alarm:g})"
    header = ("metric", "value", "chance", "threshold")
    rows = [("EER", f"{100 * eer.value:.2f}%", "50%", f"{eer.threshold:.4f}"),
            (name, f"{cost.value:.4f}", "1", f"{cost.threshold:.4f}")]  # fmt: skip
    print(aligned((header, *rows)))
    if options.scores is not None:
        write_scores(options.scores, trials, scores)
    if options.plots is not None:
        draw_verification(options.plots, scores, targets, errors, eer)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")

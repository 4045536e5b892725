"""Errors of a detector at every threshold: equal error rate and minimum detection cost.

A trial is accepted when its score is at least the threshold. Source of the cost: NIST's speaker recognition
evaluations (https://www.nist.gov/itl/iad/mig/speaker-recognition).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .errors import ScoreError


class DetectionErrors(NamedTuple):
    """Error rates at each threshold, from accepting everything to accepting nothing."""

    thresholds: np.ndarray  # (T,) the distinct scores, ascending, then infinity
    misses: np.ndarray  # (T,) share of the targets that are refused
    false_alarms: np.ndarray  # (T,) share of the non-targets that are accepted


class OperatingPoint(NamedTuple):
    """A value and the threshold that reaches it."""

    value: float
    threshold: float


class Costs(NamedTuple):
    """What the detection cost weighs.

    Attributes:
        p_target: share of targets to be expected in use.
        miss, false_alarm: cost of one.
    """

    p_target: float = 0.01
    miss: float = 1.0
    false_alarm: float = 1.0

    def check(self) -> None:
        """Check the prior and the costs.

        Raises:
            ValueError: a value out of its range.
        """
        if not 0 < self.p_target < 1:
            raise ValueError(f"--p-target is {self.p_target}; give a share between 0 and 1")
        for name in ("miss", "false_alarm"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"--cost-{name.replace('_', '-')} is {getattr(self, name)}; give a number above 0")


def detection_errors(scores: np.ndarray, targets: np.ndarray) -> DetectionErrors:
    """Error rates of scores (N,) with truths (N,), True where both sides are one speaker.

    Raises:
        ScoreError: no target, no non-target, or a score that is no number.
    """
    scores, targets = np.asarray(scores, dtype=np.float64), np.asarray(targets, dtype=bool)
    if not np.isfinite(scores).all():
        raise ScoreError(f"{int((~np.isfinite(scores)).sum())} scores are NaN or infinite: make the embeddings again")
    positives, negatives = np.sort(scores[targets]), np.sort(scores[~targets])
    if not len(positives) or not len(negatives):
        missing = "of one speaker" if not len(positives) else "of two speakers"
        raise ScoreError(f"no trial is {missing}, so there is no error rate: add some")
    thresholds = np.append(np.unique(scores), np.inf)
    misses = np.searchsorted(positives, thresholds, side="left") / len(positives)
    false_alarms = 1 - np.searchsorted(negatives, thresholds, side="left") / len(negatives)
    return DetectionErrors(thresholds, misses, false_alarms)


def equal_error_rate(errors: DetectionErrors) -> OperatingPoint:
    """Where misses are as frequent as false alarms; between two thresholds both rates go along a line."""
    ahead = errors.misses - errors.false_alarms  # -1 at the first threshold, 1 at the last
    after = int(np.argmax(ahead >= 0))
    before = after - 1  # the first is below 0: it accepts everything
    share = -ahead[before] / (ahead[after] - ahead[before])
    value = errors.misses[before] + share * (errors.misses[after] - errors.misses[before])
    return OperatingPoint(float(value), float(errors.thresholds[after]))


def minimum_cost(errors: DetectionErrors, costs: Costs) -> OperatingPoint:
    """Least detection cost over all thresholds, divided by the better one of accepting all and nothing: 1 is chance.

    Raises:
        ValueError: see ``Costs.check``.
    """
    costs.check()
    misses = costs.miss * costs.p_target
    alarms = costs.false_alarm * (1 - costs.p_target)
    total = (misses * errors.misses + alarms * errors.false_alarms) / min(misses, alarms)
    best = int(np.argmin(total))
    return OperatingPoint(float(total[best]), float(errors.thresholds[best]))

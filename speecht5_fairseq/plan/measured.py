"""The rate of a whole training step on this machine."""

from __future__ import annotations

import torch
from fairseq.utils import apply_to_sample

from .batches import Sizes
from .gpus import median_seconds
from .step import Built, count, parts_of, prepared, run

ROWS = {"cpu": 1, "cuda": 4}
RUNS, WARM_UP = 3, 1


def step_rate(built: Built, job: str, sizes: Sizes) -> float:
    """Floating-point operations a second of forward and backward, over all parts of a step, few rows of each.

    On the GPU if there is one, else on the CPU.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    counted = [count(built, part, sizes).flops_of(ROWS[device]) for part in parts_of(job)]
    built.model.to(device)
    batches = [prepared(built, part.batch(ROWS[device], sizes)) for part in parts_of(job)]
    batches = [apply_to_sample(lambda tensor: tensor.to(device), batch) for batch in batches]

    def step() -> None:
        built.model.zero_grad()
        for batch in batches:
            run(built, batch)

    return sum(counted) / median_seconds(step, runs=RUNS, warm_up=WARM_UP)

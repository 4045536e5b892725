"""One parallel map with a progress bar, used by every tool that visits all utterances or all text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import joblib
from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALL_WORK = 64  # items that are done before other processes have imported torch


def default_jobs() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _one_thread(function: Callable[[Item], Result], item: Item) -> Result:
    import torch

    torch.set_num_threads(1)  # as many processes as cores: more threads in each would only fight
    return function(item)


def parallel_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    total: int,
    n_jobs: int,
    description: str,
    unit: str = "utt",
) -> Iterator[Result]:
    """Yield function(item) in the order of `items`, over `n_jobs` processes, with progress on stderr.

    Lazy at both ends: a manifest of millions of rows needs no list of them, neither going in nor coming out.
    With n_jobs 1, or few items (`total` counts them), everything runs in this process. An exception in any item ends
    the map. unit: "utt" for utterances, or another name of items that are worth a process each.
    """
    if n_jobs == 1 or (unit == "utt" and total < SMALL_WORK):
        results: Iterator[Result] = map(function, items)
    else:
        tasks = (joblib.delayed(_one_thread)(function, item) for item in items)
        results = joblib.Parallel(n_jobs=n_jobs, return_as="generator", batch_size="auto")(tasks)
    yield from tqdm(results, total=total, desc=description, unit=unit)

"""One parallel map with a progress bar, used by every tool that visits all utterances or all text.

Where it runs is chosen once, around it: `with on_backend("dask", scheduler="tcp://host:8786") as n_jobs`. Without that,
over processes of this machine, started by joblib's loky.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import joblib
from tqdm import tqdm

from .cluster import Cluster, cluster_map, dask_cluster, ray_cluster

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALL_WORK = 64  # items that are done before other processes have imported torch
UTTERANCES_A_TASK = 8  # a task costs a cluster about 1 ms
BACKENDS = ("loky", "dask", "ray")

_cluster: ContextVar[Cluster | None] = ContextVar("cluster", default=None)  # where the map runs; None: loky


def default_jobs() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def on_backend(backend: str = "loky", *, scheduler: str | None = None, jobs: int = 0) -> Iterator[int]:
    """Let each `parallel_map` inside run on `backend`, one of BACKENDS; gives the n_jobs for it.

    loky: `jobs` processes of this machine, 0 for one a core. dask, ray: as many workers of a cluster that is started
    here and ends with the block; or, with `scheduler`, all workers of the one at that address, which must see the same
    files by the same paths. Raises ValueError for options without effect, and what `manifest_tools.cluster` raises.
    """
    if backend not in BACKENDS:
        raise ValueError(f"--backend {backend}: give one of {', '.join(BACKENDS)}")
    if jobs < 0:
        raise ValueError(f"--jobs {jobs}: give a number of processes, or 0 for one a core")
    if scheduler is not None and backend == "loky":
        raise ValueError(f"--scheduler {scheduler} has no effect with --backend loky: add --backend dask or ray")
    if scheduler is not None and jobs:
        raise ValueError(f"--jobs {jobs} has no effect with --scheduler, whose workers are all used: leave it out")
    jobs = jobs or default_jobs()
    if backend == "loky":
        yield jobs
        return
    start = dask_cluster if backend == "dask" else ray_cluster
    with start(scheduler, jobs) as cluster:
        before = _cluster.set(cluster)
        try:
            yield jobs
        finally:
            _cluster.reset(before)


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
    With n_jobs 1, or few items (`total` counts them), everything runs in this process. Inside `on_backend("dask")` or
    "ray" everything runs on that cluster and n_jobs is not read. An exception in any item ends the map.
    unit: "utt" for utterances, or another name of items that are worth a process each.
    """
    cluster = _cluster.get()
    if cluster is not None:
        batch_size = UTTERANCES_A_TASK if unit == "utt" else 1
        results: Iterator[Result] = cluster_map(cluster, function, items, batch_size=batch_size)
    elif n_jobs == 1 or (unit == "utt" and total < SMALL_WORK):
        results = map(function, items)
    else:
        tasks = (joblib.delayed(_one_thread)(function, item) for item in items)
        results = joblib.Parallel(n_jobs=n_jobs, return_as="generator", batch_size="auto")(tasks)
    yield from tqdm(results, total=total, desc=description, unit=unit)

"""Dask and Ray workers for the parallel map: started here or joined, checked, and given a bounded number of tasks.

Tasks are submitted here rather than through joblib's own backends for the two. Its Dask backend waits for ever for a
task whose worker was killed, because the callback is left out for errors of the scheduler; its Ray backend is a pool
that returns lists only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pkgutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

NEEDED = ("manifest_tools", "speecht5_fairseq", "torchaudio")  # modules that each worker must be able to import
PER_WORKER = 4  # tasks in flight for each worker: one runs, the others wait beside it
CONNECT_SECONDS = 30


class Cluster(NamedTuple):
    """A running cluster, as the map sees it."""

    workers: Callable[[], int]  # how many tasks run side by side now
    share: Callable[[Any], Any]  # a value -> its handle, sent once and not with each task
    submit: Callable[[Callable[..., Any], Any, Sequence[Any]], Any]  # function, handle, batch -> a future
    result: Callable[[Any], Any]  # a future -> what the function returned; raises what it raised


def cluster_map(
    cluster: Cluster, function: Callable[[Item], Result], items: Iterable[Item], *, batch_size: int
) -> Iterator[Result]:
    """Yield function(item) in the order of `items`, computed by the cluster's workers.

    At most PER_WORKER * workers tasks of `batch_size` items are under way or waiting for the consumer, whichever is
    slow. Raises what an item raised, as it was raised; the tasks after it are dropped.
    """
    handle, rest = cluster.share(function), iter(items)
    waiting: deque[Any] = deque()
    while batch := list(islice(rest, batch_size)):
        waiting.append(cluster.submit(_batch, handle, batch))
        while len(waiting) >= PER_WORKER * max(cluster.workers(), 1):
            yield from cluster.result(waiting.popleft())
    while waiting:
        yield from cluster.result(waiting.popleft())


def _batch(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    import torch

    torch.set_num_threads(1)  # a worker a core: more threads in each would only fight
    return [function(item) for item in items]


@contextmanager
def dask_cluster(scheduler: str | None, n_workers: int) -> Iterator[Cluster]:
    """Workers of the Dask scheduler at the address `scheduler`, or without one of `n_workers` processes started here.

    Raises ImportError without dask, ConnectionError where no scheduler answers, RuntimeError where it has no workers,
    where one of them cannot import this package, and, from a task, where Dask gave up after several killed workers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError('--backend dask needs Dask: pip install "dask[distributed]"') from error
    logging.getLogger("distributed").setLevel(logging.WARNING)  # each connection would be a line
    with ExitStack() as stack:
        address: Any = scheduler
        if scheduler is None:
            options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": 0}
            address = stack.enter_context(LocalCluster(n_workers=n_workers, threads_per_worker=1, **options))
        try:
            client = stack.enter_context(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"--scheduler {scheduler}: no Dask scheduler answers ({error}); give the address that `dask scheduler` "
                "printed (tcp://HOST:8786)"
            ) from error
        if scheduler is not None:
            _check_dask_workers(client, scheduler)
        yield Cluster(
            lambda: sum(client.nthreads().values()),
            lambda value: client.submit(_same, value, pure=False),  # made again where a worker is lost; scatter is not
            lambda function, handle, batch: client.submit(function, handle, batch, pure=False),
            _dask_result,
        )


def _same(value: Item) -> Item:
    return value


def _dask_result(future: Any) -> Any:
    from distributed import KilledWorker

    try:
        return future.result()
    except (KilledWorker, CancelledError) as error:
        raise RuntimeError(
            f"Dask gave a task up ({error}); workers that end like this have often run out of memory: look at their "
            "logs, start fewer on a machine, or give each more (dask worker --memory-limit)"
        ) from error


def _check_dask_workers(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except asyncio.TimeoutError as error:  # Python 3.10 has another TimeoutError beside it
        raise RuntimeError(
            f"--scheduler {scheduler}: no worker within {CONNECT_SECONDS} s; start some: dask worker {scheduler}"
        ) from error
    for module in NEEDED:
        answers = client.run(pkgutil.resolve_name, f"{module}:__name__", on_error="return")
        for worker, answer in answers.items():
            if answer != module:
                raise RuntimeError(_not_importable(f"the Dask worker {worker}", module, answer))


def _not_importable(worker: str, module: str, problem: object) -> str:
    return (
        f"{worker} cannot import {module} ({problem}): install this project there, in the same version of Python, "
        "or start the workers with its folder in PYTHONPATH"
    )


@contextmanager
def ray_cluster(scheduler: str | None, n_workers: int) -> Iterator[Cluster]:
    """Workers of the Ray cluster at `scheduler` ("auto": the one of this machine), or of a local one of `n_workers`.

    Raises ImportError without Ray, ConnectionError where no cluster answers, RuntimeError where a worker cannot import
    this package, and, from a task, where Ray gave up after several killed workers.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError('--backend ray needs Ray: pip install "ray[default]"') from error
    options: dict[str, Any] = {"address": scheduler}
    if scheduler is None:
        # Workers started here get this process's import path, as Dask's do.
        environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}}
        options = {"address": "local", "num_cpus": n_workers, "include_dashboard": False, "runtime_env": environment}
    try:
        ray.init(log_to_driver=False, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConnectionError(
            f"--scheduler {scheduler}: no Ray cluster answers ({error}); give HOST:6379 or ray://HOST:10001, or auto "
            "on a machine where `ray start` ran"
        ) from error
    try:
        if scheduler is not None:
            _check_ray_workers(ray)
        submit = ray.remote(_unwrapped)
        yield Cluster(
            lambda: int(ray.cluster_resources().get("CPU", 1)),
            ray.put,
            lambda function, handle, batch: submit.remote(function, handle, batch),
            lambda future: _ray_result(ray, future),
        )
    finally:
        ray.shutdown()


def _unwrapped(function: Callable[..., Any], value: Any, batch: Sequence[Any]) -> Any:
    return function(value, batch)


def _check_ray_workers(ray: Any) -> None:
    resolve = ray.remote(pkgutil.resolve_name)
    for module in NEEDED:
        try:
            ray.get(resolve.remote(f"{module}:__name__"))
        except ray.exceptions.RayTaskError as error:
            raise RuntimeError(_not_importable("a Ray worker", module, error.cause)) from error


def _ray_result(ray: Any, future: Any) -> Any:
    try:
        return ray.get(future)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error  # Ray's own message is the whole traceback of the worker
    except ray.exceptions.RayError as error:
        raise RuntimeError(
            f"Ray gave a task up ({error}); workers that end like this have often run out of memory: look at their "
            "logs, or start fewer on a machine"
        ) from error

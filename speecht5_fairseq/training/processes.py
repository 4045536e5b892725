"""Several processes that train together: how many there are, and what the first does for the others."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from torch import distributed

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=2)  # for the first process to verify the data


def process_count() -> int:
    """Processes that train together; fairseq has formed their group before it builds the model."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def check_launch() -> None:
    """See to it that a process which torchrun has started does not train alone.

    fairseq looks at torchrun's variables only where it expects more processes than one: of machines with one GPU each
    every one would train a model of its own, and write it over the others'.

    Raises:
        ValueError: there are others, and fairseq does not know of them.
    """
    started = os.environ.get("WORLD_SIZE", "1")
    if "RANK" in os.environ and started != "1" and process_count() == 1:
        raise ValueError(
            f"WORLD_SIZE={started} and RANK={os.environ['RANK']} are set (by torchrun?), and fairseq-train would train "
            f"alone in each of {started} processes: add --distributed-world-size {started} (on a CPU the options under "
            '"Starting" in docs/many_machines.md), or unset both if this process is to train alone'
        )


def check_same_start(updates: int, folder: str) -> None:
    """See to it that all processes go on from the same update; the checkpoint is read by each.

    Raises:
        ValueError: they do not, for not all of them see the folder's checkpoint.
    """
    if process_count() == 1:
        return
    found: list[int] = [0] * process_count()
    group = distributed.new_group(backend="gloo")
    distributed.all_gather_object(found, updates, group)
    distributed.destroy_process_group(group)
    for rank, other in enumerate(found):
        if other != found[0]:
            raise ValueError(
                f"--save-dir {folder}: process 0 goes on from update {found[0]} and process {rank} from update "
                f"{other}: they see different files; give a folder that all machines share, under the same path"
            )


def is_first_process() -> bool:
    """Whether this process is alone, or the first of those that train together."""
    return process_count() == 1 or distributed.get_rank() == 0


def first_process_first(work: Callable[[bool], T], *, settles: Callable[[T], bool] = lambda result: False) -> T:
    """The result of ``work``, which is called in the first process, then in the others of the group.

    The others wait in a group of their own: NCCL's gives up after ten minutes, which hours of audio take to read.

    Args:
        work: is told whether this process is the first.
        settles: of the first one's result, whether it is everyone's, and the others need not work; it is sent to them.

    Raises:
        RuntimeError: in the others, where the first has failed.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return work(True)
    group = distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
    told: list[Any] = [None, None]  # what kind of error, and the result that settles it
    try:
        if distributed.get_rank() == 0:
            try:
                result = work(True)
                told[1] = [result] if settles(result) else None
            except BaseException as error:
                told[0] = type(error).__name__
                raise
            finally:
                distributed.broadcast_object_list(told, src=0, group=group)
            return result
        distributed.broadcast_object_list(told, src=0, group=group)
    finally:
        distributed.destroy_process_group(group)
    if told[0] is not None:
        raise RuntimeError(f"the first process has failed, as its log says: {told[0]}")
    return work(False) if told[1] is None else told[1][0]

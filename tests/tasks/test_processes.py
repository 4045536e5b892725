"""Several processes that train together."""

import pytest
import torch
from fairseq.distributed import utils
from omegaconf import OmegaConf
from torch import distributed, multiprocessing

from speecht5_fairseq.tasks.processes import first_process_first, send_by_torch


def test_one_process_is_the_first():
    with first_process_first() as first:
        assert first is True


def exchange(rank, file, folder):
    """In each of two processes: what the second has of a checkpoint that the first has read."""
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    send_by_torch()
    state = {"cfg": OmegaConf.create({"lr": [0.1]}), "model": {"weight": torch.arange(3)}} if rank == 0 else None
    found = utils.broadcast_object(state, src_rank=0, group=distributed.group.WORLD, dist_device=torch.device("cpu"))
    torch.save([float(found["cfg"].lr[0]), found["model"]["weight"]], f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.timeout(60)
def test_options_and_tensors_reach_the_other_process(tmp_path):
    arguments = (str(tmp_path / "group"), str(tmp_path))
    multiprocessing.start_processes(exchange, arguments, nprocs=2, start_method="fork")  # spawned ones import it all
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first[0] == second[0] == 0.1
    assert first[1].tolist() == second[1].tolist() == [0, 1, 2]

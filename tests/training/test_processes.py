"""Several processes that train together."""

import pytest

from speecht5_fairseq.training import processes
from speecht5_fairseq.training.processes import check_launch, check_same_start, first_process_first, is_first_process


def test_one_process_is_the_first():
    with first_process_first() as first:
        assert first is True


def test_one_process_goes_on_from_any_update():
    check_same_start(7, "checkpoints")


@pytest.mark.parametrize(("world", "rank"), [(None, None), ("1", "0"), ("4", None), (None, "0")])
def test_a_process_that_is_meant_to_be_alone_may_be(world, rank, monkeypatch):
    for name, value in (("WORLD_SIZE", world), ("RANK", rank)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    check_launch()


def test_one_of_several_that_fairseq_does_not_know_of_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ValueError, match="alone in each of 2 processes: add --distributed-world-size 2"):
        check_launch()


def test_the_first_of_several_is_the_one_of_rank_zero(monkeypatch):
    assert is_first_process()
    monkeypatch.setattr(processes, "process_count", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        assert is_first_process() == (rank == 0)

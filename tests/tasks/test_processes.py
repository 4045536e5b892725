"""Several processes that train together."""

from speecht5_fairseq.tasks import processes
from speecht5_fairseq.tasks.processes import first_process_first, is_first_process


def test_one_process_is_the_first():
    with first_process_first() as first:
        assert first is True


def test_the_first_of_several_is_the_one_of_rank_zero(monkeypatch):
    assert is_first_process()
    monkeypatch.setattr(processes, "process_count", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        assert is_first_process() == (rank == 0)

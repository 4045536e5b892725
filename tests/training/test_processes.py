"""Several processes that train together."""

import pytest

from speecht5_fairseq.training import processes
from speecht5_fairseq.training.processes import check_launch, check_same_start, first_process_first, is_first_process


def test_one_process_is_the_first():
    assert first_process_first(lambda first: ("result", first)) == ("result", True)


class Group:
    """A process of two; `told` is what the first sends, or has sent."""

    def __init__(self, monkeypatch, rank, told=None):
        self.told, self.open = told, 0
        distributed = processes.distributed
        monkeypatch.setattr(distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(distributed, "new_group", self.begin)
        monkeypatch.setattr(distributed, "destroy_process_group", self.end)
        monkeypatch.setattr(distributed, "broadcast_object_list", self.broadcast)

    def begin(self, **options):
        self.open += 1

    def end(self, group):
        self.open -= 1

    def broadcast(self, objects, src, group):
        if self.told is None:
            self.told = list(objects)
        objects[:] = self.told


def test_the_first_tells_the_others_how_it_went(monkeypatch):
    for settled, told in ((False, [None, None]), (True, [None, ["result"]])):
        group = Group(monkeypatch, rank=0)
        assert first_process_first(lambda first: "result", settles=lambda result, settled=settled: settled) == "result"
        assert group.told == told and not group.open
    group = Group(monkeypatch, rank=0)
    with pytest.raises(OSError, match="disk"):
        first_process_first(lambda first: (_ for _ in ()).throw(OSError("disk")))
    assert group.told == ["OSError", None] and not group.open


def test_the_others_work_where_nothing_is_settled(monkeypatch):
    for told, result in (([None, None], "second's"), ([None, ["first's"]], "first's")):
        group = Group(monkeypatch, rank=1, told=told)
        assert first_process_first(lambda first: "first's" if first else "second's") == result and not group.open
    group = Group(monkeypatch, rank=1, told=["OSError", None])
    with pytest.raises(RuntimeError, match="the first process has failed, as its log says: OSError"):
        first_process_first(lambda first: pytest.fail("it worked"))
    assert not group.open


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

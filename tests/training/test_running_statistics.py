"""Running statistics of several processes; of batches that do not count see test_bad_updates."""

import pytest
import torch
from torch import nn

from speecht5_fairseq.training import running_statistics
from speecht5_fairseq.training.running_statistics import average_statistics, norms_of


def model(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.BatchNorm1d(3), nn.Linear(3, 2), nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False)
    )
    net(torch.randn(8, 3))
    return net


def parts(model: nn.Module) -> list[torch.Tensor]:
    return [part.clone() for norm in norms_of(model) for part in (norm.running_mean, norm.running_var)]


@pytest.mark.parametrize("moved", [(True, True), (True, False), (False, True), (False, False)])
def test_all_processes_get_the_mean_of_those_whose_batches_count(monkeypatch, moved):
    ours, other = model(1), model(2)
    mine, theirs = parts(ours), parts(other)
    wanted = {
        (True, True): [(one + two) / 2 for one, two in zip(mine, theirs, strict=True)],
        (True, False): mine,
        (False, True): theirs,
        (False, False): mine,
    }[moved]

    def all_reduce(tensor, group):
        tensor += torch.cat([*theirs, torch.ones(1)]) * moved[1]

    monkeypatch.setattr(running_statistics, "process_count", lambda: 2)
    monkeypatch.setattr(running_statistics.distributed_utils, "get_data_parallel_group", lambda: None)
    monkeypatch.setattr(running_statistics.distributed_utils, "all_reduce", all_reduce)
    weights = [parameter.clone() for parameter in ours.parameters()]
    average_statistics(ours, moved=moved[0])
    torch.testing.assert_close(parts(ours), wanted)
    assert all(torch.equal(now, before) for now, before in zip(ours.parameters(), weights, strict=True))


def test_one_process_keeps_its_own():
    net = model(1)
    before = [buffer.clone() for buffer in net.buffers()]
    average_statistics(net, moved=True)
    assert all(torch.equal(now, was) for now, was in zip(net.buffers(), before, strict=True))

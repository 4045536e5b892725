"""Losses that are not finite: named, left out of the update without a trace, and an error when they go on."""

import logging
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from fairseq.logging import metrics
from fairseq.optim.adam import FairseqAdam
from helpers import mel_target, speech_source, tiny_manifest, tiny_model
from torch import nn

from speecht5_fairseq.criterions.pretrain import PretrainCriterion
from speecht5_fairseq.criterions.speech import SpeechCriterion, SpeechCriterionConfig
from speecht5_fairseq.tasks.s2s import S2STask, S2STaskConfig
from speecht5_fairseq.training import bad_updates
from speecht5_fairseq.training.bad_updates import BadUpdatesError, Batches, named_parts, zero_loss
from speecht5_fairseq.training.running_statistics import kept_statistics

VOICE = {"speaker": torch.full((2, 512), 0.1)}


def batch(seed, scale=1.0):
    """Two utterances whose targets are `scale` times as loud: 1e38 is finite and has no finite loss."""
    target = mel_target(30, 24, seed=seed)
    target["target_frames"] = target["target_frames"] * scale
    inputs = speech_source(9000, 7000, seed=seed) | target
    return {"id": torch.tensor([seed, seed + 1]), "nsentences": 2, "ntokens": 54, "net_input": inputs}


class Run:
    """Updates of one task as fairseq's trainer makes them, on one worker."""

    def __init__(self, folder=".", **options):
        cfg = S2STaskConfig(data=str(folder), path=None, train_subset="train", **options)
        self.task = S2STask(cfg, "s2s")
        self.criterion = SpeechCriterion.build_criterion(SpeechCriterionConfig(sentence_avg=False), self.task)
        self.model = tiny_model("s2s").train()
        adam = {
            "lr": [0.001],
            "adam_betas": "(0.9, 0.98)",
            "adam_eps": 1e-8,
            "weight_decay": 0.1,
            "use_old_adam": False,
        }
        adam |= {"tpu": False, "fp16_adam_stats": False}
        self.optimizer = FairseqAdam(SimpleNamespace(**adam), list(self.model.parameters()))

    def update(self, number, *batches):
        """The logging outputs; fairseq divides the gradient by the sample size of all batches."""
        torch.manual_seed(number)
        self.optimizer.zero_grad()
        results = [
            self.task.train_step(one, self.model, self.criterion, self.optimizer, update_num=number) for one in batches
        ]
        self.optimizer.multiply_grads(1 / (sum(size for _, size, _ in results) or 1.0))
        assert torch.isfinite(self.optimizer.clip_grad_norm(1.0))
        self.task.optimizer_step(self.optimizer, self.model, number)
        return [log for *_, log in results]

    def state(self):
        moments = self.optimizer.optimizer.state_dict()["state"]
        tensors = [tensor for entry in moments.values() for tensor in entry.values() if torch.is_tensor(tensor)]
        return [tensor.clone() for tensor in [*self.model.state_dict().values(), *tensors]]


def equal(first, second):
    return len(first) == len(second) and all(map(torch.equal, first, second))


def test_an_update_of_a_bad_batch_alone_leaves_no_trace():
    """Weights, BatchNorm's statistics and Adam's moments are those of before."""
    run = Run()
    run.update(0, batch(0))
    before = run.state()
    (log,) = run.update(1, batch(2, scale=1e38))
    assert equal(run.state(), before)
    assert log["bad_batches"] == 1 and log["sample_size"] == log["loss"] == log["l2"] == log["frames"] == 0
    run.update(2, batch(4))
    assert not equal(run.state(), before) and all(torch.isfinite(tensor).all() for tensor in run.state())


@pytest.mark.parametrize("criterion", [SpeechCriterion, PretrainCriterion])
def test_an_update_without_a_good_batch_is_counted_and_moves_no_mean(criterion):
    """Pre-training's loss is derived from sums."""
    run = Run()
    with metrics.aggregate(new_root=True) as logged:
        run.task.reduce_metrics(
            [{"bad_batches": 1, "sample_size": 0, "ntokens": 0, "nsentences": 0}], criterion.__new__(criterion)
        )
    assert logged.get_smoothed_value("bad_batches") == 1 and logged.get_smoothed_value("loss") == 0


@pytest.mark.parametrize("first", [True, False])
def test_a_bad_batch_beside_a_good_one_is_as_if_it_were_not_there(first):
    """With --update-freq 2; dropout is off, for a batch more would move torch's generator."""
    with_it, without = Run(), Run()
    batches = [batch(2, scale=1e38), batch(4)]
    with_it.update(0, *(batches if first else reversed(batches)))
    without.update(0, batch(4))
    assert equal(with_it.state(), without.state())


def test_what_the_statistics_would_take_without_the_guard():
    """The bad batch does reach them: the test above would not fail for another reason."""
    run = Run()
    restore, before = kept_statistics(run.model), [tensor.clone() for tensor in run.model.buffers()]
    run.criterion(run.model, batch(2, scale=1e38))
    assert not equal(list(run.model.buffers()), before)
    restore()
    assert equal(list(run.model.buffers()), before)


def test_what_an_overflow_throws_away_does_not_count_in_the_next_try():
    """With --fp16 fairseq clears the gradients of an update that overflowed, takes no step, and goes on."""
    run = Run()
    run.update(0, batch(0))
    before, statistics = run.state(), kept_statistics(run.model)
    for scale in (1.0, 1e38):
        run.optimizer.zero_grad()
        run.task.train_step(batch(2, scale=scale), run.model, run.criterion, run.optimizer, 1)
        statistics()
    run.update(1, batch(4, scale=1e38))  # alone, and bad: no step
    assert equal(run.state(), before) and run.task.bad_updates == 1
    run.optimizer.zero_grad()
    run.task.train_step(batch(2, scale=1e38), run.model, run.criterion, run.optimizer, 2)
    run.update(2, batch(6))
    assert run.task.bad_updates == 0


def test_a_stand_in_for_a_batch_leaves_the_statistics():
    """Of a worker with no batch left: fairseq runs one again whose gradient does not count."""
    run = Run()
    before = [tensor.clone() for tensor in run.model.buffers()]
    run.task.train_step(batch(2), run.model, run.criterion, run.optimizer, 0, ignore_grad=True)
    assert equal(list(run.model.buffers()), before)


def test_the_batch_is_named_by_its_rows(tmp_path, caplog):
    manifest = tiny_manifest(tmp_path, 4, job="s2s")
    run = Run(tmp_path, seed=1, results_path=None)
    run.task.load_dataset("train")
    run.update(0, batch(0), batch(2, scale=1e38))
    (line,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith("update 0: a loss is not finite, its batch is left out: ") and "l1 nan, l2 nan" in line
    assert line.endswith(f"of {manifest}:4, {manifest}:5") and "loss nan" not in line


def test_too_many_in_a_row_are_an_error_that_says_what_and_where(caplog):
    run = Run(max_bad_updates=2)
    good, bad = batch(0), batch(2, scale=1e38)
    for number, batches in enumerate([[bad], [bad, good], [good], [bad], [bad]]):
        run.update(number, *batches)
    before = run.state()[: len(run.model.state_dict())]
    with pytest.raises(BadUpdatesError, match="update 5: 3 updates in a row had .*--max-bad-updates 2; .*l2 nan.*"):
        run.update(5, good, bad)
    weights = dict(run.model.named_parameters()).keys()
    after = dict(zip(run.model.state_dict(), run.state(), strict=False))
    assert all(torch.equal(after[name], old) for name, old in zip(after, before, strict=True) if name in weights)
    with pytest.raises(BadUpdatesError, match=r"the rows \[2, 3\]\. If it is always the same rows"):
        Run(max_bad_updates=0).update(0, bad)
    with pytest.raises(ValueError, match="--max-bad-updates -1: give a whole number that is not below 0"):
        Run(max_bad_updates=-1)


def test_a_worker_whose_batches_are_all_bad_steps_where_another_has_a_good_one(monkeypatch):
    """The counts of all workers decide, not its own."""
    monkeypatch.setattr(bad_updates, "process_count", lambda: 2)
    monkeypatch.setattr(bad_updates.distributed_utils, "get_data_parallel_group", lambda: None)
    for other, steps in ((Batches(1, 0), True), (Batches(0, 1), False)):
        added = partial(torch.Tensor.add_, other=torch.tensor(other))
        monkeypatch.setattr(bad_updates.distributed_utils, "all_reduce", lambda counts, group, add=added: add(counts))
        run, taken = Run(), []
        run.update(0, batch(0))
        monkeypatch.setattr(run.optimizer, "step", partial(taken.append, 1))
        run.update(1, batch(2, scale=1e38))
        assert bool(taken) == steps and run.task.bad_updates == (1 if steps else 2)


def test_only_good_batches_are_in_the_means():
    run = Run()
    logs = run.update(0, batch(0), batch(2, scale=1e38))
    with metrics.aggregate() as found:
        run.task.reduce_metrics(logs, run.criterion)
    values = found.get_smoothed_values()
    assert values["bad_batches"] == 1
    assert values["loss"] == pytest.approx(float(logs[0]["loss"]) / logs[0]["sample_size"], abs=1e-3)
    with metrics.aggregate() as found:
        run.task.reduce_metrics(logs[1:], run.criterion)
    assert found["loss"].count == 0  # nothing of it stays in an epoch's mean
    with metrics.aggregate() as found:
        run.task.reduce_metrics(logs[:1], run.criterion)
    assert "bad_batches" not in found


def test_a_stand_in_batch_is_neither_counted_nor_named(caplog):
    run = Run()
    _, _, log = run.task.train_step(batch(2, 1e38), run.model, run.criterion, run.optimizer, 0, ignore_grad=True)
    assert log["bad_batches"] == 0 and run.task.batches == Batches() and not caplog.records
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in run.model.parameters())


def test_batches_before_one_out_of_memory_do_not_count():
    """fairseq drops their gradients and takes the next batches as the update."""
    run = Run()
    run.task.train_step(batch(0), run.model, run.criterion, run.optimizer, 0)

    def full(model, sample):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        run.task.train_step(batch(0), run.model, full, run.optimizer, 0)
    assert run.task.batches == Batches()


def test_a_zero_loss_reaches_the_parameters_of_the_loss_and_no_others():
    used, unused = nn.Linear(2, 2), nn.Linear(2, 2)
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    loss = (used(torch.ones(2)) * frozen).sum() * float("inf")
    zero_loss(loss).backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in used.parameters())
    assert unused.weight.grad is None and frozen.grad is None


def test_parts_are_named_before_their_sum():
    nan, inf = float("nan"), float("inf")
    assert named_parts({"loss": torch.tensor(nan), "ce": torch.tensor(1.0), "ctc": torch.tensor(inf)}) == "ctc inf"
    assert named_parts({"loss": torch.tensor(-inf), "n": 3, "table": torch.full((2, 2), nan)}) == "loss -inf"
    assert named_parts({"frames": 3}) == "loss nan"

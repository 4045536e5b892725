"""Workers of a finished epoch: gone when the next one begins, with the same batches as without workers; and the place
in an epoch, on any number of processes.
"""

import multiprocessing

import pytest
import torch
from fairseq.data.iterators import GroupedIterator
from helpers import tiny_manifest, tiny_text_binary

from speecht5_fairseq.tasks.pretrain import PretrainTask, PretrainTaskConfig
from speecht5_fairseq.tasks.s2t import S2TTask, S2TTaskConfig
from speecht5_fairseq.training.epochs import stop_workers


def recognition(folder):
    tiny_manifest(folder, 6)
    cfg = S2TTaskConfig(data=str(folder), path=None, seed=1, train_subset="train", lm_path=None)
    task = S2TTask.setup_task(cfg)
    task.load_dataset("train")
    return task


def pretraining(folder):
    tiny_manifest(folder, 6, job="pretrain")
    text = tiny_text_binary(folder / "text", [[5, 6, 7], [8, 9], [10, 11, 12, 13]])
    cfg = PretrainTaskConfig(data=str(folder), path=None, seed=1, train_subset="train", text_data=str(text))
    task = PretrainTask.setup_task(cfg)
    task.load_dataset("train")
    return task


@pytest.fixture
def epoch():
    """Asks a task for an epoch as fairseq's trainer does; no worker outlives the test."""
    asked = []

    def ask(task, number, *, split="train", workers=2, buffer=10):
        data = task.datasets[split]
        # without workers a buffer is a thread, and none that computes may end while the next test forks its workers
        options = {"max_sentences": 2, "num_workers": workers, "data_buffer_size": buffer if workers else 0}
        asked.append(task.get_batch_iterator(data, epoch=number, **options))
        return asked[-1]

    yield ask
    for batches in asked:
        stop_workers(batches)


def processes():
    return set(multiprocessing.active_children())


def plain(batch):
    """Nested tensors as lists, to compare."""
    if isinstance(batch, dict):
        return {key: plain(value) for key, value in batch.items()}
    return batch.tolist() if torch.is_tensor(batch) else batch


@pytest.mark.parametrize("buffer", [0, 10])
def test_the_workers_of_a_finished_epoch_are_gone_when_the_next_is_asked_for(tmp_path, buffer, epoch):
    task, others = recognition(tmp_path), processes()
    batches = epoch(task, 1, buffer=buffer)
    assert len(list(batches.next_epoch_itr())) == 3
    workers = processes() - others
    assert len(workers) == 2
    epoch(task, batches.next_epoch_idx, buffer=buffer)
    assert not processes() & workers and all(worker.exitcode == 0 for worker in workers)


@pytest.mark.parametrize("build", [recognition, pretraining])
def test_batches_of_several_epochs_are_those_of_no_workers(tmp_path, build, epoch):
    def heard(workers):
        task, seen, number = build(tmp_path), [], 1
        for _ in range(3):
            batches = epoch(task, number, workers=workers)
            seen += [plain(batch) for batch in batches.next_epoch_itr()]
            number = batches.next_epoch_idx
        assert number == 4
        return seen

    assert heard(2) == heard(0)


def test_an_epoch_that_is_not_over_keeps_its_workers(tmp_path, epoch):
    task, others = recognition(tmp_path), processes()
    left = epoch(task, 1).next_epoch_itr()
    first = next(left)
    workers = processes() - others
    epoch(task, 1)
    assert processes() >= workers and len(workers) == 2
    assert [plain(batch) for batch in [first, *left]] == [
        plain(batch) for batch in epoch(task, 1, workers=0).next_epoch_itr()
    ]


def test_an_epoch_that_a_resumed_run_begins_in_its_middle_ends_like_any_other(tmp_path, epoch):
    task, others = recognition(tmp_path), processes()
    straight = [plain(batch) for batch in epoch(task, 1, workers=0).next_epoch_itr()]
    batches = epoch(task, 1)
    batches.load_state_dict({"version": 2, "epoch": 1, "iterations_in_epoch": 1, "shuffle": True})
    assert [plain(batch) for batch in batches.next_epoch_itr()] == straight[1:]
    epoch(task, batches.next_epoch_idx)
    assert not processes() - others


def test_validation_goes_on_with_its_workers(tmp_path, epoch):
    task = recognition(tmp_path)
    tiny_manifest(tmp_path, 4, split="valid")
    task.load_dataset("valid")
    others = processes()
    batches = epoch(task, 1, split="valid")
    first = [plain(batch) for batch in batches.next_epoch_itr(shuffle=False, set_dataset_epoch=False)]
    workers = processes() - others
    assert epoch(task, 1, split="valid") is batches
    again = [plain(batch) for batch in batches.next_epoch_itr(shuffle=False, set_dataset_epoch=False)]
    assert again == first and processes() - others == workers and len(workers) == 2


def test_an_iterator_whose_workers_were_stopped_starts_others(tmp_path, epoch):
    task, others = recognition(tmp_path), processes()
    batches = epoch(task, 1)
    count = len(list(batches.next_epoch_itr()))
    stop_workers(batches)
    assert not processes() - others
    assert len(list(batches.next_epoch_itr())) == count
    stop_workers(epoch(task, 1, workers=0))  # there are none, and none to stop


def dealt(task, *, processes, rank=0):
    """The iterator of a process, with one utterance a batch."""
    return task.get_batch_iterator(
        task.datasets["train"], max_sentences=1, epoch=1, num_shards=processes, shard_id=rank
    )


def state_after(task, batches, *, processes):
    """Of the first process's iterator, once it has given so many batches."""
    first = dealt(task, processes=processes)
    stopped = first.next_epoch_itr()
    for _ in range(batches):
        next(stopped)
    return first.state_dict()


def ids(batches):
    return [batch["id"].tolist()[0] for batch in batches if batch]


@pytest.mark.parametrize(
    "before, updates, after, seen",
    [(2, 2, 1, 4), (1, 4, 2, 4), (2, 2, 2, 4), (3, 1, 2, 2), (2, 1, 3, 0)],
    ids=["fewer", "more", "as many", "uneven", "uneven, more"],
)
def test_an_epoch_goes_on_with_another_number_of_processes(tmp_path, before, updates, after, seen, caplog):
    """Of its six utterances none is left out, and none comes again but where they do not come out even."""
    task = recognition(tmp_path)
    order = ids(dealt(task, processes=1).next_epoch_itr())
    state, rest = state_after(task, updates, processes=before), []
    for rank in range(after):
        batches = dealt(task, processes=after, rank=rank)
        batches.load_state_dict(state)
        rest.append(ids(batches.next_epoch_itr()))
    assert sorted(sum(rest, [])) == sorted(order[seen:])
    assert ("come again" in caplog.text) == (before * updates % after > 0)


@pytest.mark.parametrize(
    "place, processes, frequency, seen",
    [(3, 2, 2, 0), (4, 2, 2, 4), (5, 1, 4, 4), (3, 1, 2, 2), (2, 1, 2, 2)],
    ids=["more", "more, even", "longer updates", "shorter updates", "as it was"],
)
def test_an_epoch_goes_on_between_two_updates(tmp_path, place, processes, frequency, seen, caplog):
    """One process has seen so many of six batches; every other one comes, in whole updates, and the epoch ends."""
    task = recognition(tmp_path)
    order = ids(dealt(task, processes=1).next_epoch_itr())
    state, rest = state_after(task, place, processes=1), []
    task.update_freq = [frequency]
    for rank in range(processes):
        batches = dealt(task, processes=processes, rank=rank)
        batches.load_state_dict(state)
        groups = list(GroupedIterator(batches.next_epoch_itr(), frequency, skip_remainder_batch=False))
        assert all(len(group) == frequency for group in groups[:-1])
        rest += ids(sum(groups, []))
        assert batches.end_of_epoch() and batches.next_epoch_idx == 2
    assert sorted(rest) == sorted(order[seen:])
    assert ("come again" in caplog.text) == (seen < place)


def test_a_state_without_processes_is_taken_as_it_is(tmp_path):
    task = recognition(tmp_path)
    batches = dealt(task, processes=2)
    batches.load_state_dict({"version": 2, "epoch": 1, "iterations_in_epoch": 1, "shuffle": True})
    assert len(ids(batches.next_epoch_itr())) == 2

"""The keeper of a training: when it saves, when it stops, and what it says; fairseq's trainer is a stand-in."""

import errno
import logging
import re
import signal
from types import SimpleNamespace

import pytest
from fairseq import checkpoint_utils
from fairseq.data.iterators import EpochBatchIterator, GroupedIterator
from torch.utils.data import Dataset

from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.training import keeper as module
from speecht5_fairseq.training.keeper import Keeper, LoaderError, only_last

CHECKPOINTS = {
    "no_save": False, "no_last_checkpoints": False, "no_epoch_checkpoints": False, "save_interval_updates": 2,
    "keep_interval_updates": 1, "keep_last_epochs": 1, "keep_best_checkpoints": 1, "restore_file": "checkpoint_last.pt",
    "reset_dataloader": False, "reset_lr_scheduler": False, "reset_meters": False, "reset_optimizer": False,
    "patience": -1,
}  # fmt: skip


class Config(SimpleNamespace):
    """Options as fairseq's: by attribute and by name."""

    def __getitem__(self, name):
        return getattr(self, name)


class Trainer:
    """Counts updates."""

    def __init__(self, folder, **options):
        self.updates = 0
        optimization = {"max_update": 100, "max_epoch": 0, "stop_time_hours": 0, "stop_min_lr": -1.0}
        self.cfg = Config(
            checkpoint=Config(**{**CHECKPOINTS, "save_dir": str(folder), **options}),
            optimization=Config(**{**optimization, **options}),
            distributed_training=Config(zero_sharding="none", ddp_backend="pytorch_ddp"),
            dataset=Config(num_workers=2),
        )
        self.checkpoint_suffix = ""
        self.is_data_parallel_master = True
        self.lr = 0.1

    def get_num_updates(self):
        return self.updates

    def cumulative_training_time(self):
        return 3600.0

    def get_lr(self):
        return self.lr


class Numbers(Dataset):
    """Ten items, one of which may be missing."""

    broken = None

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index == self.broken:
            raise ManifestError(f"train.tsv:{index}: gone")
        return index


class Run:
    """A keeper, its trainer, and one epoch of ten batches of one item; what was saved."""

    def __init__(self, folder, monkeypatch, **options):
        self.trainer, self.saves, self.problem = Trainer(folder, **options), [], None
        self.keeper = Keeper(self.trainer, self.trainer.cfg.checkpoint)
        self.data = Numbers()
        batches = EpochBatchIterator(self.data, collate_fn=list, batch_sampler=[[n] for n in range(10)], buffer_size=0)
        self.epochs = self.keeper.watch(batches)
        monkeypatch.setattr(checkpoint_utils, "save_checkpoint", self.save)

    def save(self, cfg, trainer, place, val_loss):
        return self.keeper.save(self.write, place, val_loss, cfg)

    def write(self, cfg, trainer, place, val_loss):
        if self.problem is not None:
            raise self.problem
        self.saves.append((trainer.updates, place.state_dict()["iterations_in_epoch"], place.state_dict()["epoch"]))
        return "path"

    def train(self, *, group=1):
        """The items that were trained on."""
        seen = []
        for items in GroupedIterator(self.epochs.next_epoch_itr(shuffle=False), group):
            self.trainer.updates += 1
            seen += [item for batch in items for item in batch]
            yield seen


@pytest.fixture
def run(tmp_path, monkeypatch):
    return lambda **options: Run(tmp_path, monkeypatch, **options)


def ask(run):
    run.keeper.signals.asked = signal.SIGTERM


@pytest.mark.parametrize("group", [1, 2])
def test_it_stops_between_two_updates_with_the_place_in_the_data(run, group, caplog):
    caplog.set_level(logging.INFO)
    run = run()
    with pytest.raises(SystemExit) as stopped:
        for seen in run.train(group=group):
            assert seen == list(range(run.trainer.updates * group))
            if run.trainer.updates == 3:
                ask(run)
    assert stopped.value.code == 143
    assert run.saves == [(3, 3 * group, 1)]
    assert f"SIGTERM: stopped after update 3: saved in {run.keeper.file}; the same command line goes on" in caplog.text


def test_what_fairseq_has_saved_is_not_saved_again(run):
    run = run()
    with pytest.raises(SystemExit):
        for _ in run.train():
            ask(run)
            checkpoint_utils.save_checkpoint(run.trainer.cfg.checkpoint, run.trainer, run.epochs, 0.5)
    assert run.saves == [(1, 1, 1)]


def test_where_another_process_was_asked_it_waits_until_all_have_heard(run, monkeypatch):
    monkeypatch.setattr(module, "process_count", lambda: 2)
    monkeypatch.setattr(module.distributed, "barrier", lambda: run.saves.append("together"))
    run = run()
    ask(run)
    with pytest.raises(SystemExit):
        for _ in run.train():
            run.keeper.agreed = run.trainer.updates == 2
    assert run.saves == [(2, 2, 1), "together"]


@pytest.mark.parametrize(("group", "broken", "saved"), [(1, 4, (4, 4, 1)), (2, 5, (2, 4, 1))])
def test_a_batch_that_cannot_be_loaded_ends_the_run_after_a_save(run, group, broken, saved, caplog):
    """Batches of the unfinished update come again."""
    run = run()
    run.data.broken = broken
    with pytest.raises(ManifestError, match=f"train.tsv:{broken}: gone"):
        list(run.train(group=group))
    assert run.saves == [saved]
    ends = f"a batch cannot be loaded (train.tsv:{broken}: gone), and the run ends: saved in {run.keeper.file}"
    assert ends in caplog.text


def test_a_first_batch_that_cannot_be_loaded_saves_the_start_of_its_epoch(run):
    run = run()
    list(run.train())
    batches = EpochBatchIterator(run.data, collate_fn=list, batch_sampler=[[0]], epoch=2)
    run.data.broken = 0
    with pytest.raises(ManifestError):
        run.keeper.watch(batches).first_batch  # noqa: B018  (loads it)
    assert run.saves == [(10, 0, 2)]


def test_a_failure_in_validation_saves_the_running_epoch(run):
    run = run()
    train = run.train()
    for _ in range(3):
        next(train)
    batches = EpochBatchIterator(run.data, collate_fn=list, batch_sampler=[[0]])
    run.data.broken = 0
    with pytest.raises(ManifestError):
        list(run.keeper.watch_validation(batches).next_epoch_itr())
    assert run.saves == [(3, 3, 1)]


def test_a_loader_that_cannot_begin_saves_as_well(run, monkeypatch):
    """A process of validation's loader that was killed between two validations."""
    run = run()
    next(run.train())
    batches = EpochBatchIterator(run.data, collate_fn=list, batch_sampler=[[0]])
    lost = RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
    monkeypatch.setattr(batches, "next_epoch_itr", raising(lost))
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        run.keeper.watch_validation(batches).next_epoch_itr()
    assert run.saves == [(1, 1, 1)]


def raising(error):
    def fails(*arguments, **options):
        raise error

    return fails


def test_before_validation_it_saves_once(run):
    run = run()
    next(run.train())
    run.keeper.before_validation()
    assert not run.saves
    ask(run)
    run.keeper.before_validation()
    run.keeper.before_validation()
    assert run.saves == [(1, 1, 1)]


def test_a_killed_worker_is_told_with_a_mend(run):
    run = run()
    next(run.train())
    told = run.keeper.failed(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "))
    assert isinstance(told, LoaderError) and "(pid 7)" in str(told) and "fewer --num-workers" in str(told)
    half = run.keeper.failed(EOFError())  # killed while it handed a batch on
    assert isinstance(half, LoaderError) and "EOFError. A process of the data loader was killed" in str(half)
    own = FileNotFoundError("Caught FileNotFoundError in DataLoader worker process 0.")
    missing = FileNotFoundError(2, "No such file or directory", "normaliser.tsv")
    for other in (RuntimeError("something else"), own, missing):
        assert run.keeper.failed(other) is other
    ask(run)
    assert isinstance(run.keeper.failed(EOFError()), SystemExit)  # the scheduler ended the workers too
    run.trainer.cfg.dataset.num_workers = 0
    assert isinstance(run.keeper.failed(end := EOFError()), EOFError) and end is run.keeper.failed(end)


def test_a_bad_row_is_told_after_a_signal_too(run, caplog):
    run = run()
    next(run.train())
    ask(run)
    bad = ManifestError("train.tsv:7: gone")
    assert run.keeper.failed(bad) is bad and "a batch cannot be loaded (train.tsv:7: gone)" in caplog.text
    run.keeper.failed(
        ManifestError("Caught in DataLoader worker process 0.\nTraceback:\nManifestError: train.tsv:8: gone\n")
    )
    assert "a batch cannot be loaded (ManifestError: train.tsv:8: gone), and" in caplog.text


def test_a_part_of_the_state_is_saved_again_for_the_others_may_not_have_it(run, monkeypatch):
    """Where one process could not write, all have to take part once more."""
    monkeypatch.setattr(module, "process_count", lambda: 2)
    monkeypatch.setattr(module.distributed, "barrier", lambda: None)
    run = run()
    run.trainer.cfg.distributed_training.zero_sharding = "os"
    with pytest.raises(SystemExit):
        for _ in run.train():
            checkpoint_utils.save_checkpoint(run.trainer.cfg.checkpoint, run.trainer, run.epochs, 0.5)
            run.keeper.agreed = True
    assert run.saves == [(1, 1, 1), (1, 1, 1)]


def full():
    return OSError(errno.ENOSPC, "No space left on device")


def test_a_save_that_fails_is_told_of_and_the_next_one_counts(run, caplog):
    run = run()
    train = run.train()
    next(train)
    run.problem = full()
    assert checkpoint_utils.save_checkpoint(run.trainer.cfg.checkpoint, run.trainer, run.epochs, None) is None
    assert "update 1: the checkpoint could not be written to" in caplog.text and "GB free)" in caplog.text
    assert "No space left on device" in caplog.text and "there is none of before" in caplog.text
    run.problem = None
    next(train)
    assert checkpoint_utils.save_checkpoint(run.trainer.cfg.checkpoint, run.trainer, run.epochs, None) == "path"
    ask(run)
    with pytest.raises(SystemExit):
        next(train)
    assert run.saves == [(2, 2, 1)]


@pytest.mark.parametrize(
    "options", [{"max_update": 1}, {"stop_time_hours": 0.5}, {"patience": 3}, {"stop_min_lr": 0.2}, {"asked": True}]
)
def test_the_last_save_must_not_fail(run, options):
    asked = options.pop("asked", False)
    run = run(**options)
    train = run.train()
    next(train)
    run.problem = full()
    with pytest.raises(OSError, match="No space left on device.*make the folder writable"):
        if asked:
            ask(run)
            next(train)
        checkpoint_utils.save_checkpoint(run.trainer.cfg.checkpoint, run.trainer, run.epochs, None)


def test_the_last_epochs_save_must_not_fail_either(run):
    run = run(max_epoch=1)
    list(run.train())
    run.problem = full()
    with pytest.raises(OSError, match="update 10"):
        checkpoint_utils.save_checkpoint(run.trainer.cfg.checkpoint, run.trainer, run.epochs, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"no_save": True}, r"nothing is saved \(--no-save\)"),
        ({"restore_file": "a.pt"}, r"--restore-file \S+checkpoint_last.pt goes on from there$"),
        ({"reset_optimizer": True}, r"the same command line without --reset-optimizer goes on from there"),
    ],
)
def test_it_says_how_to_go_on(run, options, said, caplog):
    caplog.set_level(logging.INFO)
    run = run(**options)
    with pytest.raises(SystemExit):
        for _ in run.train():
            ask(run)
    (line,) = [record.message for record in caplog.records if "stopped" in record.message]
    assert re.search(said, line), line


def test_before_the_first_update_there_is_nothing_to_save(run, caplog):
    caplog.set_level(logging.INFO)
    run = run()
    ask(run)
    with pytest.raises(SystemExit):
        list(run.train())
    assert not run.saves and "no update was finished since the start; the same command line starts again" in caplog.text


def test_saving_out_of_turn_writes_the_last_checkpoint_and_deletes_none():
    cfg = only_last(Config(**CHECKPOINTS, save_dir="out"))
    assert cfg.save_dir == "out" and not cfg.no_last_checkpoints and cfg.no_epoch_checkpoints
    assert cfg.save_interval_updates == 0
    assert cfg.keep_interval_updates == cfg.keep_last_epochs == cfg.keep_best_checkpoints == -1

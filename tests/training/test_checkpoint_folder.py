"""A run's folder at its start: mended so that fairseq goes on from the newest whole checkpoint."""

import logging
import os
import time

import pytest
import torch

from speecht5_fairseq.models.checksum import why_broken, write_checkpoint
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.training.checkpoint_folder import mend_folder
from speecht5_fairseq.training.start import whole_start


def save(folder, name, updates, *, age=0):
    """A checkpoint as fairseq-train's, written `age` seconds ago."""
    state = {
        "model": {"weight": torch.full((500,), float(updates))},
        "optimizer_history": [{"num_updates": updates}],
        "extra_state": {"train_iterator": {"epoch": 1}},
    }
    write_checkpoint(state, folder / name)
    time = 1_700_000_000 - age
    os.utime(folder / name, (time, time))
    return folder / name


def truncate(path):
    path.write_bytes(path.read_bytes()[:-700])
    return path


def updates(path):
    assert not why_broken(path)
    return torch.load(path)["optimizer_history"][-1]["num_updates"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def warnings(caplog):
    """What was warned of, one text."""
    return lambda: "\n".join(record.message for record in caplog.records if record.levelno == logging.WARNING)


def test_a_whole_folder_stays_as_it_is(tmp_path, warnings):
    save(tmp_path, "checkpoint_1_2.pt", 2, age=9)
    save(tmp_path, "checkpoint_last.pt", 4, age=3)
    save(tmp_path, "checkpoint_best.pt", 4, age=6)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    mend_folder(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before and not warnings()


@pytest.mark.parametrize("spoil", [truncate, lambda path: path.write_bytes(b"")])
def test_a_broken_last_is_kept_aside_and_the_newest_whole_one_takes_its_place(tmp_path, warnings, spoil):
    save(tmp_path, "checkpoint_1_2.pt", 2, age=9)
    save(tmp_path, "checkpoint_1_4.pt", 4, age=6)
    truncate(save(tmp_path, "checkpoint2.pt", 6, age=4))
    os.utime(tmp_path / "checkpoint2.pt", (1_700_000_000, 1_700_000_000))
    spoil(save(tmp_path, "checkpoint_last.pt", 6))
    broken = (tmp_path / "checkpoint_last.pt").read_bytes()
    mend_folder(tmp_path)
    assert updates(tmp_path / "checkpoint_last.pt") == 4
    assert (tmp_path / "checkpoint_last.pt.broken").read_bytes() == broken
    assert names(tmp_path) == [
        "checkpoint2.pt.broken", "checkpoint_1_2.pt", "checkpoint_1_4.pt", "checkpoint_last.pt",
        "checkpoint_last.pt.broken",
    ]  # fmt: skip
    assert f"{tmp_path / 'checkpoint_last.pt'}: broken: " in warnings()
    assert "kept as checkpoint_last.pt.broken" in warnings() and "kept as checkpoint2.pt.broken" in warnings()
    assert f"goes on from {tmp_path / 'checkpoint_1_4.pt'} (update 4)" in warnings()


def test_a_second_broken_file_does_not_take_the_place_of_the_first(tmp_path):
    for _ in range(2):
        truncate(save(tmp_path, "checkpoint_last.pt", 6))
        mend_folder(tmp_path)
    assert names(tmp_path) == ["checkpoint_last.pt.broken", "checkpoint_last.pt.broken2"]


def test_a_run_that_was_killed_before_its_copy_goes_on_from_the_newer_one(tmp_path, warnings):
    save(tmp_path, "checkpoint_last.pt", 2, age=9)
    save(tmp_path, "checkpoint_1_4.pt", 4, age=3)
    mend_folder(tmp_path)
    assert updates(tmp_path / "checkpoint_last.pt") == 4 and names(tmp_path) == [
        "checkpoint_1_4.pt", "checkpoint_last.pt"
    ]  # fmt: skip
    assert "is older: the run was killed between the two; --restore-file names another" in warnings()


def test_a_checkpoint_that_was_put_there_by_hand_stays_the_last(tmp_path):
    """Copied over the last one to go back: it is the newest file, though it has fewer updates."""
    save(tmp_path, "checkpoint_1_4.pt", 4, age=9)
    save(tmp_path, "checkpoint_last.pt", 2, age=3)
    mend_folder(tmp_path)
    assert updates(tmp_path / "checkpoint_last.pt") == 2


def test_a_checkpoint_that_was_moved_there_keeps_its_time_and_stays_the_last(tmp_path, warnings):
    save(tmp_path, "checkpoint_1_2.pt", 2, age=9)
    save(tmp_path, "checkpoint_1_4.pt", 4, age=3)
    time.sleep(0.02)  # past the clock's tick of the file system
    (tmp_path / "checkpoint_1_2.pt").rename(tmp_path / "checkpoint_last.pt")
    mend_folder(tmp_path)
    assert updates(tmp_path / "checkpoint_last.pt") == 2 and not warnings()


def test_what_a_run_cannot_go_on_from_is_passed_over(tmp_path, warnings):
    """An average has no place in the data; a file of fewer updates is no progress."""
    save(tmp_path, "checkpoint_last.pt", 4, age=9)
    save(tmp_path, "checkpoint_1_2.pt", 2, age=3)
    torch.save({"model": {"weight": torch.ones(3)}}, tmp_path / "checkpoint_best.pt")
    mend_folder(tmp_path)
    assert updates(tmp_path / "checkpoint_last.pt") == 4 and not warnings()
    (tmp_path / "checkpoint_last.pt").unlink()
    (tmp_path / "checkpoint_1_2.pt").unlink()
    mend_folder(tmp_path)
    assert names(tmp_path) == ["checkpoint_best.pt"]


def test_where_nothing_is_whole_the_run_begins_anew_and_says_so(tmp_path, warnings):
    truncate(save(tmp_path, "checkpoint_last.pt", 4))
    mend_folder(tmp_path)
    assert "no whole checkpoint is left" in warnings() and names(tmp_path) == ["checkpoint_last.pt.broken"]
    mend_folder(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_leftovers_of_killed_runs_are_removed_and_of_fairseqs_named(tmp_path, caplog, warnings):
    caplog.set_level(logging.INFO)
    (tmp_path / ".checkpoint_last.0123.part.pt").write_bytes(b"half")
    (tmp_path / "checkpoint_1_2.pt.tmp").write_bytes(b"half")
    mend_folder(tmp_path)
    assert names(tmp_path) == ["checkpoint_1_2.pt.tmp"]
    assert f"removed {tmp_path / '.checkpoint_last.0123.part.pt'}" in caplog.text
    assert f"{tmp_path / 'checkpoint_1_2.pt.tmp'}: left by fairseq's own saving" in warnings()


def start(folder, restore="checkpoint_last.pt", finetune=None):
    return whole_start(save_dir=str(folder), restore_file=str(restore), finetune_from_model=finetune and str(finetune))


def test_a_named_checkpoint_that_is_broken_is_an_error_and_nothing_is_moved(tmp_path):
    named = truncate(save(tmp_path, "checkpoint_1_4.pt", 4))
    truncate(save(tmp_path, "checkpoint_last.pt", 6))
    before = names(tmp_path)
    with pytest.raises(CheckpointError, match=r"checkpoint_1_4\.pt: no readable checkpoint \(cut off after [\d,]+"):
        start(tmp_path, named)
    with pytest.raises(CheckpointError, match=r"checkpoint_1_4\.pt: no readable"):
        start(tmp_path / "new", finetune=named)
    assert names(tmp_path) == before
    with pytest.raises(CheckpointError, match=r"checkpoint_last\.pt: no readable"):
        start(tmp_path, tmp_path / "checkpoint_last.pt")
    assert names(tmp_path) == before


def test_the_start_finds_what_the_mended_folder_has(tmp_path):
    save(tmp_path, "checkpoint_1_4.pt", 4, age=3)
    truncate(save(tmp_path, "checkpoint_last.pt", 6))
    assert start(tmp_path, finetune="elsewhere.pt") == tmp_path / "checkpoint_last.pt"
    assert updates(tmp_path / "checkpoint_last.pt") == 4

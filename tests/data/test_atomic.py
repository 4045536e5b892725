"""Files appear complete or not at all, and leave nothing beside them."""

import contextlib
import errno
import os

import pytest
from helpers import locked_elsewhere

from speecht5_fairseq.data.atomic import (
    atomic_text,
    durable,
    locked,
    remove_abandoned,
    replacing,
    replacing_files,
    sync_folder,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "deep" / "file.bin"
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert names(path.parent) == []
    with replacing(path) as temporary:
        assert temporary.suffix == ".bin" and temporary.parent == path.parent
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole" and names(path.parent) == ["file.bin"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "a") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert names(tmp_path) == ["a"]


def test_text_replaces_the_old_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_text(path) as file:
        file.write("ß\n")
    with pytest.raises(RuntimeError), atomic_text(path) as file:
        file.write("half")
        raise RuntimeError
    assert path.read_bytes() == "ß\n".encode() and names(tmp_path) == ["a.txt"]


@pytest.fixture
def folder(tmp_path):
    """With a head, a body, and a part of something else."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("head", "body", "old", "mine"):
        (folder / name).write_text("before")
    return folder


def write_anew(folder):
    with replacing_files(folder, last="head", stale=["old", "never there"]) as partial:
        (partial / "head").write_text("after")
        (partial / "body").write_text("after")


def test_files_of_a_folder_are_replaced_together(folder):
    write_anew(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "head": "after", "body": "after", "mine": "before"
    }  # fmt: skip


def test_a_folder_keeps_all_it_has_until_the_new_files_are_whole(folder):
    with pytest.raises(RuntimeError), replacing_files(folder, last="head", stale=["old"]) as partial:
        (partial / "body").write_text("half")
        raise RuntimeError
    assert names(folder) == ["body", "head", "mine", "old"] and (folder / "body").read_text() == "before"
    with pytest.raises(RuntimeError), replacing_files(folder / "new", last="head"):
        raise RuntimeError
    assert not (folder / "new").exists()


def test_an_interrupted_move_leaves_no_head(folder, monkeypatch):
    def broken(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_anew(folder)
    assert names(folder) == ["body", "mine"]


def test_files_of_a_folder_are_on_the_disk_before_the_old_ones_go(folder, monkeypatch):
    there = []
    monkeypatch.setattr(os, "fsync", lambda _: there.append((folder / "head").read_text()))
    write_anew(folder)
    assert there == ["before", "before"] and (folder / "head").read_text() == "after"


def test_a_durable_file_is_locked_while_it_is_written(tmp_path):
    """Another run's start does not take it away; that of a dead writer goes."""
    with durable(tmp_path / "file.pt") as file:
        file.write(b"half")
        file.flush()
        assert remove_abandoned(tmp_path, "file").kept and not (tmp_path / "file.pt").exists()
    assert (tmp_path / "file.pt").read_bytes() == b"half" and names(tmp_path) == ["file.pt"]
    dead = [tmp_path / f".{name}.0123.part.pt" for name in ("file", "file_2", "other")]
    for path in dead:
        path.write_bytes(b"half")
    assert remove_abandoned(tmp_path, "file") == (dead[:2], [])
    assert names(tmp_path) == [".other.0123.part.pt", "file.pt"]


def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch):
    def fail(file, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", fail)
    with durable(tmp_path / "file") as file:
        file.write(b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    (tmp_path / ".file.0123.part").write_bytes(b"half")
    assert remove_abandoned(tmp_path, "file") == ([], [tmp_path / ".file.0123.part"])  # whose writer may be alive


def test_a_locked_file_is_one_processes_until_it_is_closed(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    file = locked(path)
    with locked_elsewhere(path) as held:
        assert not held
    file.close()
    with locked_elsewhere(path) as held:
        assert held
        with pytest.raises(BlockingIOError, match="another process has locked it"):
            locked(path)

        def fail(file, operation):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr("fcntl.lockf", fail)
        locked(path).close()


def test_a_failed_durable_file_leaves_the_old(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(RuntimeError), durable(tmp_path / "file") as file:
        file.write(b"half")
        raise RuntimeError
    assert (tmp_path / "file").read_text() == "old" and names(tmp_path) == ["file"]


@pytest.mark.parametrize(("number", "told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_folders_is_no_error(tmp_path, monkeypatch, number, told):
    def fail(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError) if told else contextlib.nullcontext():
        sync_folder(tmp_path)

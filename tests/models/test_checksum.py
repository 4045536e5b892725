"""Checkpoint files that tell whether they are whole."""

import errno
import os
import shutil
import zipfile

import pytest
import torch

from speecht5_fairseq.models import checksum
from speecht5_fairseq.models.checkpoint import read_file
from speecht5_fairseq.models.checksum import (
    SEAL_SIZE,
    check_whole,
    copy_checkpoint,
    has_checksum,
    why_broken,
    write_checkpoint,
)
from speecht5_fairseq.models.errors import CheckpointError

STATE = {"model": {"weight": torch.arange(5000.0)}, "name": "ß"}


@pytest.fixture
def checkpoint(tmp_path):
    write_checkpoint(STATE, tmp_path / "a.pt")
    return tmp_path / "a.pt"


def flipped(path, place):
    """The same file with one bit changed."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_torch_and_zip_read_what_was_written(checkpoint):
    for state in (torch.load(checkpoint), torch.load(checkpoint, mmap=True), read_file(checkpoint)):
        assert torch.equal(state["model"]["weight"], STATE["model"]["weight"]) and state["name"] == "ß"
    assert zipfile.ZipFile(checkpoint).testzip() is None
    assert has_checksum(checkpoint) and not why_broken(checkpoint) and names(checkpoint.parent) == ["a.pt"]


def test_without_its_last_bytes_the_file_is_torchs_own(checkpoint, tmp_path):
    with open(tmp_path / "torch.pt", "wb") as file:
        torch.save(STATE, file)
    own = (tmp_path / "torch.pt").read_bytes()
    assert checkpoint.read_bytes()[: -SEAL_SIZE - 2] == own[:-2] and own[-2:] == b"\0\0"


def test_a_copy_brings_its_checksum_along(checkpoint, tmp_path):
    copy_checkpoint(checkpoint, tmp_path / "b.pt")
    assert (tmp_path / "b.pt").read_bytes() == checkpoint.read_bytes() and not why_broken(tmp_path / "b.pt")
    assert names(tmp_path) == ["a.pt", "b.pt"]


@pytest.mark.parametrize("place", [0, 500, 12_345, -SEAL_SIZE - 3, -1])
def test_any_flipped_bit_is_found(checkpoint, place):
    """In the head, in tensors, in the zip's own records, in the checksum."""
    assert why_broken(flipped(checkpoint, place)) == "the checksum says that it is not what was written"
    with pytest.raises(CheckpointError, match=r"a\.pt: no readable checkpoint \(the checksum says .*\); copy it again"):
        check_whole(checkpoint)


@pytest.mark.parametrize("size", [1, 1000, -1, -SEAL_SIZE, -SEAL_SIZE - 1])
def test_any_truncation_is_found(checkpoint, size):
    """At -SEAL_SIZE all of torch's own bytes are there, but for the length of a comment that is gone."""
    content = checkpoint.read_bytes()[:size]
    checkpoint.write_bytes(content)
    assert why_broken(checkpoint)


def test_files_without_a_checksum_are_checked_by_their_records(tmp_path):
    whole, legacy = tmp_path / "zip.pt", tmp_path / "legacy.pt"
    torch.save(STATE, whole)
    torch.save(STATE, legacy, _use_new_zipfile_serialization=False)
    assert not why_broken(whole) and not why_broken(legacy) and not has_checksum(whole)
    cut, empty, text = (tmp_path / name for name in ("cut.pt", "empty.pt", "text.pt"))
    cut.write_bytes(whole.read_bytes()[:9000])
    empty.touch()
    text.write_text("none\n" * 9)
    assert why_broken(cut) == "cut off after 9,000 bytes"
    assert why_broken(empty) == "it is empty"
    assert why_broken(text).startswith("no readable checkpoint (nothing that torch.save writes")
    start = whole.read_bytes().index(STATE["model"]["weight"].numpy().tobytes()[100:200])
    assert why_broken(flipped(whole, start)) == "its record zip/data/0 is not what was written, its CRC-32 says"
    legacy.write_bytes(legacy.read_bytes()[:-300])
    assert why_broken(legacy).startswith("no readable checkpoint")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(checkpoint, monkeypatch):
    """torch says of it "unexpected pos", which nobody could mend."""
    before = checkpoint.read_bytes()

    def full(self, data):
        self.error = OSError(errno.ENOSPC, "No space left on device")
        raise self.error

    monkeypatch.setattr(checksum.HashedFile, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_checkpoint(STATE, checkpoint)
    assert checkpoint.read_bytes() == before and names(checkpoint.parent) == ["a.pt"]


def test_a_failed_copy_leaves_the_old_file_and_nothing_else(checkpoint, tmp_path, monkeypatch):
    (tmp_path / "b.pt").write_text("old")

    def half(source, target, size):
        target.write(source.read(100))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", half)
    with pytest.raises(OSError, match="No space left"):
        copy_checkpoint(checkpoint, tmp_path / "b.pt")
    assert (tmp_path / "b.pt").read_text() == "old" and names(tmp_path) == ["a.pt", "b.pt"]


def test_file_and_folder_are_on_the_disk_in_this_order(checkpoint, monkeypatch):
    """The name must not come before the content, and the caller not before the name."""
    seen, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda handle: (seen.append("sync"), fsync(handle)))
    monkeypatch.setattr("os.replace", lambda old, new: (seen.append("rename"), replace(old, new)))
    write_checkpoint(STATE, checkpoint)
    assert seen == ["sync", "rename", "sync"]


def test_a_file_that_cannot_be_looked_at_is_not_called_broken(tmp_path):
    with pytest.raises(FileNotFoundError):
        why_broken(tmp_path / "absent.pt")

"""Indexes of large text files: the same lines with and without, and nothing that they hide."""

import errno
import logging
import multiprocessing
import os
import pickle
import shutil
import sys
import tempfile
import time

import numpy as np
import pytest

from speecht5_fairseq.data import line_index
from speecht5_fairseq.data.line_index import index_file
from speecht5_fairseq.data.lines import MappedLines
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, ManifestError, TextLines

ROWS = 30_000  # about 600 kB, so that the samples leave something out


@pytest.fixture
def indexed(monkeypatch):
    """Every file has an index, whose times can be trusted at once; the list grows when a file itself is read."""
    monkeypatch.setattr(line_index, "INDEX_FROM", 1)
    monkeypatch.setattr(line_index, "TICK", 0)
    read, plain = [], MappedLines._measure
    monkeypatch.setattr(MappedLines, "_measure", lambda self: read.append(self.path.name) or plain(self))
    return read


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("/r\n" + "".join(f"{i:06d}/a.wav\t{i % 900 + 100}\n" for i in range(ROWS)))
    return path


def opened(path, job="s2t"):
    return Manifest.open(path, JOB_COLUMNS[job])


def source_of(path):
    with open(path, "rb") as file:
        return line_index._source(file)


def samples_of(path):
    with open(path, "rb") as file:
        return line_index._samples(file, path.stat().st_size)


def edit(path, row, samples):
    """Write a row's sample count in place, so that the size stays."""
    with open(path, "r+b") as file:
        file.seek(int(opened(path).lines.offsets[row + 1]) + len("000000/a.wav\t"))
        file.write(f"{samples:03d}".encode())


def test_a_second_opening_maps_what_the_first_read(indexed, table):
    first, second = opened(table), opened(table)
    assert indexed == ["train.tsv"] and len(second) == ROWS
    for one, other in ((first.samples, second.samples), (first.lines.offsets, second.lines.offsets)):
        assert np.array_equal(one, other) and other.dtype == np.int64 and not other.flags.writeable
    assert [second.row(i) for i in (0, 777, ROWS - 1)] == [first.row(i) for i in (0, 777, ROWS - 1)]
    assert sorted(file.suffix for file in table.parent.iterdir()) == [".idx", ".tsv"]


def test_small_files_have_none(table):
    assert opened(table).samples[3] == 103 and os.listdir(table.parent) == ["train.tsv"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("job", ["s2t", "pretrain", "s2s"])
def test_random_manifests_are_the_same_without(indexed, tmp_path, monkeypatch, seed, job):
    rng, path = np.random.default_rng(seed), tmp_path / "train.tsv"
    names = ["a.wav", "é ü/ß.flac", "0001.tar:x/y.wav", "talk.flac:160:3200", "漢字" * 9]
    end = "\r\n" if seed % 2 else "\n"
    rows = []
    for _ in range(rng.integers(1, 400)):
        fields = [str(rng.choice(names)), str(rng.integers(1, 10 ** rng.integers(1, 9)))]
        rows.append(fields * (2 if job == "s2s" else 1) + (["v.npy"] if job != "s2t" else []))
    text = end.join(["wavs", *("\t".join(row) for row in rows)])
    path.write_bytes((text + (end if seed % 3 else "")).encode())
    made, mapped = opened(path, job), opened(path, job)
    monkeypatch.setattr(line_index, "INDEX_FROM", 1 << 40)
    plain = opened(path, job)
    assert len(indexed) == 2
    for other in (made, mapped):
        assert [other.row(i) for i in range(len(other))] == [plain.row(i) for i in range(len(plain))]
        assert other.counts.keys() == plain.counts.keys() and (other.root, other.width) == (plain.root, plain.width)


def test_labels_have_one_too(indexed, tmp_path):
    path = tmp_path / "train.km"
    path.write_text("".join(f"{i} {i + 1}\n" for i in range(5000)))
    lines = [list(TextLines(path)) for _ in range(2)]
    assert indexed == ["train.km"] and lines[0] == lines[1] and lines[1][4999] == "4999 5000"
    assert index_file(path).name == "train.km.idx" and index_file(path).is_file()


@pytest.mark.parametrize("change", ["append", "in place", "replace", "shorten"])
def test_an_index_of_other_content_is_made_anew(indexed, table, change):
    opened(table)
    time.sleep(0.05)  # several ticks of this file system
    if change == "append":
        with open(table, "a") as file:
            file.write("more.wav\t7\n")
    elif change == "in place":
        edit(table, 777, 5)
    elif change == "replace":  # of the same size, and older than the index
        other = table.with_name("other")
        other.write_text(table.read_text().replace("\t877\n", "\t005\n"))
        os.utime(other, ns=(0, 1_000_000_000))
        os.replace(other, table)
    else:
        os.truncate(table, len("/r\n") + ROWS // 2 * len("000000/a.wav\t100\n"))
    del indexed[:]
    now = [row.split("\t") for row in table.read_text().splitlines()[1:]]
    for _ in range(2):
        manifest = opened(table)
        assert [str(manifest.row(i)["path"]) for i in range(len(manifest))] == [row[0] for row in now]
        assert manifest.samples.tolist() == [int(row[1]) for row in now]
    assert indexed == ["train.tsv"]


def test_an_edit_within_the_clocks_tick_is_seen(indexed, table, monkeypatch):
    """A file system whose clock stands still: size, times and inode stay, and no sample lies where the edit is."""
    monkeypatch.setattr(line_index, "TICK", 2_000_000_000)
    source = source_of(table)
    monkeypatch.setattr(line_index, "_source", lambda file: source)
    before, samples = opened(table), samples_of(table)
    edit(table, 777, 5)
    assert samples_of(table) == samples and before.samples[777] == 877
    assert opened(table).samples[777] == 5


def test_a_file_that_changes_while_it_is_read_has_no_index(indexed, table, monkeypatch):
    monkeypatch.setattr(line_index, "TICK", 2_000_000_000)
    source, plain = source_of(table), MappedLines._measure

    def disturbed(self):
        arrays = plain(self)
        table.write_text(table.read_text().replace("\t877\n", "\t005\n"))
        return arrays

    monkeypatch.setattr(line_index, "_source", lambda file: source)
    monkeypatch.setattr(MappedLines, "_measure", disturbed)
    opened(table)
    assert os.listdir(table.parent) == ["train.tsv"]


def test_content_that_was_only_touched_or_copied_keeps_its_index(indexed, table, tmp_path):
    opened(table)
    os.utime(table)
    place = tmp_path / "elsewhere"
    place.mkdir()
    for file in list(tmp_path.glob("train.tsv*")):
        shutil.copy(file, place)
    for path in (table, place / "train.tsv"):
        assert opened(path).samples[777] == 877
        known = line_index.load(index_file(path, opened(path).lines._reading), opened(path).lines._reading)
        assert known.rested and known.source == source_of(path)  # the next opening reads no more
    assert indexed == ["train.tsv"]


@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "magic", "version", "header", "array", "other text"])
def test_a_damaged_index_is_made_anew(indexed, table, damage, caplog):
    whole = opened(table).samples.copy()
    file = next(table.parent.glob("*.idx"))
    good = file.read_bytes()
    middle = len(good) // 2
    bad = {
        "empty": b"",
        "cut": good[:-8],
        "longer": good + bytes(8),
        "magic": b"NOTLINES" + good[8:],
        "version": good[:8] + b"\x63" + good[9:],
        "header": good[:40] + bytes([good[40] ^ 1]) + good[41:],
        "array": good[:middle] + bytes([good[middle] ^ 64]) + good[middle + 1 :],
        "other text": b"an index of something else\n" * 99,
    }[damage]
    file.write_bytes(bad)
    with caplog.at_level(logging.INFO):
        assert np.array_equal(opened(table).samples, whole)
    assert str(file) in caplog.text and "the file itself is read" in caplog.text
    assert file.read_bytes() == good and indexed == ["train.tsv"] * 2
    assert np.array_equal(opened(table).samples, whole) and len(indexed) == 2


def test_indexes_of_other_versions_and_machines_are_not_read(indexed, table, monkeypatch):
    for place, name, value in ((line_index, "VERSION", 99), (sys, "byteorder", "middle")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, value)
            opened(table)
        del indexed[:]
        assert opened(table).samples[777] == 877 and indexed == ["train.tsv"]


def test_each_jobs_columns_have_their_own(indexed, table):
    for _ in range(2):
        assert len(opened(table, "s2t")) == len(opened(table, "pretrain")) == ROWS
    assert len(indexed) == 2 and len(list(table.parent.glob("*.idx"))) == 2
    with pytest.raises(ManifestError, match="2 columns where there should be path, samples, speaker"):
        opened(table, "t2s")
    assert len(list(table.parent.glob("*.idx"))) == 2  # a manifest that breaks the format has none


def test_the_root_is_read_whoever_made_the_index(indexed, tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("no root.wav\t5\na.wav\t5\n")
    for _ in range(2):
        assert str(Manifest.open(path, JOB_COLUMNS["s2t"], root="/moved").path(0)) == "/moved/a.wav"
        with pytest.raises(ManifestError, match="train.tsv:1: a row stands where the audio root should be"):
            opened(path)


def test_a_read_only_folder_is_told_of_once(indexed, table, monkeypatch, caplog):
    def refuse(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    (table.parent / "train.txt").write_text("text\n" * ROWS)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert opened(table).samples[777] == 877 and len(TextLines(table.with_name("train.txt"))) == ROWS
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"{table.parent}: no index can be written (Read-only file system): each opening reads its large files")
    ]
    assert not list(table.parent.glob("*idx*"))


def test_an_index_that_is_there_serves_a_read_only_folder(indexed, table, monkeypatch):
    opened(table)
    os.utime(table)  # as a copy to read-only storage has it
    monkeypatch.setattr(line_index, "_clock", lambda folder: None)
    assert opened(table).samples[777] == 877 and indexed == ["train.tsv"]


def test_a_full_disk_leaves_nothing_behind(indexed, table, monkeypatch):
    def fail(file, index):
        file.write(b"something")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(line_index, "_write", fail)
    assert opened(table).samples[777] == 877 and os.listdir(table.parent) == ["train.tsv"]


def test_a_pickle_holds_no_rows_and_maps_the_index_again(indexed, table):
    manifest = opened(table)
    data = pickle.dumps(manifest)
    again = pickle.loads(data)
    assert len(data) < 2000 and indexed == ["train.tsv"]
    assert np.array_equal(again.samples, manifest.samples) and again.row(7) == manifest.row(7)


def test_an_index_that_another_process_wrote_meanwhile_stays(indexed, table, monkeypatch):
    plain, inner = MappedLines._measure, []

    def overtaken(self):
        arrays = plain(self)
        if not inner:
            inner.append(True)
            opened(table)
            inner.append(next(table.parent.glob("*.idx")).stat().st_ino)
        return arrays

    monkeypatch.setattr(MappedLines, "_measure", overtaken)
    assert opened(table).samples[777] == 877
    assert next(table.parent.glob("*.idx")).stat().st_ino == inner[1]  # whoever has it mapped keeps it


def test_of_two_that_write_at_once_the_first_stays(indexed, table, monkeypatch):
    plain, inner = line_index._write, []

    def overtaken(file, index):
        plain(file, index)
        if not inner:
            inner.append(True)
            opened(table)
            inner.append(next(table.parent.glob("[!.]*.idx")).stat().st_ino)

    monkeypatch.setattr(line_index, "_write", overtaken)
    assert opened(table).samples[777] == 877
    assert next(table.parent.glob("[!.]*.idx")).stat().st_ino == inner[1]


def test_a_file_system_without_hard_links_has_indexes(indexed, table, monkeypatch):
    def fail(source, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    opened(table)
    assert len(list(table.parent.glob("[!.]*.idx"))) == 1


def _open_at_once(path, barrier, queue):
    line_index.INDEX_FROM = 1
    barrier.wait()
    manifest = opened(path)
    queue.put((int(manifest.samples.sum()), str(manifest.row(ROWS - 1)["path"])))


def test_processes_that_start_together_all_read_the_same(table):
    context, count = multiprocessing.get_context("fork"), 4
    barrier, queue = context.Barrier(count), context.Queue()
    processes = [context.Process(target=_open_at_once, args=(table, barrier, queue)) for _ in range(count)]
    for process in processes:
        process.start()
    found = {queue.get(timeout=300) for _ in processes}
    for process in processes:
        process.join()
    assert found == {(int(opened(table).samples.sum()), f"{ROWS - 1:06d}/a.wav")}
    assert len(os.listdir(table.parent)) == 2  # no half-written one

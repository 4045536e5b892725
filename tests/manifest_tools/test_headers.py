"""Lengths are read once, and what is broken keeps nothing from the others."""

import soundfile
from helpers import write_speech

from manifest_tools import headers
from manifest_tools.headers import measure


def test_broken_files_are_told(tmp_path):
    rows = write_speech(tmp_path / "a", 4)
    for number, ending in ((0, "flac"), (1, "mp3")):
        wave, rate = soundfile.read(tmp_path / f"a/{number}.wav")
        soundfile.write(tmp_path / f"a/cut.{ending}", wave, rate)
        content = (tmp_path / f"a/cut.{ending}").read_bytes()
        (tmp_path / f"a/cut.{ending}").write_bytes(content[: len(content) // 2])  # the header is whole
    (tmp_path / "a/text.wav").write_text("not audio")
    soundfile.write(tmp_path / "a/empty.wav", [], 16000)
    broken = ["cut.flac", "cut.mp3", "empty.wav", "gone.wav", "tab\t.wav", "text.wav", "\udcff.wav"]
    found = measure(tmp_path / "a", [*broken, *(name for name, _ in rows)], tmp_path, "train", n_jobs=1)
    assert [tuple(row) for row in found.rows] == rows
    name = "name with a tab, a line end or bytes that are no UTF-8"
    assert [(row.name, row.kind) for row in found.broken] == [
        ("cut.flac", "unreadable"), ("cut.mp3", "unreadable"), ("empty.wav", "unreadable"),
        ("gone.wav", "no such file"), (r"'tab\t.wav'", name), ("text.wav", "unreadable"), (r"'\udcff.wav'", name),
    ]  # fmt: skip


def test_again_reads_what_is_new_changed_or_was_broken(tmp_path, monkeypatch):
    rows, read, real = write_speech(tmp_path / "a", 4), [], headers._length
    monkeypatch.setattr(headers, "_length", lambda path: read.append(path.rpartition("/")[2]) or real(path))
    (tmp_path / "a/broken.wav").write_bytes(b"")
    names = [*(name for name, _ in rows[:3]), "broken.wav"]
    measure(tmp_path / "a", names, tmp_path, "train", n_jobs=1)
    assert read == names
    soundfile.write(tmp_path / "a/1.wav", [0.1] * 700, 16000)
    read.clear()
    found = measure(tmp_path / "a", [*names, "3.wav"], tmp_path, "train", n_jobs=1)
    assert read == ["1.wav", "broken.wav", "3.wav"]
    assert [tuple(row) for row in found.rows] == [rows[0], ("1.wav", 700), *rows[2:]]
    log = tmp_path / ".headers/train.tsv"
    log.write_text(log.read_text()[:-3])  # a stop cut the last line
    read.clear()
    assert measure(tmp_path / "a", [name for name, _ in rows], tmp_path, "train", n_jobs=1).rows == found.rows
    assert read == ["3.wav"]


def test_what_was_read_before_a_stop_is_kept(tmp_path, monkeypatch):
    rows, real = write_speech(tmp_path / "a", 3), headers._length
    names = [name for name, _ in rows]

    def stopped(path):
        if path.endswith("2.wav"):
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(headers, "_length", stopped)
    try:
        measure(tmp_path / "a", names, tmp_path, "train", n_jobs=1)
    except KeyboardInterrupt:
        monkeypatch.setattr(headers, "_length", lambda path: real(path) if path.endswith("2.wav") else None)
    assert [tuple(row) for row in measure(tmp_path / "a", names, tmp_path, "train", n_jobs=1).rows] == rows

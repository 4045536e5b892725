"""Manifests: what loads, and the message for what does not."""

import pickle
import time

import numpy as np
import pytest
from helpers import write_lines

from speecht5_fairseq.data import lines as lines_module
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, ManifestError, TextLines, write_manifest


def manifest_of(tmp_path, content, job="s2t"):
    path = tmp_path / "train.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Manifest.open(path, JOB_COLUMNS[job])


def test_rows_are_read(tmp_path):
    manifest = manifest_of(tmp_path, "/audio\na b.wav\t16000\tx\té/ü.flac\n" * 1 + "c.wav\t5\n")
    assert len(manifest) == 2
    assert manifest.samples.tolist() == [16000, 5] and manifest.samples.dtype == np.int64
    assert manifest.row(0) == {"path": "a b.wav", "samples": 16000}
    assert str(manifest.path(1)) == "/audio/c.wav"
    assert manifest.line_number(1) == 3
    with pytest.raises(IndexError, match="2 rows"):
        manifest.row(2)


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("last", ["", None])
def test_line_ends_of_windows_and_none_at_the_end(tmp_path, end, last):
    content = end.join(["/audio", "a.wav\t100\tv.npy", "b.wav\t200\tw.npy"]) + (end if last is None else last)
    manifest = manifest_of(tmp_path, content, "pretrain")
    assert manifest.samples.tolist() == [100, 200]
    assert manifest.row(1)["speaker"] == "w.npy" and manifest.has("speaker")


def test_relative_root_is_the_manifests_and_can_be_replaced(tmp_path, monkeypatch):
    manifest = manifest_of(tmp_path, "wavs\na.wav\t100\n")
    assert manifest.path(0) == tmp_path / "wavs" / "a.wav"
    moved = Manifest.open(tmp_path / "train.tsv", JOB_COLUMNS["s2t"], root="/elsewhere")
    assert str(moved.path(0)) == "/elsewhere/a.wav"
    monkeypatch.chdir("/")
    typed = Manifest.open(tmp_path / "train.tsv", JOB_COLUMNS["s2t"], root="elsewhere")  # as a command line means it
    assert str(typed.path(0)) == "/elsewhere/a.wav"


def test_speaker_column_may_be_absent(tmp_path):
    assert not manifest_of(tmp_path, "/r\na.wav\t100\n", "pretrain").has("speaker")


def test_two_audio_files_a_row(tmp_path):
    manifest = manifest_of(tmp_path, "/r\na.wav\t100\tb.wav\t200\tv.npy\n", "s2s")
    assert manifest.counts["target_samples"].tolist() == [200] and manifest.samples.tolist() == [100]
    assert str(manifest.path(0, "target_path")) == "/r/b.wav"


@pytest.mark.parametrize(
    ("content", "job", "line", "problem", "mend"),
    [
        ("", "s2t", 1, "no audio root", "put the folder"),
        ("\na.wav\t5\n", "s2t", 1, "no audio root", "put the folder"),
        ("a.wav\t5\nb.wav\t5\n", "s2t", 1, "row stands where", "put the folder"),
        ("/r\x00\na.wav\t5\n", "s2t", 1, "a control character in a path ('/r\\x00')", "rename the file"),
        ("/r\n", "s2t", 2, "no row", "write one line"),
        ("/r\na.wav\t5\n\nb.wav\t5\n", "s2t", 3, "empty line", "delete the line"),
        ("/r\na.wav\n", "s2t", 2, "1 columns", "single tabs"),
        ("/r\na.wav 5\n", "s2t", 2, "'a.wav 5'", "single tabs"),
        ("/r\na.wav\t5\tv\textra\n", "pretrain", 2, "4 columns", "single tabs"),
        ("/r\na.wav\t5\tv\nb.wav\t5\n", "pretrain", 3, "first row has 3", "same columns"),
        ("/r\na.wav\t5\nb.wav\t5\tv\n", "pretrain", 3, "first row has 2", "same columns"),
        ("/r\n\t5\n", "s2t", 2, "empty path", "write the path"),
        ("/r\na.wav\t5\t \n", "pretrain", 2, "empty speaker", "write the speaker"),
        ("/r\na.wav\t5.0\n", "s2t", 2, "not an integer ('5.0')", "digits only"),
        ("/r\na.wav\t\n", "s2t", 2, "not an integer ('')", "digits only"),
        ("/r\na.wav\t --5\n", "s2t", 2, "not an integer", "digits only"),
        ("/r\na.wav\t٣\n", "s2t", 2, "not an integer", "digits only"),
        ("/r\na.wav\t9999999999999999999999\n", "s2t", 2, "not an integer", "digits only"),
        ("/r\na.wav\t0\n", "s2t", 2, "not positive ('0')", "delete the row"),
        ("/r\na.wav\t-7\n", "s2t", 2, "not positive ('-7')", "delete the row"),
        ("/r\na.wav\t7\tb.wav\t0\tv\n", "s2s", 2, "target_samples is not positive", "delete the row"),
        ("/r\na.wav\t5\r\r\n", "s2t", 2, "not an integer", "digits only"),
        ("/r\na.wav\t+5\n", "s2t", 2, "not an integer ('+5')", "digits only"),
        ("/r\na.wav\t5\n\ufffd.wav\t7\n".encode() + b"\xff\t7\n", "s2t", 4, "not UTF-8", "convert the file"),
        (b"/r\na.wav\t7\n\xff.wav\t7\n", "s2t", 3, "not UTF-8", "convert the file"),
        (b"\xef\xbb\xbf/r\na.wav\t7\n", "s2t", 1, "byte order mark", "save it as UTF-8"),
    ],
)
def test_errors_name_line_and_mend(tmp_path, content, job, line, problem, mend):
    with pytest.raises(ManifestError) as caught:
        manifest_of(tmp_path, content, job)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'train.tsv'}:{line}: ")
    assert problem in message and mend in message


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ManifestError, match="nowhere.tsv: cannot be read"):
        Manifest.open(tmp_path / "nowhere.tsv", JOB_COLUMNS["s2t"])


def test_many_errors_make_one_message(tmp_path):
    rows = "".join(f"{i}.wav\t{'x' if i % 2 else 5}\n" for i in range(100))
    with pytest.raises(ManifestError) as caught:
        manifest_of(tmp_path, "/r\n" + rows)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21 and ":3:" in lines[0] and ":5:" in lines[1]
    assert "30 more problems of 50" in lines[-1]


def test_chunks_do_not_change_the_rows(tmp_path, monkeypatch):
    content = "/r\n" + "".join(f"{'n' * (i % 7)}{i}.wav\t{i + 1}\n" for i in range(50))
    whole = manifest_of(tmp_path, content)
    monkeypatch.setattr(lines_module, "CHUNK_BYTES", 37)
    pieces = manifest_of(tmp_path, content)
    assert np.array_equal(whole.samples, pieces.samples)
    assert [pieces.row(i) for i in range(50)] == [whole.row(i) for i in range(50)]


def test_large_manifest_opens_fast(tmp_path):
    rows = 200_000
    text = "/r\n" + "".join(f"speaker/chapter/utterance-{i:07d}.flac\t{i + 1000}\n" for i in range(rows))
    started = time.perf_counter()
    manifest = manifest_of(tmp_path, text)
    assert time.perf_counter() - started < 2.0
    assert manifest.samples[-1] == rows + 999 and manifest.row(rows - 1)["path"].endswith(f"{rows - 1:07d}.flac")


def test_pickle_holds_no_rows(tmp_path):
    manifest = manifest_of(tmp_path, "/r\n" + "".join(f"{'long' * 50}{i}.wav\t{i + 1}\n" for i in range(500)))
    data = pickle.dumps(manifest)
    assert len(data) < 12_000
    assert pickle.loads(data).row(7) == manifest.row(7)


def test_write_manifest_round_trip_and_atomic(tmp_path):
    path = tmp_path / "train.tsv"
    assert write_manifest(path, "/r", [("a.wav", 5), ("b.wav", 6)]) == 2
    assert Manifest.open(path, JOB_COLUMNS["s2t"]).samples.tolist() == [5, 6]
    with pytest.raises(ManifestError, match=r"train.tsv:3: .*'b\\twav'.*rename"):
        write_manifest(path, "/r", [("a.wav", 9), ("b\twav", 6)])
    assert Manifest.open(path, JOB_COLUMNS["s2t"]).samples.tolist() == [5, 6]
    assert [file.name for file in tmp_path.iterdir()] == ["train.tsv"]


def test_text_lines(tmp_path):
    lines = TextLines(write_lines(tmp_path / "a.txt", ["one", "", "drei ß"]))
    assert list(lines) == ["one", "", "drei ß"] and len(lines) == 3
    (tmp_path / "b.txt").write_bytes(b"good\nbad \xe9\n")
    broken = TextLines(tmp_path / "b.txt")
    assert broken[0] == "good"
    with pytest.raises(ManifestError, match=r"b.txt:2: not UTF-8 .*byte 5.*convert"):
        broken[1]
    assert len(TextLines(write_lines(tmp_path / "empty.txt", []))) == 0

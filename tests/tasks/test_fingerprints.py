"""What results are of, as a table and its settings have it."""

from pathlib import Path

from speecht5_fairseq.data.manifest import TextLines
from speecht5_fairseq.tasks.fingerprints import digest, plain, raw_line, states_of


def test_files_are_known_by_size_and_time(tmp_path, monkeypatch):
    (tmp_path / "model.pt").write_bytes(b"123")
    monkeypatch.chdir(tmp_path)
    changed = (tmp_path / "model.pt").stat().st_mtime_ns
    assert states_of([Path("model.pt")]) == {str(tmp_path / "model.pt"): [3, changed]}


def test_a_digest_tells_where_one_part_ends():
    assert digest(["ab", "c"]) == digest(["ab", "c"]) != digest(["a", "bc"])
    assert len(digest([])) == 16


def test_paths_and_lines_that_are_not_there():
    assert plain(None) == "" and plain("a/../b.wav") == "b.wav"


def test_a_line_that_is_not_utf8_is_empty(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"first\n\xff\xfe\n")
    lines = TextLines(tmp_path / "train.txt")
    assert [raw_line(lines, row) for row in range(2)] == ["first", ""]

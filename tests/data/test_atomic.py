"""Files appear complete or not at all, and leave nothing beside them."""

import pytest

from speecht5_fairseq.data.atomic import atomic_text, replacing


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

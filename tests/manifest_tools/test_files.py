"""Whole files, hashes, the parallel map, help texts."""

import importlib
from pathlib import Path

import pytest

import manifest_tools
from manifest_tools import parallel
from manifest_tools.files import hash_fraction, read_lines, split_by_hash, write_lines
from manifest_tools.summary import SplitSize, size_table

TOOLS = sorted(
    path.stem for path in Path(manifest_tools.__file__).parent.glob("*.py") if "def build_parser" in path.read_text()
)


def square(number):
    if number == 13:
        raise ValueError("13 is refused")
    return number * number


def test_files_are_whole_or_absent(tmp_path):
    assert write_lines(tmp_path / "deep/good.txt", ["a", "b"]) == 2
    with pytest.raises(ValueError, match="lines.txt:2: .*holds a line break"):
        write_lines(tmp_path / "lines.txt", ["a", "b\nc"])
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    (tmp_path / "latin.txt").write_bytes("\u00e9".encode("latin-1"))
    with pytest.raises(ValueError, match="latin.txt: not UTF-8"):
        list(read_lines(tmp_path / "latin.txt"))


def test_hashes_are_fixed():
    assert hash_fraction("name", "salt") == pytest.approx(0.0894219, abs=1e-6)  # other values would move every split
    assert hash_fraction("name", "salt") != hash_fraction("name", "other")
    keys = [str(number) for number in range(2000)]
    assert {split_by_hash(key, "s", 0.0, 0.0) for key in keys} == {"train"}
    wider = {key for key in keys if split_by_hash(key, "s", 0.0, 0.2) == "test"}
    assert {key for key in keys if split_by_hash(key, "s", 0.0, 0.1) == "test"} < wider


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_parallel_map_keeps_order_and_errors(n_jobs, monkeypatch):
    monkeypatch.setattr(parallel, "SMALL_WORK", 0)
    assert list(parallel.parallel_map(square, range(10), total=10, n_jobs=n_jobs, description="test")) == [
        n * n for n in range(10)
    ]
    with pytest.raises(ValueError, match="13 is refused"):
        list(parallel.parallel_map(square, range(20), total=20, n_jobs=n_jobs, description="test"))


@pytest.mark.parametrize("name", TOOLS)
def test_every_option_has_help(name):
    parser = importlib.import_module(f"manifest_tools.{name}").build_parser()
    choices = [action for action in parser._actions if action.choices and action.dest == "command"]
    for each in [parser, *(sub for action in choices for sub in action.choices.values())]:
        assert all(action.help for action in each._actions if action.dest != "command")
        assert each.format_help().startswith(f"usage: python -m manifest_tools.{name}")


def test_size_table():
    lines = size_table([SplitSize("train", 2, 32000), SplitSize("test", 0, 0)]).splitlines()
    assert lines[1].split() == ["train", "2", "0.001", "1.00"] and len(set(map(len, lines))) == 1


def test_size_table_of_a_corpus():
    left_out = {"unreadable": 2, "too short": 1}
    sizes = [SplitSize("train", 2, 32000, 1, left_out), SplitSize("test", 1, 16000, None, {})]
    lines = size_table(sizes).splitlines()
    assert lines[0].split() == ["split", "rows", "hours", "mean", "s", "speakers", "left", "out"]
    assert [line.split()[4:] for line in lines[1:3]] == [["1", "3"], ["0"]]
    assert lines[3:] == ["left out of train: 2 unreadable, 1 too short"]

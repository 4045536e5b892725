"""Dictionaries: the appended symbols, unit classes, and errors by line."""

import os

import numpy as np
import pytest
from helpers import write_lines

from speecht5_fairseq.data.dictionary import load_text_dictionary, load_unit_dictionary, unit_classes, unit_count
from speecht5_fairseq.data.errors import DictionaryError


@pytest.mark.parametrize("tail", [[], ["<mask> 1"], ["<mask> 1", "<ctc_blank> 1"]])
def test_mask_and_blank_come_last_once(tmp_path, tail):
    dictionary = load_text_dictionary(write_lines(tmp_path / "dict.txt", ["a 5", "b 3", *tail]))
    assert dictionary.symbols == ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "<mask>", "<ctc_blank>"]


@pytest.mark.parametrize(
    ("lines", "line", "problem"),
    [
        ([], 1, "empty"),
        (["a 1", "b"], 2, "not a symbol"),
        (["a 1", "b x"], 2, "not a symbol"),
        (["a 1", "b 1", "a 2"], 3, "given before"),
        (["a 1", "<unk> 2"], 2, "reserved"),
        (["a 1", f"b {'9' * 5000}"], 2, "not a symbol"),
        (["a 1", "<mask> 2", "b 1"], 2, "<mask> stands before"),
        (["a 1", "<ctc_blank> 2", "<mask> 1"], 2, "<ctc_blank> stands before"),
        (["<ctc_blank> 2"], 1, "<ctc_blank> stands before"),
    ],
)
def test_errors_name_the_line(tmp_path, lines, line, problem):
    with pytest.raises(DictionaryError, match=rf"dict.txt:{line}: .*{problem}.*; (delete|write|rewrite)"):
        load_text_dictionary(write_lines(tmp_path / "dict.txt", lines))


def test_missing_and_misencoded(tmp_path):
    with pytest.raises(DictionaryError, match="dict.txt: no such dictionary; make it"):
        load_text_dictionary(tmp_path / "dict.txt")
    (tmp_path / "dict.txt").write_bytes(b"\xe9 1\n")
    with pytest.raises(DictionaryError, match="dict.txt: not UTF-8.*convert"):
        load_text_dictionary(tmp_path / "dict.txt")


def test_unit_classes_follow_the_file_not_the_number(tmp_path):
    dictionary = load_unit_dictionary(write_lines(tmp_path / "dict.km.txt", ["7 9", "0 8", "3 1"]))
    np.testing.assert_array_equal(unit_classes(dictionary), [1, -1, -1, 2, -1, -1, -1, 0])
    assert unit_count(dictionary) == 3
    with pytest.raises(DictionaryError, match="dict.km.txt:1: no unit"):
        load_unit_dictionary(write_lines(tmp_path / "dict.km.txt", ["a 1"]))


def test_what_is_no_dictionary_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path, "a folder"), (tmp_path / "pipe", "a pipe"), ("/dev/zero", "a device")):
        with pytest.raises(DictionaryError, match=f"^{path}: {said}, not a dictionary; make it with"):
            load_text_dictionary(path)
    (tmp_path / "dict.txt").write_bytes(b"\xef\xbb\xbfa 1\n")
    with pytest.raises(DictionaryError, match="dict.txt:1: starts with a byte order mark; save it as UTF-8 without"):
        load_text_dictionary(tmp_path / "dict.txt")


@pytest.mark.parametrize("unit", ["99999999999", "1" * 5000, "10000000"])
def test_a_unit_that_is_no_number_of_a_cluster(tmp_path, unit):
    """A table as long as the highest unit is made: of 10 ** 11 it would be a terabyte."""
    with pytest.raises(DictionaryError, match=r"dict.km.txt: the unit \d+ is no number of a cluster \(below 10,000"):
        load_unit_dictionary(write_lines(tmp_path / "dict.km.txt", ["1 1", f"{unit} 1"]))
    assert len(unit_classes(load_unit_dictionary(write_lines(tmp_path / "dict.km.txt", ["9999 1"])))) == 10_000

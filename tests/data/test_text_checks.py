"""Checks of a text binary: every sentence, or some of them, and what is said of those that teach nothing."""

import numpy as np
import pytest
from helpers import random_sentences, tiny_text_binary, write_lines

from speecht5_fairseq.data import text_checks
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.data.pretrain_text import open_text_binary
from speecht5_fairseq.data.text_checks import check_text_binary

UNK = 3


def check(folder, **options):
    dictionary = load_text_dictionary(folder / "dict.txt")
    return check_text_binary(open_text_binary(folder, "train", dictionary), dictionary, name="mine", **options)


@pytest.mark.parametrize("chunk", [3, 1000])
def test_every_sentence_of_every_file_is_read_at_full(tmp_path, monkeypatch, chunk):
    """Sentence 7 of the first file and 2 of the second are between those that quick looks at."""
    monkeypatch.setattr(text_checks, "QUICK_SENTENCES", 2)
    monkeypatch.setattr(text_checks, "_CHUNK", chunk)
    first, second = random_sentences(10), random_sentences(5, seed=1)
    first[7], second[2] = [UNK, UNK], [UNK]
    tiny_text_binary(tmp_path, first)
    tiny_text_binary(tmp_path, second, split="train1")
    assert check(tmp_path, level="quick") == 0
    with pytest.raises(DataError) as caught:
        check(tmp_path)
    seventh, twelfth = str(caught.value).splitlines()
    assert seventh == "mine: sentence 7: all 2 symbols are unknown to the dictionary"
    assert twelfth.startswith("mine: sentence 12: all 1 symbols are unknown to the dictionary; encode the text with")


@pytest.mark.parametrize("level", ["full", "quick"])
def test_the_share_of_unknown_tokens(tmp_path, monkeypatch, level):
    monkeypatch.setattr(text_checks, "_CHUNK", 2)
    tiny_text_binary(tmp_path, [[5, UNK, 6], [], [7, 7], [UNK, 8, 9]])
    assert check(tmp_path, level=level) == pytest.approx(2 / 8)


def test_a_text_of_unknown_symbols_only_is_counted_and_its_first_sentence_named(tmp_path):
    tiny_text_binary(tmp_path, [[]] + [[UNK]] * 49)
    with pytest.raises(DataError, match=r"(?s)^mine: sentence 1: all 1 .*and 29 more problems of 49; encode the text"):
        check(tmp_path)


@pytest.mark.parametrize("level", ["full", "quick"])
def test_a_text_of_another_dictionary(tmp_path, level):
    tiny_text_binary(tmp_path, [[4, 9], [UNK, UNK], [4, UNK]])
    write_lines(tmp_path / "dict.txt", ["a 1"])
    said = r"(?s)sentence 0: token index 9 is beyond.*sentence 1: all 2 symbols.*preprocess it with this dict.txt"
    with pytest.raises(DataError, match=said):
        check(tmp_path, level=level)


def test_a_binary_that_was_cut_off_is_named(tmp_path):
    tiny_text_binary(tmp_path, random_sentences(9))
    binary = (tmp_path / "train.bin").read_bytes()
    (tmp_path / "train.bin").write_bytes(binary[:-3])
    with pytest.raises(
        DataError, match=rf"mine: the .bin has {len(binary) - 3} bytes, its .idx tells of {len(binary)}; "
    ):
        check(tmp_path)


def test_sentences_are_views_of_the_mapped_file(tmp_path):
    tiny_text_binary(tmp_path, [[5, 6]] * 10)
    binary = open_text_binary(tmp_path, "train", load_text_dictionary(tmp_path / "dict.txt"))
    (part,) = text_checks._every(binary, "mine")
    assert np.shares_memory(part.tokens, np.frombuffer(binary._bin_buffer, dtype=part.tokens.dtype))

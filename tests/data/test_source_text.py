"""Source texts: their ends, what no dictionary knows, and long ones."""

import pytest
from helpers import SYMBOLS, tiny_dictionary, tiny_piece_model, write_lines

from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.data.labels import TextLabels
from speecht5_fairseq.data.manifest import TextLines
from speecht5_fairseq.data.source_text import SourceText

DICTIONARY = tiny_dictionary()
BOS, EOS = DICTIONARY.bos(), DICTIONARY.eos()


def pieces(tmp_path, *lines, **options):
    return SourceText(TextLabels(TextLines(write_lines(tmp_path / "test.txt", lines)), DICTIONARY), **options)


@pytest.fixture(scope="module")
def spm_model(tmp_path_factory):
    """Characters of upper-case text."""
    return tiny_piece_model(tmp_path_factory.mktemp("spm") / "spm.model")


def raw(tmp_path, spm_model, *lines, normaliser="none", **options):
    lines = TextLines(write_lines(tmp_path / "test.txt", lines))
    return SourceText(TextLabels(lines, DICTIONARY, spm_model, normaliser=normaliser), **options)


@pytest.mark.parametrize("ends, before, after", [("none", [], []), ("eos", [], [EOS]), ("both", [BOS], [EOS])])
def test_ends(tmp_path, ends, before, after):
    inner = [DICTIONARY.index(symbol) for symbol in "▁AB"]
    (tokens,) = pieces(tmp_path, "▁ A B", ends=ends).tokens(0)
    assert tokens.tolist() == [*before, *inner, *after]


def test_text_that_says_nothing_is_named_by_its_line(tmp_path):
    text = pieces(tmp_path, "A", "ß ü", "", ends="eos")
    with pytest.raises(DataError, match=r"test.txt:2: every symbol is unknown to the dictionary \('ß ü'\)"):
        text.tokens(1)
    with pytest.raises(DataError, match="test.txt:3: no text"):
        text.tokens(2)


def test_a_long_text_is_cut_at_its_sentence_ends_and_nothing_is_lost(tmp_path, spm_model):
    line = "THE FOX. A DOG! IS IT LAZY? OVER, AND OVER AND OVER AND OVER."
    whole, cut = (raw(tmp_path, spm_model, line, ends="none", limit=limit).tokens(0) for limit in (None, 20))
    assert len(whole) == 1 and len(cut) > 3 and max(map(len, cut)) <= 20

    def letters(texts):
        strings = (DICTIONARY.string(text) for text in texts)
        return [letter for string in strings for letter in string if letter in SYMBOLS[1:]]

    assert letters(cut) == letters(whole)
    assert len(raw(tmp_path, spm_model, line, ends="none", limit=500).tokens(0)) == 1


def test_the_normaliser_reads_numbers_before_sentencepiece_does(tmp_path, spm_model):
    text = raw(tmp_path, spm_model, "3 foxes", normaliser="helpers:shout", ends="none")
    assert DICTIONARY.string(text.tokens(0)[0]).replace(" ", "") == "▁THREE▁FOXES"


def test_what_a_normaliser_raises_is_an_error_of_the_line(tmp_path, spm_model):
    text = raw(tmp_path, spm_model, "fine", "broken", normaliser="helpers:moody", ends="none")
    assert len(text.tokens(0)) == 1
    with pytest.raises(DataError, match=r"test.txt:2: --text-normaliser helpers:moody cannot read it \('broken'\)"):
        text.tokens(1)
    with pytest.raises(DataError, match="test.txt:1: .*raise --max-text-symbols"):
        raw(tmp_path, spm_model, "AB", ends="none", limit=1).tokens(0)  # a word's mark and its letter


@pytest.mark.parametrize(
    "options, message",
    [
        ({"ends": "both ends"}, "--text-ends is 'both ends'; choose one of none, eos, both"),
        ({"ends": "eos", "limit": 0}, "--max-text-symbols is 0, it must be at least 1"),
        ({"ends": "eos", "limit": 9}, "--max-text-symbols 9 cuts raw text .*give --spm-model"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        pieces(tmp_path, "A", **options)


def test_a_normaliser_of_pieces_is_refused(tmp_path):
    with pytest.raises(DataError, match="--text-normaliser en reads raw text.*give --spm-model"):
        TextLabels(TextLines(write_lines(tmp_path / "test.txt", ["A"])), DICTIONARY, normaliser="en")

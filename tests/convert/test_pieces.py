"""A sentencepiece model beside a dictionary: what each has that the other lacks is named."""

import pytest
from helpers import SYMBOLS, tiny_dictionary, tiny_piece_model

from speecht5_fairseq.convert.pieces import check_pieces, made_by, pieces_of, symbols_of, unknown_pieces
from speecht5_fairseq.models.errors import CheckpointError


def pieces(tmp_path, symbols=SYMBOLS):
    return pieces_of(tiny_piece_model(tmp_path / "spm.model", symbols=symbols).read_bytes(), "spm.model")


def test_a_dictionary_of_the_model_has_all_that_it_makes(tmp_path):
    there = pieces(tmp_path)
    assert sorted(made_by(there)) == sorted(SYMBOLS)
    symbols = symbols_of((tmp_path / "spm.model").read_bytes(), "spm.model")
    assert sorted(symbols) == sorted(tiny_dictionary().symbols) and symbols[-2:] == ["<mask>", "<ctc_blank>"]
    check_pieces(there, symbols[4:-2], "m")
    assert unknown_pieces(there, symbols) == []


def test_the_first_symbol_without_a_piece_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"^m: has no piece '7' \(index 5 of the dictionary, the first of 2\)"):
        check_pieces(pieces(tmp_path), ["A", "7", "madeupword0001", "8"], "m")


def test_pieces_without_a_symbol_are_told(tmp_path):
    assert sorted(unknown_pieces(pieces(tmp_path, SYMBOLS + "27"), SYMBOLS)) == ["2", "7"]


def test_what_is_no_model_is_named_by_its_place():
    with pytest.raises(CheckpointError, match="^here.model: not readable as a sentencepiece model"):
        pieces_of(b"hello", "here.model")

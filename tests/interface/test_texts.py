"""Tokens as words."""

import torch
from fairseq.data import Dictionary
from helpers import tiny_dictionary

from speecht5_fairseq.interface.texts import GivenTexts, words_of


def test_pieces_become_words_and_the_end_goes():
    dictionary = tiny_dictionary()
    tokens = torch.tensor([dictionary.index(piece) for piece in ("▁", "A", "B", "▁", "C")] + [dictionary.eos()])
    assert words_of(tokens, dictionary) == "AB C"
    assert words_of(tokens[-1:], dictionary) == ""


def test_symbols_that_mark_no_word_stand_apart():
    dictionary = Dictionary()
    tokens = torch.tensor([dictionary.add_symbol(symbol) for symbol in ("AH", "B")])
    assert words_of(tokens, dictionary) == "AH B"


def test_texts_have_places():
    texts = GivenTexts(["one", "two"])
    assert (len(texts), texts[1], texts.line_number(1), str(texts.path)) == (2, "two", 2, "text")

"""Tokens as words."""

import numpy as np
import pytest
import torch
from checkpoints import tiny_checkpoint
from fairseq.data import Dictionary
from helpers import tiny_dictionary, tiny_piece_model

from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.interface import SpeechT5
from speecht5_fairseq.interface.texts import GivenTexts, parts_of_texts, words_of


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


def test_a_function_that_the_checkpoint_names_is_not_run(tmp_path):
    """The text is a path that the function would make; given in this call, it does."""
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    named = {"task_options": {"text_normaliser": "checkpoints:intrude_with"}}
    model = SpeechT5.from_pretrained(tiny_checkpoint(tmp_path / "a.pt", "t2s", spm_model=spm_model, **named))
    text = str(tmp_path / "A")
    with pytest.raises(DataError, match=f"^{tmp_path}/a.pt: its text_normaliser is 'checkpoints:intrude_with', a func"):
        model.synthesize(text, np.ones(512), vocoder="none")
    assert not (tmp_path / "A").exists()
    parts_of_texts([text], model.loaded, 300, "checkpoints:intrude_with")
    assert (tmp_path / "A").exists()


def test_a_language_travels_in_the_checkpoint_and_another_may_be_given(tmp_path):
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    named = {"task_options": {"text_normaliser": "helpers:shout"}}
    model = SpeechT5.from_pretrained(tiny_checkpoint(tmp_path / "a.pt", "t2s", spm_model=spm_model, **named))
    model.loaded.source.task["text_normaliser"] = "none"
    ((kept,),), ((changed,),) = (parts_of_texts(["a3"], model.loaded, 300, each) for each in (None, "helpers:shout"))
    assert model.loaded.dictionary.string(changed) == "▁ A T H R E E" != model.loaded.dictionary.string(kept)

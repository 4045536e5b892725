"""Tokens as words."""

import numpy as np
import pytest
import torch
from checkpoints import tiny_checkpoint
from fairseq.data import Dictionary
from helpers import tiny_dictionary, tiny_piece_model

from speecht5_fairseq.data.errors import DataError, ManifestError
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


@pytest.fixture
def speaking(tmp_path):
    """A model over raw text, and one over pieces that holds no sentencepiece model."""
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    raw = tiny_checkpoint(tmp_path / "raw.pt", "t2s", spm_model=spm_model)
    pieces = tiny_checkpoint(tmp_path / "pieces.pt", "t2s")
    return [SpeechT5.from_pretrained(path, device="cpu") for path in (raw, pieces)]


def test_unknown_symbols_are_warned_of_as_in_the_report(speaking, caplog):
    raw, _ = speaking
    parts_of_texts(["AB C"], raw.loaded)
    assert not caplog.messages
    parts_of_texts(["A 1A", "B 1"], raw.loaded)
    (message,) = caplog.messages
    assert message.startswith("unknown symbols: '1' x 2; the model does not know how they sound: write them")


def test_raw_text_needs_the_sentencepiece_model(speaking):
    _, pieces = speaking
    with pytest.raises(ManifestError, match="^text:2: 'call A' is no line of pieces, and .*; give .*: spm_model='spm"):
        pieces.synthesize(["▁ A B", "call A"], np.ones(512))
    ((tokens,),) = parts_of_texts(["▁ A B"], pieces.loaded)
    assert pieces.loaded.dictionary.string(tokens) == "▁ A B"
    with pytest.raises(DataError, match="reads raw text"):
        parts_of_texts(["▁ A B"], pieces.loaded, normaliser="en")
    with pytest.raises(DataError, match="cuts raw text"):
        parts_of_texts(["▁ A B"], pieces.loaded, 2)


def test_the_sentencepiece_model_may_be_given(speaking, tmp_path):
    found = SpeechT5.from_pretrained(tmp_path / "pieces.pt", spm_model=tmp_path / "spm.model", device="cpu")
    ((tokens,),) = parts_of_texts(["AB"], found.loaded)
    assert found.loaded.dictionary.string(tokens) == "▁ A B"


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

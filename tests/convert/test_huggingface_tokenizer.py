"""The tokenizer of `transformers` and our dictionary: one index for each symbol, or an error that names it."""

import json

import pytest
import torch
from conversions import SENTENCES
from helpers import SYMBOLS, tiny_dictionary, tiny_piece_model, write_lines
from sentencepiece import SentencePieceProcessor
from transformers import AddedToken, SpeechT5Tokenizer

from speecht5_fairseq.constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from speecht5_fairseq.convert.huggingface_tokenizer import (
    MODEL_FILE,
    SETTINGS_FILE,
    ordered_pieces,
    read_tokenizer,
    tokenizer_settings,
)
from speecht5_fairseq.convert.pieces import symbols_of
from speecht5_fairseq.convert.sentencepiece_model import read_pieces
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.labels import TextLabels
from speecht5_fairseq.data.manifest import TextLines
from speecht5_fairseq.models.errors import CheckpointError

PUBLISHED = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}  # the ids of the published sentencepiece model


def symbols() -> list[str]:
    return list(tiny_dictionary().symbols)


def exported(folder, model: bytes, symbols: list[str]):
    """Their tokenizer, of our files."""
    ordered = ordered_pieces(model, symbols, "spm.model")
    folder.mkdir(exist_ok=True)
    (folder / MODEL_FILE).write_bytes(ordered)
    (folder / SETTINGS_FILE).write_text(json.dumps(tokenizer_settings(symbols, len(read_pieces(ordered)))))
    return SpeechT5Tokenizer.from_pretrained(folder, local_files_only=True)


@pytest.mark.parametrize(
    "options",
    [{}, PUBLISHED, {"model_type": "unigram", "vocab_size": 45}, {"model_type": "bpe", "vocab_size": 45}],
    ids=["char", "published ids", "unigram", "bpe"],
)
def test_their_indices_are_ours(tmp_path, options):
    """Of a dictionary in an order of its own, with a sentencepiece model of any kind and ids."""
    spm = tiny_piece_model(tmp_path / "spm.model", **options)
    own = sorted(symbols_of(spm.read_bytes(), "")[4:-2])
    dictionary = load_text_dictionary(write_lines(tmp_path / "dict.txt", [f"{symbol} 1" for symbol in own]))
    theirs = exported(tmp_path / "hf", spm.read_bytes(), list(dictionary.symbols))
    labels = TextLabels(TextLines(write_lines(tmp_path / "text.txt", SENTENCES)), dictionary, spm)
    for row, sentence in enumerate(SENTENCES):
        ours = labels.tokens(row).tolist()  # with </s>, as their tokenizer
        assert theirs(sentence).input_ids == ours
        assert theirs("<s>" + sentence).input_ids == [dictionary.bos(), *ours]  # --text-ends both
        assert theirs(sentence, add_special_tokens=False).input_ids == ours[:-1]  # --text-ends none
    assert len(theirs) == len(dictionary) and theirs.unk_token_id in theirs(SENTENCES[-1]).input_ids
    assert [theirs.convert_ids_to_tokens(index) for index in range(len(dictionary))] == dictionary.symbols


def test_texts_come_back(tmp_path):
    theirs = exported(tmp_path / "hf", tiny_piece_model(tmp_path / "spm.model").read_bytes(), symbols())
    batch = [[2, *theirs(sentence).input_ids, 1, 1] for sentence in SENTENCES[:2]]
    assert theirs.batch_decode(batch, skip_special_tokens=True) == SENTENCES[:2]


def test_a_model_in_the_dictionarys_order_stays_as_it_is(tmp_path):
    model = tiny_piece_model(tmp_path / "spm.model", **PUBLISHED).read_bytes()
    assert ordered_pieces(model, symbols_of(model, ""), "") is model


def test_the_first_symbol_that_the_model_cannot_make_is_named(tmp_path):
    model = tiny_piece_model(tmp_path / "spm.model", symbols=SYMBOLS.replace("Q", "").replace("X", "")).read_bytes()
    index = tiny_dictionary().index("Q")
    with pytest.raises(CheckpointError, match=rf"^m: has no piece 'Q' \(index {index} .* first of 2\).*--spm-model"):
        ordered_pieces(model, symbols(), "m")


def test_the_first_piece_that_the_dictionary_lacks_is_named(tmp_path):
    model = tiny_piece_model(tmp_path / "spm.model", symbols=SYMBOLS + "2").read_bytes()
    with pytest.raises(
        CheckpointError, match=r"^m: makes the piece '2' \(the first of 1\), which the dictionary lacks"
    ):
        ordered_pieces(model, symbols(), "m")


def test_a_symbol_with_two_indices_is_named(tmp_path):
    model = tiny_piece_model(tmp_path / "spm.model").read_bytes()
    with pytest.raises(CheckpointError, match="the dictionary has 'B' twice"):
        ordered_pieces(model, [*symbols()[:9], "B", *symbols()[9:]], "m")


def test_fillers_of_fairseq_preprocess_keep_their_places(tmp_path):
    filled = [*symbols()[:6], "madeupword0000", *symbols()[6:]]
    theirs = exported(tmp_path / "hf", tiny_piece_model(tmp_path / "spm.model").read_bytes(), filled)
    assert theirs(SENTENCES[0]).input_ids == [filled.index(piece) for piece in theirs.tokenize(SENTENCES[0])] + [2]


def test_what_is_no_sentencepiece_model_is_named():
    with pytest.raises(CheckpointError, match="^m: not readable as a sentencepiece model; copy it again"):
        ordered_pieces(b"hello", symbols(), "m")


def saved(folder, **options) -> SpeechT5Tokenizer:
    """A tokenizer of their own with tokens behind its pieces, in `folder`."""
    theirs = SpeechT5Tokenizer(str(tiny_piece_model(folder / "spm.model", **options)))
    theirs.add_special_tokens({"mask_token": AddedToken("<mask>", lstrip=True)})
    theirs.add_tokens(["<ctc_blank>", "<cough>"])
    theirs.save_pretrained(folder)
    return theirs


@pytest.mark.parametrize("options", [PUBLISHED, {}], ids=["published ids", "ids of its own"])
def test_rows_are_put_in_our_order(tmp_path, options):
    """Whatever ids theirs has: row by row the same symbol; the two that we append stand last."""
    theirs = saved(tmp_path, **options)
    rows = read_tokenizer(tmp_path, len(theirs) + 3)
    assert rows.symbols[:5] == ["<s>", "<pad>", "</s>", "<unk>", rows.symbols[4]]
    assert rows.symbols[-2:] == [MASK_SYMBOL, CTC_BLANK_SYMBOL] and "<cough>" in rows.symbols
    known = [(symbol, place) for symbol, place in zip(rows.symbols, rows.places, strict=True) if place is not None]
    assert len(known) == len(theirs) and rows.left == 3
    assert all(theirs.convert_ids_to_tokens(place) == symbol for symbol, place in known)
    assert {symbol for symbol, place in zip(rows.symbols, rows.places, strict=True) if place is None} == set()


def test_a_dictionary_made_of_theirs_gives_the_same_rows(tmp_path):
    """dict.txt written of the rows, text by our sentencepiece and that dictionary, and back to their ids."""
    theirs = saved(tmp_path)
    rows = read_tokenizer(tmp_path, len(theirs))
    file = write_lines(tmp_path / "dict.txt", [f"{symbol} 1" for symbol in rows.symbols[4:-2]])
    dictionary = load_text_dictionary(file)
    assert dictionary.symbols == rows.symbols
    processor = SentencePieceProcessor(model_proto=rows.sentencepiece)
    for sentence in SENTENCES:
        ours = [dictionary.index(piece) for piece in processor.encode(sentence, out_type=str)]
        assert [rows.places[index] for index in ours] == theirs(sentence, add_special_tokens=False).input_ids


def test_symbols_that_theirs_lacks_have_no_row(tmp_path):
    theirs = SpeechT5Tokenizer(str(tiny_piece_model(tmp_path / "spm.model")))
    theirs.save_pretrained(tmp_path)
    rows = read_tokenizer(tmp_path, len(theirs))
    missing = [symbol for symbol, place in zip(rows.symbols, rows.places, strict=True) if place is None]
    assert missing == [MASK_SYMBOL, CTC_BLANK_SYMBOL]


def test_mistakes_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=f"no tokenizer .{MODEL_FILE}.*SpeechT5Processor.save_pretrained"):
        read_tokenizer(tmp_path, 10)
    theirs = saved(tmp_path)
    with pytest.raises(CheckpointError, match=rf"has a token {len(theirs) - 1} \('<cough>'\), the model 20 rows"):
        read_tokenizer(tmp_path, 20)
    (tmp_path / SETTINGS_FILE).write_text("{")
    with pytest.raises(CheckpointError, match=f"{SETTINGS_FILE}: no readable settings"):
        read_tokenizer(tmp_path, 100)
    (tmp_path / SETTINGS_FILE).unlink()
    (tmp_path / MODEL_FILE).write_bytes(torch.arange(9).numpy().tobytes())
    with pytest.raises(CheckpointError, match=f"{MODEL_FILE}: .*sentencepiece model"):
        read_tokenizer(tmp_path, 100)

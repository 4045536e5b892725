"""Pieces of sentencepiece models in another order: the same pieces of every text, at other indices."""

import random

import pytest
from conversions import SENTENCES
from helpers import SYMBOLS, tiny_piece_model
from sentencepiece import SentencePieceProcessor

from speecht5_fairseq.convert.sentencepiece_model import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    Piece,
    model_without_pieces,
    read_pieces,
    special_pieces,
    with_pieces,
)

KINDS = {
    "char": {},
    "unigram": {"model_type": "unigram", "vocab_size": 40},
    "bpe": {"model_type": "bpe", "vocab_size": 40},
    "user-defined": {"user_defined_symbols": ["<laugh>", "QU"]},
    "bytes": {"model_type": "bpe", "vocab_size": 300, "byte_fallback": True},
    "own specials": {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3, "unk_piece": "<what>"},
}


@pytest.fixture(params=KINDS)
def model(request, tmp_path):
    return tiny_piece_model(tmp_path / "spm.model", **KINDS[request.param]).read_bytes()


def own_pieces(model: bytes) -> list[Piece]:
    return [piece for piece in read_pieces(model) if piece.kind not in (CONTROL, UNKNOWN)]


def test_pieces_are_those_that_sentencepiece_reads(model):
    processor = SentencePieceProcessor(model_proto=model)
    pieces = read_pieces(model)
    assert len(pieces) == processor.get_piece_size()
    for index, piece in enumerate(pieces):
        assert piece.text == processor.id_to_piece(index)
        assert piece.score == pytest.approx(processor.get_score(index))
        flags = processor.is_control(index), processor.is_unknown(index)
        assert flags == (piece.kind == CONTROL, piece.kind == UNKNOWN)


def test_any_order_gives_the_same_pieces_of_a_text(model):
    pieces = own_pieces(model)
    random.Random(0).shuffle(pieces)
    wanted = [*special_pieces(), *pieces]
    before = SentencePieceProcessor(model_proto=model)
    after = SentencePieceProcessor(model_proto=with_pieces(model, wanted))
    assert [after.id_to_piece(index) for index in range(after.get_piece_size())] == [piece.text for piece in wanted]
    assert (after.bos_id(), after.pad_id(), after.eos_id(), after.unk_id()) == (0, 1, 2, 3)
    for sentence in (*SENTENCES, "QUA <laugh> 你好", "", "  "):
        assert after.encode(sentence, out_type=str) == before.encode(sentence, out_type=str)
        numbers = [piece_index(wanted, text) for text in before.encode(sentence, out_type=str)]
        assert after.encode(sentence) == numbers
    assert read_pieces(with_pieces(model, wanted)) == wanted


def piece_index(pieces: list[Piece], text: str) -> int:
    found = [index for index, piece in enumerate(pieces) if piece.text == text and piece.kind not in (CONTROL, UNKNOWN)]
    return found[0] if found else 3


def test_an_unused_piece_takes_an_index_and_no_text(tmp_path):
    model = tiny_piece_model(tmp_path / "spm.model").read_bytes()
    pieces = [*special_pieces(), Piece("madeupword0000", kind=UNUSED), *own_pieces(model)]
    changed = SentencePieceProcessor(model_proto=with_pieces(model, pieces))
    assert changed.id_to_piece(4) == "madeupword0000"
    text = changed.encode("madeupword0000 MADE", out_type=str)
    assert text == SentencePieceProcessor(model_proto=model).encode("madeupword0000 MADE", out_type=str)


def test_a_model_without_pieces_knows_the_special_symbols_alone():
    processor = SentencePieceProcessor(model_proto=model_without_pieces())
    assert processor.get_piece_size() == 4 and processor.encode("HELLO") == [3]
    assert [processor.id_to_piece(index) for index in range(4)] == ["<s>", "<pad>", "</s>", "<unk>"]


@pytest.mark.parametrize("broken", [b"", b"hello", b"\x0a\x7fA", bytes(100), b"\x12\x02\x18\x04"])
def test_what_is_no_model_is_refused(broken):
    with pytest.raises(ValueError, match="sentencepiece model"):
        read_pieces(broken)


def test_a_piece_is_normal_unless_it_says_otherwise():
    assert Piece(SYMBOLS[3]).kind == NORMAL

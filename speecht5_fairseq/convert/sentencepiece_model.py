"""The pieces of a sentencepiece model file: read, and written in another order.

The tokenizer of `transformers` takes a piece's place in this file as its index, fairseq the place in dict.txt. What a
text is cut into depends on the pieces' scores and not on their order, so that the file may follow the dictionary.

The file is a protocol buffer (sentencepiece_model.proto): fields one after the other, each a key, number << 3 | kind,
and a value. Only the pieces are looked into; every other field is handed on as it is. The module for it that comes with
sentencepiece is not used: it takes protobuf of just its own release or later, and stops the import of the copy that
`transformers` has, or is stopped by it: a process has room for one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fairseq.data import Dictionary

# Kinds of values
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
# Fields of the model, of a piece and of the trainer's specification
_PIECE, _TRAINER = 1, 2
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _SIZE, _UNK_ID, _BOS_ID, _EOS_ID, _PAD_ID = 3, 4, 40, 41, 42, 43
_UNK_PIECE, _BOS_PIECE, _EOS_PIECE, _PAD_PIECE = 45, 46, 47, 48
_CHAR_MODEL = 4
# Kinds of pieces
NORMAL, UNKNOWN, CONTROL, UNUSED = 1, 2, 3, 5


class Piece(NamedTuple):
    """A piece of a model; ``kind`` is what sentencepiece calls its type."""

    text: str
    score: float = 0.0
    kind: int = NORMAL


def special_pieces() -> list[Piece]:
    """fairseq's <s>, <pad>, </s> and <unk>, in its order."""
    dictionary = Dictionary()
    kinds = {dictionary.unk(): UNKNOWN}
    return [Piece(text, kind=kinds.get(index, CONTROL)) for index, text in enumerate(dictionary.symbols)]


def read_pieces(model: bytes) -> list[Piece]:
    """The pieces of a model file in their order.

    Raises:
        ValueError: the bytes are no sentencepiece model.
    """
    try:
        pieces = [_read_piece(value) for field, _, value in _fields(model) if field == _PIECE]
    except (IndexError, struct.error, UnicodeDecodeError, TypeError) as error:
        raise ValueError("not readable as a sentencepiece model; copy it again, or give another") from error
    if not pieces:
        raise ValueError("no sentencepiece model: it has no piece; give the model that the dictionary was made with")
    return pieces


def with_pieces(model: bytes, pieces: Iterable[Piece]) -> bytes:
    """The model file with these pieces, of which the first four are ``special_pieces``, in place of its own."""
    pieces = list(pieces)
    kept = [_field(field, kind, value) for field, kind, value in _fields(model) if field != _PIECE]
    # of a field that comes twice the last one counts, and messages are merged: this completes what is there
    specification = {_SIZE: len(pieces)} | _specials()
    return b"".join([*map(_write_piece, pieces), *kept, _message(_TRAINER, specification)])


def model_without_pieces() -> bytes:
    """A model of single characters that knows none but the special symbols: for jobs that read and write no text."""
    return with_pieces(_message(_TRAINER, {_MODEL_TYPE: _CHAR_MODEL}), special_pieces())


def _specials() -> dict[int, int | bytes]:
    dictionary = Dictionary()
    places = {
        _UNK_ID: dictionary.unk(),
        _BOS_ID: dictionary.bos(),
        _EOS_ID: dictionary.eos(),
        _PAD_ID: dictionary.pad(),
    }
    names = zip((_UNK_PIECE, _BOS_PIECE, _EOS_PIECE, _PAD_PIECE), places.values(), strict=True)
    return places | {field: dictionary.symbols[index].encode() for field, index in names}


def _read_piece(message: bytes) -> Piece:
    found = {field: value for field, _, value in _fields(message)}
    (score,) = struct.unpack("<f", found.get(_SCORE, bytes(4)))
    return Piece(found[_TEXT].decode("utf-8") if _TEXT in found else "", score, found.get(_KIND, NORMAL))


def _write_piece(piece: Piece) -> bytes:
    return _message(_PIECE, {_TEXT: piece.text.encode(), _SCORE: piece.score, _KIND: piece.kind})


def _message(field: int, values: dict[int, int | float | bytes]) -> bytes:
    """A field whose value is a message of these fields."""
    kinds = {int: _VARINT, float: _FOUR_BYTES, bytes: _BYTES}
    parts = (
        _field(number, kinds[type(value)], struct.pack("<f", value) if isinstance(value, float) else value)
        for number, value in values.items()
    )
    return _field(field, _BYTES, b"".join(parts))


def _field(number: int, kind: int, value: int | bytes) -> bytes:
    key = _varint(number << 3 | kind)
    if kind == _VARINT:
        return key + _varint(value)
    return key + (_varint(len(value)) if kind == _BYTES else b"") + value


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have the eighth bit."""
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(number, kind, value) of each field."""
    place = 0
    while place < len(message):
        key, place = _read_varint(message, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _read_varint(message, place)
        else:
            if kind == _BYTES:
                length, place = _read_varint(message, place)
            else:
                length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind, len(message))
            value, place = message[place : place + length], place + length
            if place > len(message):
                raise IndexError(place)
        yield key >> 3, kind, value


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while message[place] & 0x80:
        number |= (message[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return number | message[place] << shift, place + 1

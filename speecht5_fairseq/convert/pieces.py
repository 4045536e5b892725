"""The pieces of a sentencepiece model beside a dictionary: whether each has what the other makes."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from fairseq.data import Dictionary

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from ..models.errors import CheckpointError
from .sentencepiece_model import CONTROL, UNKNOWN, Piece, read_pieces

_FILLER = re.compile(r"madeupword\d{4}")  # what fairseq-preprocess makes a dictionary longer with; no text has it
_APPENDED = (MASK_SYMBOL, CTC_BLANK_SYMBOL)


def pieces_of(model: bytes, place: str) -> list[Piece]:
    """The pieces of a model in their order.

    Args:
        place: of the model, for messages.

    Raises:
        CheckpointError: it is no sentencepiece model.
    """
    try:
        return read_pieces(model)
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}") from error


def made_by(pieces: Sequence[Piece]) -> list[str]:
    """What a text can be cut into."""
    return [piece.text for piece in pieces if piece.kind not in (CONTROL, UNKNOWN)]


def symbols_of(model: bytes, place: str) -> list[str]:
    """The dictionary that `manifest_tools.vocabulary` makes of a sentencepiece model, with the symbols around it.

    Raises:
        CheckpointError: no sentencepiece model.
    """
    before, after = Dictionary().symbols, _APPENDED
    own = made_by(pieces_of(model, place))
    return [*before, *(text for text in own if text not in (*before, *after)), *after]


def check_pieces(pieces: Sequence[Piece], own: Sequence[str], place: str) -> None:
    """Check that the model has a piece for each symbol of a text.

    Args:
        own: the dictionary's symbols, without the special ones.

    Raises:
        CheckpointError: it was made for another dictionary; the first symbol is named.
    """
    there = {piece.text for piece in pieces}
    lacking = [symbol for symbol in own if symbol not in there and not _FILLER.fullmatch(symbol)]
    if lacking:
        index = Dictionary().nspecial + own.index(lacking[0])
        raise CheckpointError(
            f"{place}: has no piece {lacking[0]!r} (index {index} of the dictionary, the first of {len(lacking)}), so "
            "it belongs to another dictionary; give the model that dict.txt was made with (--spm-model)"
        )


def unknown_pieces(pieces: Sequence[Piece], own: Collection[str]) -> list[str]:
    """The pieces that the model makes and the dictionary lacks: fairseq reads them as <unk>."""
    known = {*own, *_APPENDED}
    return [text for text in made_by(pieces) if text not in known]

"""A checkpoint of another dictionary: refused, or, where that is asked for, taken symbol by symbol.

Shapes: V symbols here, U symbols in the checkpoint, D model width.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import torch
from fairseq.data import Dictionary
from torch import Tensor

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from .checkpoint import DictionaryFiles, Start
from .errors import HELD, CheckpointError, listed, shortened
from .vocabulary import SYMBOLS, decode

logger = logging.getLogger(__name__)

TIED_EMBEDDINGS = (
    "text_encoder_prenet.embedding.weight",
    "text_decoder_prenet.embedding.weight",
    "text_decoder_postnet.embedding.weight",
)
ROWS = (*TIED_EMBEDDINGS, "ctc_head.projection.weight", "ctc_head.projection.bias")  # a row or number for each symbol


class Change(NamedTuple):
    """What becomes of the symbols; ``here`` and ``there`` are the rows of those that stay, pair by pair."""

    here: Tensor
    there: Tensor
    new: list[str]
    dropped: list[str]


def compare(ours: list[str], theirs: list[str]) -> Change:
    """Match two dictionaries by their symbols, the special ones included."""
    places = {symbol: row for row, symbol in enumerate(theirs)}
    kept = [(row, places[symbol]) for row, symbol in enumerate(ours) if symbol in places]
    here, there = (torch.tensor(rows, dtype=torch.long) for rows in zip(*kept, strict=True))
    known = set(ours)
    return Change(
        here, there, [symbol for symbol in ours if symbol not in places], [s for s in theirs if s not in known]
    )


def first_difference(ours: list[str], theirs: list[str]) -> int | None:
    """The first index at which both have another symbol; None where the shorter is how the longer begins."""
    return next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)


def fit_vocabulary(
    given: dict[str, Tensor], own: dict[str, Tensor], files: DictionaryFiles, name: str, start: Start | None
) -> dict[str, Tensor]:
    """The tensors of a checkpoint for the model's dictionary.

    With ``start.new_vocabulary`` every row of a symbol that stays is kept in the embeddings, the output and the CTC
    head; new symbols have the model's own initial values there (added to the mean of the known rows they learned no
    faster).

    Raises:
        CheckpointError: another dictionary, and nobody asked for that.
    """
    if SYMBOLS not in own or SYMBOLS not in given:
        return given
    ours, theirs = decode(own[SYMBOLS]), decode(given[SYMBOLS])
    if ours == theirs:
        return given
    if start is None or not start.new_vocabulary:
        raise CheckpointError(_refusal(ours, theirs, files, name, starting=start is not None))
    change = compare(ours, theirs)
    rows = {key: _carried(given[key], own[key], change, len(theirs)) for key in ROWS if key in given and key in own}
    return {**given, **rows, SYMBOLS: own[SYMBOLS]}


def report_vocabulary(taken: dict[str, Tensor], checkpoint: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Log what ``--new-vocabulary`` did; ``taken`` is what the model takes of the checkpoint."""
    if SYMBOLS not in own or SYMBOLS not in checkpoint:
        logger.warning("no effect: --new-vocabulary; the model or the checkpoint has no text")
        return
    if SYMBOLS not in taken:
        why = "nothing that is taken has a row for each symbol (--finetune-nets, --new-nets)"
        logger.warning("no effect: --new-vocabulary; %s", why)
        return
    change = compare(decode(own[SYMBOLS]), decode(checkpoint[SYMBOLS]))
    logger.info(
        "--new-vocabulary: the rows of %d symbols are kept, %d symbols are new (initial values)%s, %d are dropped%s",
        len(change.here), len(change.new), _first(change.new), len(change.dropped), _first(change.dropped),
    )  # fmt: skip


def _first(symbols: list[str]) -> str:
    return f": {shortened(symbols)}" if symbols else ""


def _carried(table: Tensor, own: Tensor, change: Change, symbols: int) -> Tensor:
    """The checkpoint's (U, D) or (U,) as (V, D) or (V,); one of another width stays, to be refused for its size."""
    if len(table) != symbols or table.shape[1:] != own.shape[1:]:
        return table
    carried = own.clone()
    carried[change.here] = table[change.there].to(carried)
    return carried


def _refusal(ours: list[str], theirs: list[str], files: DictionaryFiles, name: str, *, starting: bool) -> str:
    place = first_difference(ours, theirs)
    first = ""
    if place is not None:
        first = f"; first difference at index {place}: {ours[place]!r} here, {theirs[place]!r} there"
    option = ", or add --new-vocabulary to keep the rows of the symbols that both have" if starting else ""
    return (
        f"{files.text}{_line(ours, place)}: the dictionary does not fit {name}: {len(ours)} symbols here, "
        f"{len(theirs)} in the checkpoint ({listed(set(ours) ^ set(theirs))} on one side only){first}. Use the "
        f"dict.txt that the checkpoint was trained with ({HELD}){option}"
    )


def _line(symbols: list[str], place: int | None) -> str:
    """ ":LINE" of the symbol in dict.txt; empty for the symbols around the file's own, which stand on no line."""
    specials = Dictionary().nspecial
    if place is None or place < specials or symbols[place] in (MASK_SYMBOL, CTC_BLANK_SYMBOL):
        return ""
    return f":{place - specials + 1}"

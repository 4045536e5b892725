"""The tokenizer of `transformers`' SpeechT5 and our dictionary: the same symbols at the same indices.

That tokenizer takes a piece's place in the sentencepiece model for its index, and puts further tokens behind them. Ours
is fairseq's: <s>, <pad>, </s>, <unk>, the lines of dict.txt, <mask>, <ctc_blank>. On the way out the pieces are put in
the dictionary's order; on the way in the rows of the embedding are put in fairseq's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fairseq.data import Dictionary

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from ..data.piece_model import PieceModel, load_sentencepiece
from ..models.contents import without_special
from ..models.errors import CheckpointError, listed
from .huggingface_files import check_settings, read_settings
from .huggingface_options import TEXT_POSITIONS
from .pieces import check_pieces, pieces_of, unknown_pieces
from .sentencepiece_model import UNUSED, Piece, special_pieces, with_pieces

MODEL_FILE, SETTINGS_FILE, ADDED_FILE = "spm_char.model", "tokenizer_config.json", "added_tokens.json"
_ROLES = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


class Rows(NamedTuple):
    """What the rows of an embedding of theirs stand for."""

    symbols: list[str]  # our dictionary of them
    places: list[int | None]  # the row of each symbol; None for one that it does not have
    left: int  # rows that no symbol has
    sentencepiece: bytes


def ordered_pieces(model: bytes, symbols: Sequence[str], place: str) -> bytes:
    """The sentencepiece model with its pieces at the indices of a dictionary; as it is where they are there already.

    Args:
        symbols: the whole dictionary, special symbols and appended ones included.
        place: of the model, for messages.

    Raises:
        CheckpointError: the model cannot make a symbol, or makes one that the dictionary lacks.
    """
    there, own = pieces_of(model, place), without_special(symbols)
    _check_same(there, own, place)
    pieces = {piece.text: piece for piece in there}
    wanted = [*special_pieces(), *(pieces.get(symbol, Piece(symbol, kind=UNUSED)) for symbol in own)]
    ordered = model
    if [piece.text for piece in there] != [piece.text for piece in wanted]:
        ordered = with_pieces(model, wanted)
    processor = load_sentencepiece(PieceModel(Path(place), ordered))
    found = [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    if found != list(symbols[: len(found)]) or processor.unk_id() != Dictionary().unk():
        raise CheckpointError(
            f"{place}: its pieces do not take the dictionary's order; make another with manifest_tools"
        )
    return ordered


def _check_same(pieces: Sequence[Piece], own: Sequence[str], place: str) -> None:
    twice = next((symbol for symbol in own if own.count(symbol) > 1), None)
    if twice is not None:
        raise CheckpointError(f"the dictionary has {twice!r} twice, which the tokenizer of transformers cannot have")
    check_pieces(pieces, own, place)
    made = unknown_pieces(pieces, own)
    if made:
        raise CheckpointError(
            f"{place}: makes the piece {made[0]!r} (the first of {len(made)}), which the dictionary lacks and fairseq "
            "reads as <unk>; transformers' tokenizer cannot: give the model that dict.txt was made with (--spm-model), "
            "or train with a dict.txt of all its pieces"
        )


def tokenizer_settings(symbols: Sequence[str], pieces: int) -> dict[str, Any]:
    """tokenizer_config.json, in which what stands behind the ``pieces`` of the model has its index."""
    tokens = {index: _special(text) for index, text in enumerate(Dictionary().symbols)}
    tokens |= {index: _special(text) for index, text in enumerate(symbols) if index >= pieces}
    roles = _ROLES | ({"mask_token": MASK_SYMBOL} if MASK_SYMBOL in symbols else {})
    return {
        "tokenizer_class": "SpeechT5Tokenizer",
        "processor_class": "SpeechT5Processor",
        **roles,
        "added_tokens_decoder": {str(index): token for index, token in tokens.items()},
        "model_max_length": TEXT_POSITIONS,
        "normalize": False,
        "sp_model_kwargs": {},
    }


def _special(text: str) -> dict[str, Any]:
    flags = {"lstrip": text == MASK_SYMBOL, "rstrip": False, "single_word": False, "normalized": False}
    return {"content": text, **flags, "special": True}


def read_tokenizer(folder: Path, size: int) -> Rows:
    """What the ``size`` rows of the embedding stand for by the tokenizer in ``folder``.

    Raises:
        CheckpointError: there is no tokenizer, or one that has tokens past the last row.
    """
    file = folder / MODEL_FILE
    if not file.is_file():
        raise CheckpointError(
            f"{folder}: no tokenizer ({MODEL_FILE}), so nothing says which symbols the model reads or writes; save it "
            "there with SpeechT5Processor.save_pretrained"
        )
    model = file.read_bytes()
    settings = _settings(folder)
    tokens = dict(enumerate(piece.text for piece in pieces_of(model, str(file))))
    tokens |= {index: text for text, index in _added(folder).items()}
    tokens |= {int(index): _content(token) for index, token in settings.get("added_tokens_decoder", {}).items()}
    if max(tokens) >= size:
        raise CheckpointError(
            f"{folder}: the tokenizer has a token {max(tokens)} ({tokens[max(tokens)]!r}), the model {size} rows; put "
            "the tokenizer there that belongs to it"
        )
    return _rows(tokens, settings, size, model)


def _settings(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json, with nothing but tokens in the places of tokens; empty where there is none."""
    if not (folder / SETTINGS_FILE).is_file():
        return {}
    settings = read_settings(folder, SETTINGS_FILE, {"added_tokens_decoder": {}})
    added = settings.get("added_tokens_decoder", {})
    roles = {role: settings[role] for role in (*_ROLES, "mask_token") if settings.get(role)}
    wrong = [index for index in added if not index.isdecimal()]
    wrong += [name for name, token in (added | roles).items() if not isinstance(_content(token), str)]
    if wrong:
        raise CheckpointError(
            f"{folder / SETTINGS_FILE}: no token, or not by its index: {listed(wrong)}; save the tokenizer there again"
        )
    return settings


def _added(folder: Path) -> dict[str, int]:
    """added_tokens.json, indices by token; empty where there is none."""
    if not (folder / ADDED_FILE).is_file():
        return {}
    added = read_settings(folder, ADDED_FILE)
    check_settings(added, dict.fromkeys(added, 0), str(folder / ADDED_FILE))
    return added


def _rows(tokens: Mapping[int, str], settings: Mapping[str, Any], size: int, model: bytes) -> Rows:
    roles = _ROLES | {"mask_token": MASK_SYMBOL}
    names = {_content(settings.get(role) or symbol): symbol for role, symbol in roles.items()}
    places: dict[str, int] = {}
    for index in sorted(tokens):
        places.setdefault(names.get(tokens[index], tokens[index]), index)
    around = (*Dictionary().symbols, MASK_SYMBOL, CTC_BLANK_SYMBOL)
    symbols = [*Dictionary().symbols, *(symbol for symbol in places if symbol not in around), *around[-2:]]
    return Rows(symbols, [places.get(symbol) for symbol in symbols], size - len(places), model)


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token

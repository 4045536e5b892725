"""What a checkpoint holds besides weights: all that decoding needs, so that the file travels alone.

| content | where it stands |
|---|---|
| symbols of the text dictionary, names of the classes | buffers of the model, ``vocabulary.Vocabulary`` |
| sentencepiece model, dictionary of units and what made them, signal | the task state, ``saved_contents`` |
| for how many updates each code was not chosen, for a resumed run | the task state, ``saved_codes`` |
| options of the model and the task, the ends of texts and the normaliser among them | ``cfg`` |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from fairseq.data import Dictionary

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from ..data.atomic import replacing
from ..data.piece_model import NO_PIECES, PieceModel
from .checkpoint import check_ours, read_checkpoint, section
from .dictionary_change import ROWS
from .errors import CheckpointError
from .signal_values import KEY as SIGNAL_KEY
from .signal_values import SIGNAL
from .vocabulary import CLASSES, SYMBOLS, decode

PIECES = "sentencepiece"  # task state: {"file": its name in training, "model": its bytes, uint8}
CODES = "unchosen_codes"  # task state: int64 (G, C)
UNITS = "units"  # task state: the symbols of dict.km.txt in order
TEXT_OPTIONS = ("text_ends", "text_normaliser")  # of the task
UNIT_SOURCE = "unit_source"  # task state: {"model": hash of the k-means model, "features": its features in words}


class Contents(NamedTuple):
    """What a checkpoint says of what its run read; empty where it says nothing.

    Attributes:
        path: of the checkpoint.
        symbols: all V of the text dictionary.
        classes: in order.
        units: the symbols of ``dict.km.txt``.
        pieces: the sentencepiece model, with the checkpoint as its file.
        piece_file: where that stood in training.
        signal: the constants it was trained with, by name.
        unit_model: hash of the k-means model whose units it learnt, see ``data.unit_record``.
        unit_features: what that was fitted on, in words.
        unchosen_codes: updates in a row in which each code was not chosen, int64 (G, C).
        text_options: what the job made of its source texts, by the options' names; empty of other jobs.
    """

    path: Path
    symbols: list[str]
    classes: list[str]
    units: list[str]
    pieces: PieceModel | None
    piece_file: str
    signal: dict[str, int | float]
    unit_model: str = ""
    unit_features: str = ""
    unchosen_codes: torch.Tensor | None = None
    text_options: Mapping[str, str] = MappingProxyType({})

    @property
    def unit_source(self) -> dict[str, str]:
        """What ``saved_contents`` takes of that; empty where it is not told."""
        return {"model": self.unit_model, "features": self.unit_features} if self.unit_model else {}


def saved_contents(
    *, pieces: PieceModel | None = None, units: Sequence[str] = (), unit_source: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The task state of a run's checkpoints, in types that torch loads with ``weights_only``."""
    state: dict[str, Any] = {SIGNAL_KEY: dict(SIGNAL)}
    if pieces is not None:
        model = torch.frombuffer(bytearray(pieces.content), dtype=torch.uint8)
        state[PIECES] = {"file": str(pieces.file), "model": model}
    if units:
        state[UNITS] = list(units)
    if unit_source:
        state[UNIT_SOURCE] = dict(unit_source)
    return state


def saved_codes(unchosen: torch.Tensor | None) -> dict[str, Any]:
    """The part of the task state that only a resumed run reads; see ``Contents.unchosen_codes``."""
    return {} if unchosen is None else {CODES: unchosen}


def read_contents(path: str | Path) -> Contents:
    """The contents of a checkpoint file.

    Raises:
        CheckpointError: see ``read_checkpoint`` and ``checked_contents``.
    """
    return checked_contents(read_checkpoint(path), path)


def checked_contents(state: dict[str, Any], path: str | Path) -> Contents:
    """The contents of a checkpoint that ``read_checkpoint`` gave, of a model of ours.

    Raises:
        CheckpointError: another model's, or tables without a row for each of its symbols.
    """
    check_ours(state["model"], str(path))
    found = contents_of(state, path)
    _check_rows(state["model"], found.symbols, path)
    return found


def contents_of(state: dict[str, Any], path: str | Path) -> Contents:
    """As ``checked_contents``, of tensors of any kind."""
    model, told, task = state["model"], state.get("task_state") or {}, section(state, "task")
    pieces, source = told.get(PIECES), told.get(UNIT_SOURCE) or {}
    return Contents(
        Path(path),
        decode(model[SYMBOLS]) if SYMBOLS in model else [],
        decode(model[CLASSES]) if CLASSES in model else [],
        list(told.get(UNITS, ())),
        None if pieces is None else PieceModel(Path(path), pieces["model"].numpy().tobytes()),
        "" if pieces is None else str(pieces["file"]),
        dict(told.get(SIGNAL_KEY) or {}),
        source.get("model", ""),
        source.get("features", ""),
        told.get(CODES),
        {name: str(task[name] or "none") for name in TEXT_OPTIONS if name in task},
    )


def cuts_text(contents: Contents, task: Mapping[str, Any], *, published: bool) -> bool:
    """Whether a run cut raw text into pieces: its checkpoint holds a sentencepiece model, or its options name one.

    Args:
        task: the task's options.
        published: the published code wrote it, all of whose recipes do, though not all of its checkpoints tell.
    """
    named = task.get("spm_model") or task.get("bpe_tokenizer")
    told = contents.pieces is not None or named not in (None, NO_PIECES)
    return told or (published and not contents.signal)


def _check_rows(model: dict[str, torch.Tensor], symbols: list[str], path: str | Path) -> None:
    """A table of another length was put beside the symbols later, and its rows mean something else."""
    others = [f"{len(model[name])} in {name}" for name in ROWS if name in model and len(model[name]) != len(symbols)]
    if symbols and others:
        raise CheckpointError(
            f"{path}: {len(symbols)} symbols, but rows for {', '.join(others)}: it was put together from other files; "
            "give the checkpoint as fairseq-train wrote it"
        )


def symbols_of_file(contents: Contents) -> list[str]:
    """Of dict.txt: without the four before it and the two that loading appends."""
    return without_special(contents.symbols)


def without_special(symbols: Sequence[str]) -> list[str]:
    """A dictionary's symbols but for the four before those of its file, and the two that loading appends."""
    inner = symbols[Dictionary().nspecial :]
    return [symbol for symbol in inner if symbol not in (MASK_SYMBOL, CTC_BLANK_SYMBOL)]


def extract(contents: Contents, folder: Path) -> list[Path]:
    """Write the files that the contents were read from, see ``files_of``.

    Raises:
        ValueError: there is nothing inside, or a file of that name has another content.
    """
    files = files_of(contents)
    if not files:
        raise ValueError(f"{contents.path}: holds no dictionary and no sentencepiece model: nothing to extract")
    others = [name for name, content in files.items() if _has_other(folder / name, content)]
    if others:
        raise ValueError(f"--extract {folder}: {', '.join(others)} there has another content; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with replacing(folder / name) as partial:
            partial.write_bytes(content)
    return [folder / name for name in files]


def files_of(contents: Contents) -> dict[str, bytes]:
    """``dict.txt``, ``spm.model`` and ``dict.km.txt`` by name, where there is something inside of them.

    The dictionaries' counts, which nothing reads, are 1.
    """
    texts = {"dict.txt": symbols_of_file(contents) or contents.classes, "dict.km.txt": contents.units}
    files = {name: _dictionary(symbols).encode() for name, symbols in texts.items() if symbols}
    if contents.pieces is not None:
        files["spm.model"] = contents.pieces.content
    return files


def _dictionary(symbols: Sequence[str]) -> str:
    """A file of fairseq's format; a symbol that comes again needs its flag."""
    seen: Counter[str] = Counter(Dictionary().symbols)
    lines = []
    for symbol in symbols:
        lines.append(f"{symbol} 1{' #fairseq:overwrite' if seen[symbol] else ''}\n")
        seen[symbol] += 1
    return "".join(lines)


def _has_other(file: Path, content: bytes) -> bool:
    return file.exists() and file.read_bytes() != content

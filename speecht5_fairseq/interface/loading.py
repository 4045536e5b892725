"""A checkpoint as a model in evaluation with what belongs to it, without fairseq's commands."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from fairseq.data import Dictionary

from ..data.dictionary import dictionary_of, load_class_dictionary, load_text_dictionary
from ..data.piece_model import PieceModel, read_piece_model
from ..models.base_checkpoint import Bases
from ..models.builder import read_base
from ..models.checkpoint import read_checkpoint
from ..models.config import SpeechT5Config
from ..models.errors import CheckpointError
from ..models.facts import Facts, read_facts
from ..models.jobs import JOBS
from ..models.loading import DictionaryFiles
from ..models.speecht5 import SpeechT5Model

TEXT_JOBS = ("s2t", "t2s", "pretrain")


class Loaded(NamedTuple):
    """A checkpoint, ready to use.

    Attributes:
        facts: what the file is.
        model: in evaluation, on its device.
        dictionary: of the text; None in jobs without text.
        classes: the speakers.
        pieces: the sentencepiece model; None where texts are pieces.
    """

    facts: Facts
    model: SpeechT5Model
    dictionary: Dictionary | None
    classes: list[str]
    pieces: PieceModel | None


def load(
    path: str | Path,
    *,
    device: str | torch.device,
    dictionary: str | Path | None,
    spm_model: str | Path | None,
    base_checkpoint: str | Path | None,
) -> Loaded:
    """Load a checkpoint; see `SpeechT5.from_pretrained`."""
    path = Path(path)
    facts = read_facts(path)
    options = facts.options | ({} if base_checkpoint is None else {"base_checkpoint": str(base_checkpoint)})
    if not options:
        raise CheckpointError(f"{path}: does not tell the options of its model; give one that fairseq-train wrote")
    config = SpeechT5Config(**options)
    symbols = _symbols(facts, dictionary)
    classes = _classes(facts, dictionary)
    file = path if dictionary is None else dictionary
    model = SpeechT5Model(
        config,
        JOBS[facts.job],
        symbols=[] if symbols is None else symbols.symbols,
        padding=0 if symbols is None else symbols.pad(),
        units=facts.units,
        classes=classes,
        base=read_base(config, Bases(), [path.parent]),
        dictionary_files=DictionaryFiles(text=file, classes=file),
    )
    model.whole = True
    model.load_state_dict(read_checkpoint(path)["model"])
    model.eval().requires_grad_(False).to(device)
    if model.decoder is not None:
        model.prepare_decoding()
    pieces = facts.contents.pieces if spm_model is None else read_piece_model(spm_model)
    return Loaded(facts, model, symbols, classes, pieces)


def _symbols(facts: Facts, file: str | Path | None) -> Dictionary | None:
    """The text dictionary: the file's, or the checkpoint's own.

    Raises:
        CheckpointError: it is needed, and neither has one.
    """
    if facts.job not in TEXT_JOBS:
        return None
    if file is not None:
        return load_text_dictionary(file)
    if not facts.contents.symbols:
        raise CheckpointError(f"{facts.path}: does not hold its symbols; give its dict.txt: dictionary='dict.txt'")
    return dictionary_of(facts.contents.symbols[Dictionary().nspecial :])


def _classes(facts: Facts, file: str | Path | None) -> list[str]:
    """The speakers, as ``_symbols``."""
    if facts.job != "s2c":
        return []
    if file is not None:
        return load_class_dictionary(file)
    if not facts.contents.classes:
        raise CheckpointError(f"{facts.path}: does not hold its classes; give its dict.txt: dictionary='dict.txt'")
    return facts.contents.classes

"""A checkpoint as a model in evaluation with what belongs to it, without fairseq's commands."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fairseq.data import Dictionary
from torch import Tensor

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from ..convert.huggingface_folder import read_folder
from ..data.dictionary import dictionary_of, load_class_dictionary, load_text_dictionary
from ..data.piece_model import PieceModel, read_piece_model
from ..models.base_checkpoint import Bases
from ..models.builder import read_base
from ..models.checkpoint import read_checkpoint
from ..models.config import SpeechT5Config
from ..models.dictionary_change import ROWS
from ..models.errors import CheckpointError
from ..models.facts import ctc_weight_of, read_facts
from ..models.jobs import JOBS
from ..models.loading import CLASS_ROWS, DictionaryFiles
from ..models.partial import DIGEST
from ..models.speecht5 import SpeechT5Model
from ..tasks.precision import PRODUCTS, prepare

logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """A model before it is built.

    Attributes:
        path: of the checkpoint, or of a folder of `transformers`.
        job: a key of ``JOBS``.
        options: of the model, by our names.
        task: options of the task that it was trained with.
        ctc_weight: of the CTC loss that it was trained with; None where it does not tell.
        tensors: by our names.
        symbols, classes: of text and speakers, where it holds them.
        units: their number.
        pieces: the sentencepiece model, where it holds one.
    """

    path: Path
    job: str
    options: dict[str, Any]
    task: dict[str, Any]
    ctc_weight: float | None
    tensors: dict[str, Tensor]
    symbols: list[str]
    classes: list[str]
    units: int
    pieces: PieceModel | None


PRECISIONS = ("float32", *PRODUCTS)


def found_device(name: str | torch.device | None) -> torch.device:
    """The device of this name; without one a GPU where there is one.

    Raises:
        ValueError: no device, or one that is not there.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device).cpu()
    except (
        RuntimeError,
        AssertionError,
        NotImplementedError,
    ) as error:  # of torch; the last for devices without memory
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {str(name)!r}: not usable here ({reason}); give cpu, cuda or cuda:1") from error
    return device


class Loaded(NamedTuple):
    """A model in evaluation, on its device, with the dictionary, speakers and pieces that it has."""

    source: Source
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
    precision: str = "float32",
) -> Loaded:
    """Load a checkpoint; see `SpeechT5.from_pretrained`."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}: give {', '.join(PRECISIONS)}")
    source = _from_folder(Path(path)) if Path(path).is_dir() else _from_file(Path(path))
    _check_effect(source, dictionary=dictionary, spm_model=spm_model, base_checkpoint=base_checkpoint)
    found = _built(source, dictionary, base_checkpoint)
    found.model.to(device)
    if found.model.decoder is not None:
        prepare(found.model, precision, "precision")
    elif precision != "float32":
        raise ValueError(f"precision {precision!r} has no effect: {source.path} has no decoder")
    if found.model.has_ctc and source.ctc_weight is None:
        logger.warning(
            "%s: has a CTC head and does not tell whether it was trained; the search leaves it out: give a CTC weight "
            "of 0.5 where it was",
            source.path,
        )
    return found if spm_model is None else found._replace(pieces=read_piece_model(spm_model))


def _built(source: Source, dictionary: str | Path | None, base_checkpoint: str | Path | None) -> Loaded:
    """The model with its weights, in evaluation, on the CPU."""
    options = source.options | ({} if base_checkpoint is None else {"base_checkpoint": str(base_checkpoint)})
    if not options:
        raise CheckpointError(
            f"{source.path}: does not tell the options of its model; give one that fairseq-train wrote"
        )
    config = SpeechT5Config(**options)
    symbols, classes = _symbols(source, dictionary), _classes(source, dictionary)
    file = source.path if dictionary is None else dictionary
    model = SpeechT5Model(
        config,
        JOBS[source.job],
        symbols=[] if symbols is None else symbols.symbols,
        padding=0 if symbols is None else symbols.pad(),
        units=source.units,
        classes=classes,
        base=read_base(config, Bases(), [source.path.parent]),
        dictionary_files=DictionaryFiles(text=file, classes=file),
    )
    model.whole = True
    model.load_state_dict(source.tensors)
    return Loaded(source, model.eval().requires_grad_(False), symbols, classes, source.pieces)


def load_hearing(path: str | Path, *, device: str | torch.device) -> SpeechT5Model:
    """A checkpoint's model for its speech encoder alone: it has no decoder, and needs no dictionary.

    Args:
        path: a checkpoint of fairseq-train or of the published code, or a folder of `transformers`.

    Raises:
        CheckpointError: unreadable, another model's, or of a model that hears no speech.
    """
    source = _from_folder(Path(path)) if Path(path).is_dir() else _from_file(Path(path))
    if "speech" not in JOBS[source.job].sources:
        raise CheckpointError(f"{path}: a model of {source.job} hears no speech; give one of another job")
    if JOBS[source.job].has_text and not source.symbols:
        source = source._replace(symbols=_unnamed_symbols(source.tensors))
    if source.job == "s2c" and not source.classes:
        source = source._replace(classes=[str(number) for number in range(len(source.tensors.get(CLASS_ROWS, ())))])
    model = _built(source, None, None).model
    model.decoder = model.speech_decoder_prenet = model.text_decoder_prenet = model.text_encoder_prenet = None
    return model.to(device)


def _unnamed_symbols(tensors: dict[str, Tensor]) -> list[str]:
    """As many symbols as the text tables have rows: only their number is asked for."""
    rows = next((len(tensors[name]) for name in ROWS if name in tensors), 0)
    special = Dictionary().symbols
    inner = rows - len(special) - 2
    return [*special, *(f"symbol {number}" for number in range(inner)), MASK_SYMBOL, CTC_BLANK_SYMBOL]


def _check_effect(source: Source, **given: str | Path | None) -> None:
    """Check that each file that was given, by its argument, is one that the model reads.

    Raises:
        ValueError: one is not.
    """
    unread = {
        "dictionary": not (JOBS[source.job].has_text or source.job == "s2c")
        and f"a model of {source.job} has no symbols and no classes",
        "spm_model": source.job != "t2s" and f"a model of {source.job} reads no text",
        "base_checkpoint": DIGEST not in source.tensors and "this is a whole model, not additions to a base",
    }
    for argument, why in unread.items():
        if why and given[argument] is not None:
            raise ValueError(f"{argument} {str(given[argument])!r} has no effect on {source.path}: {why}; leave it out")


def _from_file(path: Path) -> Source:
    facts, tensors = read_facts(path), read_checkpoint(path)["model"]
    contents = facts.contents
    return Source(
        path=path,
        job=facts.job,
        options=facts.options,
        task=facts.task,
        ctc_weight=facts.ctc_weight,
        tensors=tensors,
        symbols=contents.symbols,
        classes=contents.classes,
        units=facts.units,
        pieces=contents.pieces,
    )


def _from_folder(folder: Path) -> Source:
    """Of `transformers`, written by it or by ``convert --to hf``."""
    found = read_folder(folder, None)
    for note in found.notes:
        logger.warning("%s: %s", folder, note)
    head = found.tensors.get("unit_head.embeddings")
    return Source(
        path=folder,
        job=found.job,
        options={name: value for name, value in vars(found.job_config).items() if name != "_name"},
        task=found.job_options,
        ctc_weight=ctc_weight_of(found.criterion or {}),
        tensors=found.tensors,
        symbols=found.symbols,
        classes=found.classes,
        units=0 if head is None else len(head),
        pieces=None if found.sentencepiece is None else PieceModel(folder, found.sentencepiece),
    )


def _symbols(source: Source, file: str | Path | None) -> Dictionary | None:
    """The text dictionary: the file's, or the checkpoint's own.

    Raises:
        CheckpointError: it is needed, and neither has one.
    """
    if not JOBS[source.job].has_text:
        return None
    if file is not None:
        return load_text_dictionary(file)
    if not source.symbols:
        raise CheckpointError(f"{source.path}: does not hold its symbols; give its dict.txt: dictionary='dict.txt'")
    return dictionary_of(source.symbols[Dictionary().nspecial :])


def _classes(source: Source, file: str | Path | None) -> list[str]:
    """The speakers, as ``_symbols``."""
    if source.job != "s2c":
        return []
    if file is not None:
        return load_class_dictionary(file)
    if not source.classes:
        raise CheckpointError(f"{source.path}: does not hold its classes; give its dict.txt: dictionary='dict.txt'")
    return source.classes

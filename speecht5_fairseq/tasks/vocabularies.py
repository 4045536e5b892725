"""Where a task's symbols come from: the user's files, or in decoding what the checkpoint holds.

A file that is there is read, and must agree with the checkpoint (``models.loading`` sees to that); one that is not is
what the checkpoint has of it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fairseq.data import Dictionary
from fairseq.utils import split_paths

from ..data.dictionary import (
    Vocabulary,
    dictionary_of,
    load_class_dictionary,
    load_text_dictionary,
    load_unit_dictionary,
)
from ..data.errors import DictionaryError
from ..data.piece_model import NO_PIECES, PieceModel, read_piece_model
from ..data.unit_record import UnitRecord
from ..models.checkpoint import Start
from ..models.contents import Contents, read_contents
from ..models.errors import CheckpointError
from ..models.parts import net_of, words

logger = logging.getLogger(__name__)

UNIT_HEAD = "unit_head"


class Classes(NamedTuple):
    """Names of classes, and the file that they were read from."""

    names: list[str]
    file: Path


def decoding_contents(path: str | None) -> Contents | None:
    """What the first checkpoint of fairseq-generate's ``--path`` holds; None in training, which has no such option.

    Raises:
        CheckpointError: one of them cannot be read, or is no model of ours: fairseq's own words would be others.
    """
    found = [read_contents(file) for file in split_paths(path)] if path else []
    return found[0] if found else None


def find_text(file: Path, contents: Contents | None) -> Vocabulary:
    """The text dictionary: ``file``, or where it is absent that of the checkpoint.

    Raises:
        DictionaryError: neither is there, or see ``load_text_dictionary``.
    """
    if not _held(file, contents, "symbols"):
        return Vocabulary(load_text_dictionary(file), file)
    return Vocabulary(dictionary_of(contents.symbols[Dictionary().nspecial :]), contents.path)


def find_units(file: Path, contents: Contents | None) -> Vocabulary:
    """The dictionary of units, as ``find_text``."""
    if not _held(file, contents, "units"):
        return Vocabulary(load_unit_dictionary(file), file)
    return Vocabulary(dictionary_of(contents.units), contents.path)


def find_classes(file: Path, contents: Contents | None) -> Classes:
    """The names of the classes, as ``find_text``."""
    if not _held(file, contents, "classes"):
        return Classes(load_class_dictionary(file), file)
    return Classes(contents.classes, contents.path)


def _held(file: Path, contents: Contents | None, what: str) -> bool:
    """Whether the checkpoint is to be asked for what ``file`` would have.

    Raises:
        DictionaryError: it has nothing of the kind.
    """
    if contents is None or file.is_file():
        return False
    found = getattr(contents, what)
    if not found:
        raise DictionaryError(
            f"{file}: no such dictionary, and {contents.path} holds no {what} either; give the file that it was "
            "trained with"
        )
    logger.info("no %s: the %d %s are those of %s", file, len(found), what, contents.path)
    return True


def find_pieces(given: str | None, contents: Contents | None, *, own_options: bool) -> PieceModel | None:
    """The sentencepiece model of raw text: that of ``--spm-model``, or in decoding the checkpoint's.

    Args:
        given: ``--spm-model``; "none" for labels that are pieces.
        contents: of the checkpoint to decode with.
        own_options: the options came with the checkpoint: the file that they name was the trainer's and may be gone.

    Raises:
        ManifestError: the file is missing.
    """
    inside = None if contents is None else contents.pieces
    if given == NO_PIECES:
        return None
    if given and not (own_options and inside is not None and not Path(given).is_file()):
        model = read_piece_model(given)
        if inside is not None and inside.content != model.content:
            logger.warning(
                "--spm-model %s is another model than that in the checkpoint, %s: the text may be cut into other "
                "pieces than in training; drop --spm-model to use the checkpoint's",
                model,
                inside,
            )
        return model
    if inside is not None:
        logger.info("the sentencepiece model is that in %s; --spm-model none says that the labels are pieces", inside)
    return inside


def check_start(
    contents: Contents, start: Start | None, *, pieces: PieceModel | None, units: Sequence[str], units_file: Path | str
) -> None:
    """Check that a training reads as the run did which wrote the checkpoint that it starts from.

    Args:
        contents: of that checkpoint.
        start: what fine-tuning asks of it; None for a run that goes on.
        pieces, units: of this run; ``units_file`` is where the units were read.

    Raises:
        CheckpointError: a run goes on with another sentencepiece model, or takes rows of other units.
    """
    name = f"the checkpoint {contents.path}"
    both = pieces is not None and contents.pieces is not None
    if both and pieces.content != contents.pieces.content:
        problem = f"--spm-model {pieces} is another model than {contents.pieces}"
        if start is None:
            raise CheckpointError(
                f"{problem}, with which this run began: go on with that one (`python -m speecht5_fairseq.inspect "
                f"{contents.path} --extract FOLDER` writes it), or start a new run with --finetune-from-model"
            )
        logger.warning("%s, with which %s was trained: the text may be cut into other pieces", problem, name)
    if start is None and contents.signal and (pieces is None) != (contents.pieces is None):
        reads = {True: "pieces", False: "raw text with a sentencepiece model"}
        ours, theirs = reads[pieces is None], reads[contents.pieces is None]
        logger.warning("this run reads %s, and the run of %s read %s (--spm-model)", ours, name, theirs)
    if takes_units(start) and units and contents.units and list(units) != contents.units:
        raise CheckpointError(
            f"{units_file}: the units are not those of {name} ({len(units)} here, {len(contents.units)} there, in "
            "another order or others); take the dict.km.txt and the units that it was trained with (other units need "
            "a pre-training of their own)"
        )


def check_unit_source(contents: Contents, start: Start | None, record: UnitRecord | None, *, allowed: bool) -> bool:
    """Check that the units of a run are of the k-means model whose units the checkpoint that it starts from learnt.

    Units of another model may have the same symbols: what each stands for is another sound.

    Args:
        contents, start: see ``check_start``.
        record: of the run's labels.
        allowed: ``--allow-other-units``.

    Returns:
        Whether they are of another model, which was let pass.

    Raises:
        CheckpointError: they are of another model, the run takes what was learnt of them, and it is not ``allowed``.
    """
    told = f"units of k-means {contents.unit_model} ({contents.unit_features})"
    if not (contents.unit_model and takes_units(start)):
        return False
    if record is None:
        logger.info("%s was trained on %s; without units.json nothing tells whether these are", contents.path, told)
        return False
    if contents.unit_model == record.model:
        return False
    problem = (
        f"{record.file}: the labels are units of k-means {record.model} ({record.features}), and the checkpoint "
        f"{contents.path} was trained on {told}: the same numbers mean other sounds"
    )
    if not allowed:
        raise CheckpointError(
            f"{problem}; take the labels that it was trained with, start with a new unit head (--finetune-from-model "
            "with --new-nets unit_head), or, if it is meant, add --allow-other-units"
        )
    logger.warning("%s; it goes on by --allow-other-units", problem)
    return True


def takes_units(start: Start | None) -> bool:
    """Whether a run takes what a checkpoint learnt of units: one that goes on, or fine-tuning with its unit head."""
    if start is None:
        return True
    taken = not start.nets or UNIT_HEAD in map(net_of, words(start.nets))
    return taken and UNIT_HEAD not in words(start.new_nets)

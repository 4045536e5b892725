"""Loading a checkpoint of the same job or of another: whole nets are taken, left or new, and nothing in between.

A net is a top-level module of the model. One that both sides have must agree in every name and shape. What only the
checkpoint has is left; what only the model has keeps its initial values; both are reported.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from fairseq.data import Dictionary
from torch import Tensor, nn

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from .vocabulary import decode

logger = logging.getLogger(__name__)

TIED_EMBEDDINGS = (
    "text_encoder_prenet.embedding.weight",
    "text_decoder_prenet.embedding.weight",
    "text_decoder_postnet.embedding.weight",
)
SHARED_BODY = ("encoder", "decoder")
# Sized by the reduction factor alone: with another one they are new, and the rest of their net is taken.
PER_STEP = ("speech_decoder_postnet.feat_out", "speech_decoder_postnet.prob_out")
UNITS = "unit_head.embeddings"  # (units, width)
CLASSES = "classes.symbols"  # names of the speakers, as vocabulary.symbols has them
_LISTED = 8  # names shown in an error before "and N more"


class CheckpointError(ValueError):
    """A checkpoint that does not fit the model."""


class DictionaryFiles(NamedTuple):
    """Where the dictionaries of a model stand: what a message about a checkpoint that does not fit points at."""

    text: str | Path = "dict.txt"
    units: str | Path = "dict.km.txt"
    classes: str | Path = "dict.txt"


UNNAMED_FILES = DictionaryFiles()


def load_nets(
    model: nn.Module, checkpoint: dict[str, Tensor], files: DictionaryFiles = UNNAMED_FILES
) -> dict[str, Tensor]:
    """A state dict that fits ``model`` exactly, made of the checkpoint's nets and the model's own new ones.

    Raises:
        CheckpointError: see ``check_nets``.
    """
    own = model.state_dict()
    other = _other_reduction(checkpoint, own)
    checkpoint = check_nets(model, checkpoint, files)
    given, wanted = _nets(checkpoint), _nets(own)
    _report("--reduction-factor is another in the checkpoint, so these are new (initial values)", set(other))
    _report("left in the checkpoint, not used by this job", given - wanted)
    _report("new, not in the checkpoint (initial values)", _nets(name for name in own if name not in checkpoint))
    return {name: checkpoint.get(name, value) for name, value in own.items()}


def check_nets(
    model: nn.Module, checkpoint: dict[str, Tensor], files: DictionaryFiles, name: str = "the checkpoint"
) -> dict[str, Tensor]:
    """The tensors of the checkpoint, the tied embedding under every name that ``model`` has for it, and the model's own
    where only the reduction factor differs.

    Raises:
        CheckpointError: no SpeechT5 body, another vocabulary, other units, or a shared net with missing, extra or
            resized tensors. ``name`` says which checkpoint.
    """
    own = model.state_dict()
    given, wanted = _nets(checkpoint), _nets(own)
    _check_body(given, wanted, name)
    _check_vocabulary(checkpoint, own, files, name)
    _check_units(checkpoint, own, files, name)
    _check_classes(checkpoint, own, files, name)
    checkpoint = {**checkpoint, **_tied_embedding(checkpoint, own), **_other_reduction(checkpoint, own)}
    _check_tensors(own, {key: value for key, value in checkpoint.items() if _net(key) in wanted}, given, name)
    return checkpoint


def check_file(model: nn.Module, path: str | Path, files: DictionaryFiles) -> None:
    """Check that a checkpoint file fits, without reading the values of its tensors.

    Raises:
        CheckpointError: it cannot be read, holds no model, or see ``check_nets``.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: no readable checkpoint ({reason}); copy it again, or give another") from error
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path}: holds no model; give a checkpoint that fairseq-train wrote with this user dir")
    check_nets(model, state["model"], files, f"the checkpoint {path}")


def _net(name: str) -> str:
    return name.split(".", 1)[0]


def _nets(names: Iterable[str]) -> set[str]:
    return {_net(name) for name in names}


def _check_body(given: set[str], wanted: set[str], name: str) -> None:
    missing = [net for net in SHARED_BODY if net in wanted and net not in given]
    if missing:
        raise CheckpointError(
            f"{name} has no {' and no '.join(missing)}: it is not a speecht5_fairseq model; its nets are "
            f"{_names(given)}. Give a checkpoint that fairseq-train wrote with this user dir"
        )


def _tied_embedding(checkpoint: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tied tables are one: whichever net of the checkpoint holds it, every net of the model gets it."""
    table = next((checkpoint[name] for name in TIED_EMBEDDINGS if name in checkpoint), None)
    return {} if table is None else {name: table for name in TIED_EMBEDDINGS if name in own}


def _other_reduction(checkpoint: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's own values of what predicts the frames of a step, where the checkpoint predicts another number."""
    frames = f"{PER_STEP[1]}.bias"
    if frames not in own or frames not in checkpoint or own[frames].shape == checkpoint[frames].shape:
        return {}
    return {name: value for name, value in own.items() if name.startswith(PER_STEP)}


def _check_vocabulary(checkpoint: dict[str, Tensor], own: dict[str, Tensor], files: DictionaryFiles, name: str) -> None:
    key = "vocabulary.symbols"
    if key not in own or key not in checkpoint:
        return
    ours, theirs = decode(own[key]), decode(checkpoint[key])
    if ours == theirs:
        return
    place = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
    first = ""
    if place is not None:
        first = f"; first difference at index {place}: {ours[place]!r} here, {theirs[place]!r} there"
    raise CheckpointError(
        f"{files.text}{_line(ours, place)}: the dictionary does not fit {name}: {len(ours)} symbols here, "
        f"{len(theirs)} in the checkpoint ({_names(set(ours) ^ set(theirs))} on one side only){first}. Use the "
        "dict.txt that the checkpoint was trained with"
    )


def _line(symbols: list[str], place: int | None) -> str:
    """ ":LINE" of the symbol in dict.txt; empty for the symbols around the file's own, which stand on no line."""
    specials = Dictionary().nspecial
    if place is None or place < specials or symbols[place] in (MASK_SYMBOL, CTC_BLANK_SYMBOL):
        return ""
    return f":{place - specials + 1}"


def _check_units(checkpoint: dict[str, Tensor], own: dict[str, Tensor], files: DictionaryFiles, name: str) -> None:
    if UNITS not in own or UNITS not in checkpoint or len(own[UNITS]) == len(checkpoint[UNITS]):
        return
    raise CheckpointError(
        f"{files.units}: {len(own[UNITS])} units here, {len(checkpoint[UNITS])} in {name}; take the dict.km.txt and "
        "the units that it was trained with (other units need a pre-training of their own)"
    )


def _check_classes(checkpoint: dict[str, Tensor], own: dict[str, Tensor], files: DictionaryFiles, name: str) -> None:
    if CLASSES not in own or CLASSES not in checkpoint:
        return
    ours, theirs = decode(own[CLASSES]), decode(checkpoint[CLASSES])
    if ours == theirs:
        return
    only = _names(set(ours) ^ set(theirs))
    difference = f"{only} on one side only" if only else "in another order"
    raise CheckpointError(
        f"{files.classes}: {len(ours)} classes here, {len(theirs)} in {name} ({difference}); take the dict.txt that it "
        "was trained with (to learn other classes, start from a pre-trained model)"
    )


def _check_tensors(own: dict[str, Tensor], taken: dict[str, Tensor], given: set[str], name: str) -> None:
    missing = {key for key in own if _net(key) in given and key not in taken}
    extra = set(taken) - set(own)
    resized = {key for key in set(taken) & set(own) if taken[key].shape != own[key].shape}
    problems = []
    if missing:
        problems.append(f"missing: {_names(missing)}")
    if extra:
        problems.append(f"not known here: {_names(extra)}")
    if resized:
        shapes = {f"{key} {tuple(taken[key].shape)} there, {tuple(own[key].shape)} here" for key in resized}
        problems.append(f"of another size: {_names(shapes)}")
    if problems:
        raise CheckpointError(
            f"{name} does not fit the model; {'; '.join(problems)}. Give the --arch and the sizes that it was trained "
            "with"
        )


def _report(what: str, nets: set[str]) -> None:
    if nets:
        logger.warning("%s: %s", what, ", ".join(sorted(nets)))


def _names(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return ", ".join(ordered[:_LISTED]) + more

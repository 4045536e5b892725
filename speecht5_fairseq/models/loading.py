"""Loading a checkpoint of the same job or of another: whole nets are taken, left or new, and nothing in between.

A net is a top-level module of the model. One that both sides have must agree in every name and shape. What only the
checkpoint has is left; what only the model has keeps its initial values; both are reported.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from torch import Tensor, nn

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
_LISTED = 8  # names shown in an error before "and N more"


class CheckpointError(ValueError):
    """A checkpoint that does not fit the model."""


def load_nets(model: nn.Module, checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict that fits ``model`` exactly, made of the checkpoint's nets and the model's own new ones.

    Raises:
        CheckpointError: no SpeechT5 body, another vocabulary, or a shared net with missing, extra or resized tensors.
    """
    own = model.state_dict()
    given, wanted = _nets(checkpoint), _nets(own)
    _check_body(given)
    _check_vocabulary(checkpoint, own)
    checkpoint = {**checkpoint, **_tied_embedding(checkpoint, own), **_other_reduction(checkpoint, own)}
    _check_tensors(own, {name: value for name, value in checkpoint.items() if _net(name) in wanted}, given)
    _report("left in the checkpoint, not used by this job", given - wanted)
    _report("new, not in the checkpoint (initial values)", _nets(name for name in own if name not in checkpoint))
    return {name: checkpoint.get(name, value) for name, value in own.items()}


def _net(name: str) -> str:
    return name.split(".", 1)[0]


def _nets(names: Iterable[str]) -> set[str]:
    return {_net(name) for name in names}


def _check_body(given: set[str]) -> None:
    missing = [net for net in SHARED_BODY if net not in given]
    if missing:
        raise CheckpointError(
            f"the checkpoint has no {' and no '.join(missing)}: it is not a speecht5_fairseq model; its nets are "
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
    new = {name: value for name, value in own.items() if name.startswith(PER_STEP)}
    logger.warning(
        "--reduction-factor is %d here and %d in the checkpoint; new (initial values): %s",
        len(own[frames]),
        len(checkpoint[frames]),
        ", ".join(sorted(new)),
    )
    return new


def _check_vocabulary(checkpoint: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    name = "vocabulary.symbols"
    if name not in own or name not in checkpoint:
        return
    ours, theirs = decode(own[name]), decode(checkpoint[name])
    if ours == theirs:
        return
    place = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
    first = ""
    if place is not None:
        first = f"; first difference at index {place}: {ours[place]!r} here, {theirs[place]!r} there"
    raise CheckpointError(
        f"the dictionary does not fit the checkpoint: {len(ours)} symbols here, {len(theirs)} in the checkpoint "
        f"({_names(set(ours) ^ set(theirs))} on one side only){first}. Use the dict.txt that the checkpoint was "
        "trained with"
    )


def _check_tensors(own: dict[str, Tensor], taken: dict[str, Tensor], given: set[str]) -> None:
    missing = {name for name in own if _net(name) in given and name not in taken}
    extra = set(taken) - set(own)
    resized = {name for name in set(taken) & set(own) if taken[name].shape != own[name].shape}
    problems = []
    if missing:
        problems.append(f"missing: {_names(missing)}")
    if extra:
        problems.append(f"not known here: {_names(extra)}")
    if resized:
        shapes = {f"{name} {tuple(taken[name].shape)} there, {tuple(own[name].shape)} here" for name in resized}
        problems.append(f"of another size: {_names(shapes)}")
    if problems:
        raise CheckpointError(
            f"the checkpoint does not fit the model; {'; '.join(problems)}. Give the --arch and the sizes that the "
            "checkpoint was trained with"
        )


def _report(what: str, nets: set[str]) -> None:
    if nets:
        logger.warning("%s: %s", what, ", ".join(sorted(nets)))


def _names(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return ", ".join(ordered[:_LISTED]) + more

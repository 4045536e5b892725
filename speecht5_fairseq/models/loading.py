"""Loading a checkpoint of the same job or of another: parts are taken, left or new, and nothing in between.

A net is a top-level module of the model. One that both sides have must agree in every name and shape. What only the
checkpoint has is left; what only the model has keeps its initial values, which a start of fine-tuning must ask for
(``new_nets``); all three are reported. A start may ask for some parts only, or for another dictionary
(``checkpoint.Start``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from .checkpoint import UNNAMED_FILES, DictionaryFiles, Start, check_ours, read_checkpoint, trained_prediction
from .dictionary_change import ROWS, TIED_EMBEDDINGS, fit_vocabulary, report_vocabulary
from .errors import HELD, CheckpointError, listed
from .new_nets import NO_NETS, OPTION, asked_nets, check_needed
from .partial import DIGEST, completed, whole_state
from .parts import net_of, nets_of, prefixes, summary, within, words
from .vocabulary import CLASSES, SYMBOLS, decode

logger = logging.getLogger(__name__)

SELECTION = "--finetune-nets"
SHARED_BODY = ("encoder", "decoder")
MEL_LAYER = "speech_decoder_postnet.feat_out"
# Sized by the reduction factor alone: with another one they are new, and the rest of their net is taken.
PER_STEP = (MEL_LAYER, "speech_decoder_postnet.prob_out")
UNITS = "unit_head.embeddings"  # (units, width)
SPEAKER_HEAD = "speaker_head"
CLASS_ROWS = f"{SPEAKER_HEAD}.projection.weight"  # a row for each of them


def load_nets(
    model: nn.Module,
    checkpoint: dict[str, Tensor],
    files: DictionaryFiles = UNNAMED_FILES,
    start: Start | None = None,
    *,
    whole: bool = False,
) -> dict[str, Tensor]:
    """A state dict that fits ``model`` exactly, made of the checkpoint's nets and the model's own new ones.

    Raises:
        CheckpointError: see ``check_nets`` and ``check_finite``; or nets would be new and the ``whole`` model is
            wanted, to decode with.
    """
    own = whole_state(model)
    taken = check_nets(model, checkpoint, files, start=start)
    check_finite(taken, "the checkpoint")
    if whole:
        _check_whole(own, taken, "the checkpoint")
    for why, names in _fresh(model, checkpoint, own, None if start is None else start.prediction).items():
        logger.warning("%s, so these are new (initial values): %s", why, ", ".join(sorted(names)))
    if start is not None and start.new_vocabulary:
        report_vocabulary(taken, checkpoint, own)
    _report(own, taken, checkpoint, always=start is not None)
    return {**own, **taken}


def check_nets(
    model: nn.Module,
    checkpoint: dict[str, Tensor],
    files: DictionaryFiles,
    name: str = "the checkpoint",
    start: Start | None = None,
    prediction: str | None = None,
) -> dict[str, Tensor]:
    """The tensors that ``model`` takes from the checkpoint, each as the model has it; the others are new.

    ``prediction`` is the ``--speech-prediction`` of the run that wrote the checkpoint, None for the model's; ``start``
    tells its own.

    Raises:
        CheckpointError: see ``completed``; no SpeechT5 body, another vocabulary, other units, a part to take that one
            side lacks, a shared net with missing, extra or resized tensors, or at a start a net that would be new and
            is not asked for. ``name`` says which checkpoint.
    """
    own = whole_state(model)
    checkpoint = completed(model.base, checkpoint, own, name)
    nets = nets_of(checkpoint)
    asked = set() if start is None else asked_nets(start.new_nets, own, TIED_EMBEDDINGS)
    _check_body(nets, nets_of(own) - asked, name, start)
    check_ours(checkpoint, name)
    given = {**checkpoint, **_tied_embedding(checkpoint, own)}
    wanted = _selected(given, own, start, nets & nets_of(own) - asked, asked)
    prediction = prediction if start is None else start.prediction
    fresh = fresh_tensors(model, checkpoint, own, prediction)
    taken = {key: value for key, value in given.items() if wanted(key) and key not in fresh}
    taken |= _tied_embedding(taken, own)
    if not any(key in taken for key in ROWS):
        taken.pop(SYMBOLS, None)  # no tensor that is taken has to do with symbols
    if CLASS_ROWS not in taken:
        taken.pop(CLASSES, None)
    taken = fit_vocabulary(taken, own, files, name, start)
    _check_units(taken, own, files, name)
    _check_classes(taken, own, files, name)
    due = {key for key in own if net_of(key) in nets and wanted(key) and key not in fresh}
    _check_tensors(due - {SYMBOLS, CLASSES}, taken, own, name)
    if start is not None and not start.nets:
        check_needed(own, own.keys() - taken.keys() - fresh, asked, name)
    return taken


def check_file(
    model: nn.Module, path: str | Path, files: DictionaryFiles, start: Start | None = None, *, whole: bool = False
) -> Start | None:
    """Check that a checkpoint file fits, without reading the values of its nets.

    Returns:
        ``start`` with what the file tells of the run that wrote it.

    Raises:
        CheckpointError: it cannot be read, holds no model, or see ``check_nets``; or nets would be new and the
            ``whole`` model is wanted, of a run that goes on.
    """
    state, name = read_checkpoint(path), f"the checkpoint {path}"
    if start is not None:
        start = start._replace(prediction=trained_prediction(state))
    taken = check_nets(model, state["model"], files, name, start)
    if whole:
        _check_whole(whole_state(model), taken, name)
    return start


def check_finite(tensors: dict[str, Tensor], name: str) -> None:
    """Check that no weight is NaN or infinite: it would make every result so. ``name`` says which checkpoint.

    Raises:
        CheckpointError: names those that are.
    """
    broken = [key for key, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{name} holds NaN or infinity in {listed(broken)}: copy it again, or give one from before the run diverged"
        )


def _check_body(given: set[str], wanted: set[str], name: str, start: Start | None) -> None:
    missing = [net for net in SHARED_BODY if net in wanted and net not in given]
    if missing == ["decoder"] and SPEAKER_HEAD in given:
        if start is not None and start.nets:
            return  # what is asked for is there, or said to be missing
        raise CheckpointError(
            f"{name} has no decoder: it tells speakers apart by the encoder's frames alone. Give a checkpoint with a "
            f"decoder, or start from its encoder: --finetune-from-model with {SELECTION} encoder,speech_encoder_prenet"
        )
    if missing:
        raise CheckpointError(
            f"{name} has no {' and no '.join(missing)}: it is not a speecht5_fairseq model; its nets are "
            f"{listed(given)}. Give a checkpoint that fairseq-train wrote with this user dir"
        )


def _selected(
    given: dict[str, Tensor], own: dict[str, Tensor], start: Start | None, shared: set[str], asked: set[str]
) -> Callable[[str], bool]:
    """Which tensors are to be taken: of the nets that both have and the tied one, but for those ``asked`` to be new.

    Or, with ``--finetune-nets``, of the parts that it names.
    """
    if start is None or not start.nets:
        tied = {key for key in TIED_EMBEDDINGS if key in own and net_of(key) not in asked}
        return lambda name: net_of(name) in shared or name in tied
    common = [key for key in own if key in given and key not in (SYMBOLS, CLASSES, DIGEST)]
    parts = words(start.nets)
    if not parts:
        raise CheckpointError(f"{SELECTION} {start.nets!r} names no part; leave the option out to take all that fits")
    try:
        asked = [prefix for part in parts for prefix in prefixes(part, common, SELECTION)]
    except ValueError as error:
        raise CheckpointError(f"{error} (what both the model and the checkpoint have)") from error
    return lambda name: name in (SYMBOLS, CLASSES) or any(within(name, prefix) for prefix in asked)


def _tied_embedding(checkpoint: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tied tables are one: whichever net of the checkpoint holds it, every net of the model gets it."""
    table = next((checkpoint[name] for name in TIED_EMBEDDINGS if name in checkpoint), None)
    return {} if table is None else {name: table for name in TIED_EMBEDDINGS if name in own}


def fresh_tensors(
    model: nn.Module, checkpoint: dict[str, Tensor], own: dict[str, Tensor], prediction: str | None
) -> set[str]:
    """Names of the tensors that ``--reduction-factor`` and ``--speech-prediction`` make new in a net that is taken."""
    return {key for keys in _fresh(model, checkpoint, own, prediction).values() for key in keys}


def _fresh(
    model: nn.Module, checkpoint: dict[str, Tensor], own: dict[str, Tensor], prediction: str | None
) -> dict[str, list[str]]:
    """Tensors of a shared net that are new all the same, by the reason."""
    frames = f"{PER_STEP[1]}.bias"
    if frames not in own or frames not in checkpoint:
        return {}
    if own[frames].shape != checkpoint[frames].shape:
        return {"--reduction-factor is another in the checkpoint": [key for key in own if key.startswith(PER_STEP)]}
    here = model.speech_decoder_postnet.prediction
    if prediction not in (None, here):
        why = f"--speech-prediction is {here} here and {prediction} in the checkpoint"
        return {why: [key for key in own if within(key, MEL_LAYER)]}
    return {}


def _check_units(taken: dict[str, Tensor], own: dict[str, Tensor], files: DictionaryFiles, name: str) -> None:
    if UNITS not in own or UNITS not in taken or len(own[UNITS]) == len(taken[UNITS]):
        return
    raise CheckpointError(
        f"{files.units}: {len(own[UNITS])} units here, {len(taken[UNITS])} in {name}; take the dict.km.txt and "
        "the units that it was trained with (other units need a pre-training of their own)"
    )


def _check_classes(taken: dict[str, Tensor], own: dict[str, Tensor], files: DictionaryFiles, name: str) -> None:
    if CLASSES not in own or CLASSES not in taken:
        return
    ours, theirs = decode(own[CLASSES]), decode(taken[CLASSES])
    if ours == theirs:
        return
    only = listed(set(ours) ^ set(theirs))
    difference = f"{only} on one side only" if only else "in another order"
    raise CheckpointError(
        f"{files.classes}: {len(ours)} classes here, {len(theirs)} in {name} ({difference}); take the dict.txt that it "
        f"was trained with ({HELD}). To learn other classes, start from a pre-trained model, or with a new head: "
        f"--finetune-from-model with {OPTION} {SPEAKER_HEAD}"
    )


def _check_tensors(due: set[str], taken: dict[str, Tensor], own: dict[str, Tensor], name: str) -> None:
    """``due`` are names of the model's that the checkpoint should have, ``taken`` what it has."""
    missing = due - set(taken)
    extra = set(taken) - set(own)
    resized = {key for key in set(taken) & set(own) if taken[key].shape != own[key].shape}
    problems = []
    if missing:
        problems.append(f"missing: {listed(missing)}")
    if extra:
        problems.append(f"not known here: {listed(extra)}")
    if resized:
        shapes = {f"{key} {tuple(taken[key].shape)} there, {tuple(own[key].shape)} here" for key in resized}
        problems.append(f"of another size: {listed(shapes)}")
    if problems:
        added = any("lora_" in key or ".adapter." in key for key in missing | extra | resized)
        options = "the --arch and the sizes" + (", --lora-* and --adapter-* options" if added else "")
        raise CheckpointError(
            f"{name} does not fit the model; {'; '.join(problems)}. Give {options} that it was trained with: "
            "`python -m speecht5_fairseq.inspect CHECKPOINT` prints them as typed"
        )


def _check_whole(own: dict[str, Tensor], taken: dict[str, Tensor], name: str) -> None:
    new = summary((key for key in own if key not in taken and net_of(key) not in NO_NETS), list(own))
    if new:
        raise CheckpointError(
            f"{name} has no {', '.join(new)}, which this job needs: it was trained for another job. Give the --task "
            "and the options that it was trained with, or fine-tune it first (fairseq-train --finetune-from-model)"
        )


def _report(own: dict[str, Tensor], taken: dict[str, Tensor], checkpoint: dict[str, Tensor], *, always: bool) -> None:
    """Log what is loaded, new and left; nothing where all is loaded, unless ``always``."""
    model, file = ([name for name in names if name != SYMBOLS] for names in (own, checkpoint))
    loaded = summary((name for name in model if name in taken), model)
    new = summary((name for name in model if name not in taken), model)
    left = summary((name for name in file if name not in taken), file)
    if new or left or always:
        logger.info("loaded from the checkpoint: %s", ", ".join(loaded) or "nothing")
    if new or always:
        logger.log(_level(new), "new, not from the checkpoint (initial values): %s", ", ".join(new) or "nothing")
    if left or always:
        logger.log(_level(left), "left in the checkpoint, not used here: %s", ", ".join(left) or "nothing")


def _level(parts: list[str]) -> int:
    return logging.WARNING if parts else logging.INFO

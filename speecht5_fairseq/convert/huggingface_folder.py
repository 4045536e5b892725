"""A checkpoint in the layout of `transformers`: a folder that its from_pretrained loads, written and read.

What it cannot hold (heads, other nets, our options and symbols) stands beside in two files of ours, and comes back. A
folder without those was made by `transformers` itself (`huggingface_elsewhere`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data.atomic import replacing_files
from ..data.text_normalisation import NO_NORMALISER
from ..models.base_checkpoint import digest_of
from ..models.dictionary_change import TIED_EMBEDDINGS
from ..models.errors import CheckpointError
from ..models.jobs import JOBS
from ..models.new_nets import NO_NETS
from ..models.parts import nets_of
from ..models.vocabulary import SYMBOLS
from .huggingface import TIED, named_today, ours_named, to_huggingface
from .huggingface_elsewhere import check_fit, from_elsewhere
from .huggingface_files import (
    CONFIG,
    EXTRACTOR,
    PICKLED,
    PROCESSOR,
    SHARDS,
    WEIGHTS,
    check_settings,
    read_safetensors,
    read_settings,
    read_weights,
    write_settings,
    write_tensors,
)
from .huggingface_options import (
    CLASSES,
    MODEL_TYPE,
    check_expressible,
    config_to_huggingface,
    extractor_settings,
    generation_config,
)
from .huggingface_tokenizer import ADDED_FILE, MODEL_FILE, SETTINGS_FILE, ordered_pieces, tokenizer_settings
from .options import plain, read_config
from .pieces import symbols_of
from .portable import Portable, check_whole, expected_shapes
from .sentencepiece_model import model_without_pieces, read_pieces

SENTENCEPIECE_BESIDE = "sentencepiece.model"  # name of its bytes among the tensors
OPTIONS_BESIDE, TENSORS_BESIDE = "speecht5_fairseq.json", "speecht5_fairseq.safetensors"
# What a folder that is written over may hold of another model.
STALE = (PICKLED, SHARDS, PROCESSOR, OPTIONS_BESIDE, TENSORS_BESIDE, ADDED_FILE, "special_tokens_map.json")
_FORMAT = 1  # of the files beside
# Kinds of our options beside; a criterion may be not told.
_BESIDE = {
    "job": "", "home": "", "options": {}, "task": {}, "criterion": {}, "history": [{}], "units": [""], "digest": "",
}  # fmt: skip
_NOT_TOLD = ("criterion", None)
_DTYPE_OF = "speecht5.encoder.wrapped_encoder.layer_norm.weight"


def write_folder(model: Portable, folder: Path) -> Portable:
    """Write the folder; what was there is replaced when all of the new is written, config.json last.

    Returns:
        the model, with notes of what the folder needs and of what stands beside.

    Raises:
        CheckpointError: `transformers` has no such model, or its tokenizer cannot say the dictionary.
        ImportError: safetensors is not installed.
    """
    check_expressible(model.config, model.job, str(model.path))
    split = to_huggingface(model.tensors, expected_shapes(model))
    tokenizer = _tokenizer(model)
    model = model.noting(*_needs(model), *_kept(split.left))
    settings = _settings(model, split.theirs, tokenizer)
    beside = {**split.left, **_sentencepiece_beside(model, tokenizer)}
    with replacing_files(folder, last=CONFIG, stale=STALE) as partial:
        write_tensors(partial / WEIGHTS, split.theirs, {"format": "pt"})
        if beside:
            write_tensors(partial / TENSORS_BESIDE, beside, {})
        (partial / MODEL_FILE).write_bytes(tokenizer.sentencepiece)
        for name, content in settings.items():
            write_settings(partial / name, content)
    return model


def _settings(model: Portable, theirs: dict[str, Tensor], tokenizer: _Tokenizer) -> dict[str, dict[str, Any]]:
    """The files of settings by name."""
    dtype, vocabulary = str(theirs[_DTYPE_OF].dtype).removeprefix("torch."), len(tokenizer.symbols)
    return {
        "generation_config.json": generation_config(model.job, tokenizer.symbols),
        EXTRACTOR: extractor_settings(model.config),
        SETTINGS_FILE: tokenizer_settings(tokenizer.symbols, len(read_pieces(tokenizer.sentencepiece))),
        OPTIONS_BESIDE: _options_beside(model, theirs),
        CONFIG: config_to_huggingface(model.config, model.job, vocabulary=vocabulary, dtype=dtype),
    }


def _sentencepiece_beside(model: Portable, tokenizer: _Tokenizer) -> dict[str, Tensor]:
    """The sentencepiece model as it was, where the tokenizer has it in another order."""
    if model.sentencepiece in (None, tokenizer.sentencepiece):
        return {}
    return {SENTENCEPIECE_BESIDE: torch.frombuffer(bytearray(model.sentencepiece), dtype=torch.uint8)}


class _Tokenizer(NamedTuple):
    """All its symbols in order, and the file that makes them of text."""

    symbols: list[str]
    sentencepiece: bytes


def _tokenizer(model: Portable) -> _Tokenizer:
    """Of the dictionary and the sentencepiece model, or of special symbols alone where the job has no text.

    Raises:
        CheckpointError: the job has text and there is no sentencepiece model, or one of other symbols.
    """
    place = "the sentencepiece model"
    if not model.has_text:
        pieces = model.sentencepiece or model_without_pieces()
        symbols = symbols_of(pieces, place)
        return _Tokenizer(symbols, ordered_pieces(pieces, symbols, place))
    for thing, option in ((model.symbols, "--dict dict.txt"), (model.sentencepiece, "--spm-model spm.model")):
        if not thing:
            raise CheckpointError(
                f"{model.path}: the tokenizer of transformers needs the symbols and the sentencepiece model that makes "
                f"them; give {option}"
            )
    return _Tokenizer(model.symbols, ordered_pieces(model.sentencepiece, model.symbols, place))


def _needs(model: Portable) -> list[str]:
    """What one has to do in `transformers` that is done here by an option."""
    lines = [f"{CLASSES[model.job]}, for the job {model.job}"]
    told = model.job == "t2s" and model.job == model.home
    ends = model.job_options.get("text_ends") or "none"
    if told and ends == "both":
        lines.append("texts begin with <s>, which the processor does not put there: processor(text='<s>' + text)")
    if told and ends == "none":
        lines.append("texts end without </s>: processor(text=text, add_special_tokens=False)")
    normaliser = model.job_options.get("text_normaliser") or NO_NORMALISER
    if told and normaliser != NO_NORMALISER:
        lines.append(f"texts are those that --text-normaliser {normaliser} makes, which the processor does not do")
    if not model.has_text and model.sentencepiece is None:
        lines.append("the job has no text: the tokenizer knows special symbols alone (--spm-model gives it another)")
    if model.config.normalize_waveform and "speech" in JOBS[model.job].sources:
        lines.append("the processor divides waveforms by sqrt(variance + 1e-7), this code by sqrt(variance + 1e-5)")
    return lines


def _kept(left: dict[str, Tensor]) -> list[str]:
    names = [*sorted(nets_of(left) - NO_NETS), *(["the symbols"] if SYMBOLS in left else []), "our options"]
    files = f"{OPTIONS_BESIDE}, {TENSORS_BESIDE}" if left else OPTIONS_BESIDE
    return [f"kept beside for the way back ({files}): {', '.join(names)}"]


def _options_beside(model: Portable, theirs: dict[str, Tensor]) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "job": model.job,
        "home": model.home,
        "options": plain(asdict(model.config)),
        "task": plain(model.task),
        "criterion": plain(model.criterion),
        "history": plain(model.history),
        "units": list(model.units),
        "unit_source": dict(model.unit_source),
        "digest": digest_of(theirs),
        "notes": list(model.notes),
    }


def read_folder(folder: Path, job: str | None) -> Portable:
    """The model of a folder of `transformers`, with what stands beside it, for the job that it was made for there.

    Raises:
        CheckpointError: another model's, or one that this code does not build; files or tensors that do not fit.
    """
    settings = read_settings(folder)
    kind = settings.get("model_type")
    if kind != MODEL_TYPE:
        raise CheckpointError(f"{folder / CONFIG}: model_type is {kind!r}, not {MODEL_TYPE!r}; give a SpeechT5")
    theirs = named_today(read_weights(folder))
    if (folder / OPTIONS_BESIDE).is_file():
        model = _with_beside(folder, theirs, job)
    else:
        model = from_elsewhere(folder, settings, theirs, job)
    check_whole(model)
    return model


def taken_home(model: Portable) -> Portable:
    """The model for the job that it was trained for, of which a net or two went to `transformers`.

    Raises:
        CheckpointError: it is not whole.
    """
    if model.job == model.home:
        return model
    model = model._replace(job=model.home)
    check_whole(model)
    return model


def _with_beside(folder: Path, theirs: dict[str, Tensor], job: str | None) -> Portable:
    """What was once ours, with all that was kept.

    Raises:
        CheckpointError: another job than it was made for is asked for; files or tensors that do not fit.
    """
    beside = _read_beside(folder)
    if job not in (None, beside["job"]):
        raise CheckpointError(f"--job {job}: {folder} was made for {beside['job']}; leave the option out")
    left = read_safetensors(folder / TENSORS_BESIDE) if (folder / TENSORS_BESIDE).is_file() else {}
    pieces = left.pop(SENTENCEPIECE_BESIDE, None)
    model = Portable(
        path=folder,
        tensors={**ours_named(theirs), **left},
        config=read_config(beside["options"], folder / OPTIONS_BESIDE, beside["home"], nets_of(left)),
        job=beside["job"],
        home=beside["home"],
        task=beside["task"],
        criterion=beside["criterion"],
        history=beside["history"],
        sentencepiece=_read_sentencepiece(folder, pieces),
        units=tuple(beside["units"]),
        unit_source=beside.get("unit_source", {}),  # not in folders of before 0.6.0
    )
    check_fit(theirs, model)
    kept = sorted(nets_of(left) - NO_NETS)
    if kept and digest_of({name: tensor for name, tensor in theirs.items() if name not in TIED}) != beside["digest"]:
        model = _trained_there(model, theirs)
        if "ctc_head" in kept and "ctc" in JOBS[model.home].heads:  # the training there had no CTC loss
            model = model._replace(criterion={**(model.criterion or {}), "ctc_weight": 0.0})
        model = model.noting(f"{WEIGHTS} has changed since it was written here; as they were then: {', '.join(kept)}")
    return model


def _trained_there(model: Portable, theirs: dict[str, Tensor]) -> Portable:
    """Of a model that was trained for another job: it is now of the job that it was made for there.

    The embedding is one table in all nets that have it, so that those beside take the new one.
    """
    if model.job == model.home:
        return model
    table = next((tensor for name, tensor in ours_named(theirs).items() if name in TIED_EMBEDDINGS), None)
    tied = [name for name in TIED_EMBEDDINGS if name in model.tensors and table is not None]
    return model._replace(
        tensors={**model.tensors, **dict.fromkeys(tied, table)},
        config=model.job_config,
        home=model.job,
        task={},
        criterion=None,
    ).noting(f"trained there for the job {model.job}, before for {model.home}")


def _read_beside(folder: Path) -> dict[str, Any]:
    """Our options of the model.

    Raises:
        CheckpointError: not all are there, or they are of another version.
    """
    file, beside = folder / OPTIONS_BESIDE, read_settings(folder, OPTIONS_BESIDE)
    if beside.get("format") != _FORMAT:
        raise CheckpointError(f"{file}: format {beside.get('format')!r}, known here is {_FORMAT}")
    lacking = [name for name in _BESIDE if name not in beside]
    if lacking:
        raise CheckpointError(f"{file}: lacks {', '.join(lacking)}; copy the file again")
    told = {name: value for name, value in beside.items() if (name, value) != _NOT_TOLD}
    check_settings(told, {**_BESIDE, "unit_source": {}}, str(file))
    for name in ("job", "home"):
        if beside[name] not in JOBS:
            raise CheckpointError(f"{file}: {name} is {beside[name]!r}, known here are {', '.join(JOBS)}")
    return beside


def _read_sentencepiece(folder: Path, kept: Tensor | None) -> bytes | None:
    if kept is not None:
        return kept.numpy().tobytes()
    return (folder / MODEL_FILE).read_bytes() if (folder / MODEL_FILE).is_file() else None

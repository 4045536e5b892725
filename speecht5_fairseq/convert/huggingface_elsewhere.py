"""A folder that `transformers` wrote itself, without our files beside: a checkpoint of ours all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary
from torch import Tensor

from ..models.errors import CheckpointError
from ..models.jobs import JOBS
from ..models.vocabulary import SYMBOLS, encode
from .huggingface import MASK_VECTOR, TABLE, ours_named, rearranged
from .huggingface_files import CONFIG, EXTRACTOR, PROCESSOR, check_settings, read_settings
from .huggingface_options import CLASSES, DEFAULTS, config_from_huggingface
from .huggingface_tokenizer import read_tokenizer
from .portable import Portable, expected_shapes, raise_unfitting


def from_elsewhere(folder: Path, settings: dict[str, Any], theirs: dict[str, Tensor], job: str | None) -> Portable:
    """The model of a folder, with notes of what is new in it.

    Args:
        settings: config.json.
        theirs: every tensor.
        job: where the settings do not tell it.

    Raises:
        CheckpointError: a model that this code does not build, tensors that do not fit, or no tokenizer.
    """
    check_settings(settings, {"architectures": [""]} if settings.get("architectures") else {}, str(folder / CONFIG))
    job = job or next((job for job, name in CLASSES.items() if name in (settings.get("architectures") or [])), None)
    if job not in CLASSES:
        raise CheckpointError(
            f"{folder / CONFIG}: architectures is {settings.get('architectures')}, known here are "
            f"{', '.join(CLASSES.values())}; give --job {'|'.join(CLASSES)}"
        )
    options = config_from_huggingface(settings, _extractor(folder), job, str(folder / CONFIG))
    model = Portable(
        path=folder,
        tensors={},
        config=replace(options.config, no_ctc_head=job == "s2t"),
        job=job,
        home=job,
        task={"text_ends": "eos"} if job == "t2s" else {},  # as the processor has them
        notes=(f"made by transformers: {CLASSES[job]}, the job {job}", *options.notes),
    )
    if job == "s2t":
        model = model.noting("there is no CTC head: --no-ctc-head")
    theirs, model = _with_mask_vector(theirs, model)
    if not model.has_text:
        check_fit(theirs, model)
        return model._replace(tensors=ours_named(theirs))
    size, first = (settings.get(name, DEFAULTS[name]) for name in ("vocab_size", "decoder_start_token_id"))
    check_fit(theirs, model._replace(tensors={SYMBOLS: encode([str(row) for row in range(size)])}))
    return _with_symbols(theirs, model, size, first)


def check_fit(theirs: dict[str, Tensor], model: Portable) -> None:
    """Hold that the tensors are those that the model of these options has in its job.

    Raises:
        CheckpointError: some are missing, extra or of another shape; all are named.
    """
    names = {TABLE.theirs(name): shape for name, shape in expected_shapes(model).items()}
    names.pop(None, None)  # what only this code has
    raise_unfitting({name: tensor.shape for name, tensor in theirs.items()}, names, str(model.path), CONFIG)


def _with_symbols(theirs: dict[str, Tensor], model: Portable, size: int, first: int) -> Portable:
    """The model whose embedding of ``size`` rows has fairseq's order, and its dictionary.

    Raises:
        CheckpointError: no tokenizer, or texts that start with another row than that of </s>, ``first``.
    """
    rows, eos = read_tokenizer(model.path, size), Dictionary().eos()
    if model.job == "s2t" and rows.places[eos] != first:
        raise CheckpointError(
            f"{model.path / CONFIG}: decoder_start_token_id is {first}, but {rows.symbols[eos]} is {rows.places[eos]}; "
            "here a text is started by </s> alone"
        )
    new = [symbol for symbol, place in zip(rows.symbols, rows.places, strict=True) if place is None]
    if new:
        model = model.noting(f"new symbols, zeros in the embedding: {', '.join(new)}")
    if rows.left:
        model = model.noting(f"left: {rows.left} rows of the embedding that the tokenizer has no symbol for")
    tensors = ours_named(rearranged(theirs, rows.places))
    return model._replace(tensors={**tensors, SYMBOLS: encode(rows.symbols)}, sentencepiece=rows.sentencepiece)


def _with_mask_vector(theirs: dict[str, Tensor], model: Portable) -> tuple[dict[str, Tensor], Portable]:
    """With the vector of masked frames, which theirs does not have where it is told never to mask."""
    name = TABLE.theirs(MASK_VECTOR)
    if "speech" not in JOBS[model.job].sources or name in theirs:
        return theirs, model
    model = model.noting("new: the vector of masked frames, zeros (it counts in training with --mask-prob alone)")
    return {**theirs, name: torch.zeros(model.config.embed_dim)}, model


def _extractor(folder: Path) -> dict[str, Any]:
    """Settings of the feature extractor, wherever the version that wrote the folder puts them; none without any."""
    if (folder / EXTRACTOR).is_file():
        return read_settings(folder, EXTRACTOR)
    if (folder / PROCESSOR).is_file():
        return read_settings(folder, PROCESSOR, {"feature_extractor": {}}).get("feature_extractor", {})
    return {}

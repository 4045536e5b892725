"""A model between two layouts: our tensors and options, and what else belongs to it; here it is checked to be whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data.dictionary import load_class_dictionary, load_text_dictionary
from ..models import SpeechT5Config, SpeechT5Model
from ..models.checkpoint import check_ours
from ..models.dictionary_change import TIED_EMBEDDINGS
from ..models.errors import CheckpointError, listed
from ..models.jobs import JOBS, NETS, job_of_nets, needed_nets
from ..models.loading import CLASS_ROWS, UNITS
from ..models.new_nets import NO_NETS
from ..models.partial import DIGEST
from ..models.parts import net_of, nets_of
from ..models.vocabulary import CLASSES, SYMBOLS, decode, encode

_BOTTLENECK = ".adapter."  # in the names of the tensors of --adapter-dim
_TEMPORARY = ("freeze", "lr_factors", "layer_lr_decay", "freeze_encoder_updates", "freeze_decoder_updates")


class Portable(NamedTuple):
    """A model on its way.

    Attributes:
        path: where it was read.
        tensors: by our names, of the job's nets and perhaps of others.
        config: our options of the model.
        job: what it is converted for, a key of ``JOBS``.
        home: the job that it was trained for: another one where a net or two of a pre-trained model go out.
        task: options of the task at home, without paths; may be empty.
        criterion: options of the criterion at home; None where it is not told.
        history: fairseq's ``optimizer_history``; may be empty.
        sentencepiece: the model file that makes the dictionary's symbols; None where there is none.
        cuts_text: whether texts are cut by such a model, there or not, see ``contents.cuts_text``.
        units: the symbols of dict.km.txt, where they are told.
        unit_source: what made them, see ``contents.Contents``; may be empty.
        notes: what to tell of the conversion, a line each.
    """

    path: Path
    tensors: dict[str, Tensor]
    config: SpeechT5Config
    job: str
    home: str
    task: dict[str, Any]
    criterion: dict[str, Any] | None = None
    history: Sequence[dict[str, Any]] = ()
    sentencepiece: bytes | None = None
    cuts_text: bool = False
    units: Sequence[str] = ()
    unit_source: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    @property
    def symbols(self) -> list[str]:
        """The text dictionary, special symbols included; empty where there is none."""
        return decode(self.tensors[SYMBOLS]) if SYMBOLS in self.tensors else []

    @property
    def classes(self) -> list[str]:
        """The speakers; empty where there are none."""
        return decode(self.tensors[CLASSES]) if CLASSES in self.tensors else []

    @property
    def job_options(self) -> dict[str, Any]:
        """Options of the task that hold for the job; empty where it was trained for another."""
        return self.task if self.job == self.home else {}

    @property
    def job_config(self) -> SpeechT5Config:
        """The options that the job is built with: a model that was trained for another one may have no CTC head."""
        if self.job == self.home or "ctc" not in JOBS[self.job].heads:
            return self.config
        return replace(self.config, no_ctc_head="ctc_head" not in nets_of(self.tensors))

    @property
    def has_text(self) -> bool:
        """Whether the job reads or writes text."""
        return JOBS[self.job].has_text

    def noting(self, *lines: str) -> Portable:
        """With more to tell."""
        return self._replace(notes=(*self.notes, *lines))


def find_job(given: str | None, told: str | None, tensors: Mapping[str, Tensor], path: Path) -> str:
    """The job that is asked for, or the one that the checkpoint was trained for, or that its nets allow alone.

    Raises:
        CheckpointError: its nets are those of another model, not those of the job, or those of several.
    """
    check_ours(tensors, str(path))
    nets = nets_of(tensors)
    foreign = nets - NETS - NO_NETS - {net_of(DIGEST)}
    if foreign:
        raise CheckpointError(f"{path}: nets that this version does not know: {listed(foreign)}; take a newer one")
    if DIGEST in tensors:
        raise CheckpointError(f"{path}: {_of_additions(tensors, path)}")
    job = given or told or job_of_nets(nets)
    if job is None:
        fitting = [each for each in JOBS if needed_nets(each) <= nets]
        raise CheckpointError(f"{path}: does not tell its job; give --job {'|'.join(fitting)}")
    lacking = needed_nets(job) - nets
    if lacking:
        raise CheckpointError(
            f"{path}: has no {', '.join(sorted(lacking))}, which the job {job} needs; give its own --job"
        )
    return job


def _of_additions(tensors: Mapping[str, Tensor], path: Path) -> str:
    """What to do with a checkpoint without its base."""
    if any(_BOTTLENECK in name for name in tensors):
        return (
            "holds bottleneck adapters over a base (--adapter-dim), which cannot be folded into its weights; no "
            "other layout has them; use it as it is, with its base"
        )
    return (
        "holds additions to a base: make one checkpoint of both with `python -m speecht5_fairseq.convert.merge "
        f"{path} --out MERGED.pt`, and give that"
    )


def expected_shapes(model: Portable) -> dict[str, torch.Size]:
    """Names and shapes of every tensor that a model of these options has in its job.

    Raises:
        CheckpointError: no model can be built of them.
    """
    table = next((model.tensors[name] for name in TIED_EMBEDDINGS if name in model.tensors), torch.empty(0, 0))
    symbols = model.symbols or [str(row) for row in range(len(table))]
    rows = {name: len(model.tensors[name]) if name in model.tensors else 0 for name in (UNITS, CLASS_ROWS)}
    plain = {field.name: field.default for field in fields(SpeechT5Config) if field.name in _TEMPORARY}
    try:
        with torch.device("meta"):
            built = SpeechT5Model(
                replace(model.job_config, **plain),
                JOBS[model.job],
                symbols=symbols,
                padding=1,
                units=rows[UNITS] if "units" in JOBS[model.job].heads else 0,
                classes=model.classes or [str(row) for row in range(rows[CLASS_ROWS])],
            )
    except (ValueError, RuntimeError, ZeroDivisionError, AssertionError) as error:  # ranges, and torch's own
        raise CheckpointError(f"{model.path}: no model has the options in it ({error}); give another") from error
    return {name: tensor.shape for name, tensor in built.state_dict().items()}


def check_whole(model: Portable) -> None:
    """Check that every net of the job has the tensors that the options say, and no other.

    Raises:
        CheckpointError: tensors are missing, not known, or of another shape; all are named. Tied tables differ.
    """
    shapes = {name: shape for name, shape in expected_shapes(model).items() if name not in (SYMBOLS, CLASSES)}
    nets = nets_of(shapes)
    own = {name: tensor.shape for name, tensor in model.tensors.items() if net_of(name) in nets}
    own = {name: shape for name, shape in own.items() if name not in (SYMBOLS, CLASSES)}
    raise_unfitting(own, shapes, str(model.path), "the options in it")
    tables = [model.tensors[name] for name in TIED_EMBEDDINGS if name in model.tensors]
    if any(not torch.equal(table, tables[0]) for table in tables[1:]):
        names = listed(name for name in TIED_EMBEDDINGS if name in model.tensors)
        raise CheckpointError(
            f"{model.path}: {names} are one table in SpeechT5, and differ here; train it with this code"
        )


def raise_unfitting(own: Mapping[str, torch.Size], wanted: Mapping[str, torch.Size], place: str, by: str) -> None:
    """Hold that the tensors ``own`` at ``place`` are those that are ``wanted`` according to ``by``.

    Raises:
        CheckpointError: some are missing, extra or of another shape; all are named.
    """
    problems = [f"{name} is missing" for name in wanted if name not in own]
    problems += [f"{name} is extra" for name in own if name not in wanted]
    problems += [
        f"{name} has shape {tuple(own[name])}, not {tuple(shape)}"
        for name, shape in wanted.items()
        if name in own and own[name] != shape
    ]
    if problems:
        raise CheckpointError(
            f"{place}: {len(problems)} tensors do not fit {by}: {'; '.join(problems)}. Give options and tensors of one "
            "model"
        )


def with_dictionary(model: Portable, given: Path | None) -> Portable:
    """The model with the symbols or classes of ``given``, a dict.txt, where it does not hold them itself.

    Raises:
        CheckpointError: another dictionary than the model's, or one of another size.
        ValueError: the job has none.
    """
    if given is None:
        return model
    if model.job == "s2c":
        key, symbols, rows = CLASSES, load_class_dictionary(given), len(model.tensors[CLASS_ROWS])
    elif model.has_text:
        key, symbols = SYMBOLS, list(load_text_dictionary(given).symbols)
        rows = next(len(model.tensors[name]) for name in TIED_EMBEDDINGS if name in model.tensors)
    else:
        raise ValueError(f"--dict {given}: the job {model.job} has no dictionary; leave the option out")
    if len(symbols) != rows:
        raise CheckpointError(
            f"{given}: {len(symbols)} symbols, but {rows} rows in {model.path}; take the dict.txt that belongs to it"
        )
    if key in model.tensors and decode(model.tensors[key]) != symbols:
        raise CheckpointError(f"{given}: not the dictionary that {model.path} holds; leave --dict out to take that")
    return model._replace(tensors={**model.tensors, key: encode(symbols)})

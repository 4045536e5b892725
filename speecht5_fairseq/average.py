"""The mean of several checkpoints as one: of the last epochs of a run, of its best, or of files by name.

    python -m speecht5_fairseq.average --inputs checkpoints/st --last-epochs 10 --output checkpoints/st/average.pt
    python -m speecht5_fairseq.average --inputs one.pt two.pt --output average.pt

Tensors of numbers are averaged in float64 and keep their type. Integers (the vocabulary's symbols, BatchNorm's counts)
and the options are those of the checkpoint with the most updates. Of low-rank updates the factors are averaged, which
means something within one run; merge the checkpoints of several runs first (convert.merge). The result serves
fairseq-generate and --finetune-from-model; it has no optimizer state, because the mean of several is none.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .data.atomic import replacing
from .models.checkpoint import model_options, read_checkpoint, updates_of
from .models.contents import contents_of
from .models.dictionary_change import first_difference
from .models.errors import CheckpointError, listed
from .models.partial import DIGEST
from .models.vocabulary import CLASSES, SYMBOLS, decode

logger = logging.getLogger(__name__)

EPOCH = re.compile(r"checkpoint(\d+)\.pt")
UPDATE = re.compile(r"checkpoint_\d+_(\d+)\.pt")
BEST = re.compile(r"checkpoint\.best_(.+)_(-?\d+(?:\.\d+)?)\.pt")  # metric, value

State = dict[str, Any]


def check_alike(path: Path, model: dict[str, Tensor], other_path: Path, other: dict[str, Tensor]) -> None:
    """Check that the mean of two models means something.

    Raises:
        CheckpointError: other tensors, shapes, types, symbols, classes or bases; infinite or undefined values.
    """
    both = f"{path} and {other_path}"
    mend = "average checkpoints of one run, or of runs with the same sizes and dict.txt"
    one_sided = model.keys() ^ other.keys()
    if one_sided:
        raise CheckpointError(f"{both} hold other tensors: {listed(one_sided)}; {mend}")
    for table, kind in ((SYMBOLS, "dictionaries"), (CLASSES, "classes")):
        if table in model and not torch.equal(model[table], other[table]):
            raise CheckpointError(f"{both} have other {kind} {_difference(model[table], other[table])}; {mend}")
    if DIGEST in model and not torch.equal(model[DIGEST], other[DIGEST]):
        raise CheckpointError(f"{both} were trained over another --base-checkpoint each; {mend}")
    unlike = [name for name in model if _kind(model[name]) != _kind(other[name])]
    if unlike:
        kinds = [f"{name} {_kind(model[name])} and {_kind(other[name])}" for name in unlike]
        raise CheckpointError(f"{both} differ in size or type: {listed(kinds)}; {mend}")
    broken = [name for name, tensor in model.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(f"{path}: NaN or infinity in {listed(broken)}; leave this checkpoint out")


def _difference(symbols: Tensor, others: Tensor) -> str:
    ours, theirs = decode(symbols), decode(others)
    place = first_difference(ours, theirs)
    where = "" if place is None else f", first different at index {place}: {ours[place]!r} and {theirs[place]!r}"
    return f"({len(ours)} and {len(theirs)} symbols{where})"


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def average_models(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the models in `paths`, one at a time in memory; integers are those of the last.

    Names that share a tensor in the last (the tied embedding) share their mean.

    Raises:
        CheckpointError: see `models.checkpoint.read_checkpoint` and `check_alike`.
    """
    last, sums = read_checkpoint(paths[-1])["model"], {}
    for path in paths:
        model = read_checkpoint(path)["model"]
        check_alike(path, model, paths[-1], last)
        for name, tensor in model.items():
            if tensor.is_floating_point():
                sums[name] = sums[name] + tensor if name in sums else tensor.double()
    means: dict[str, Tensor] = {}
    shared: dict[tuple, Tensor] = {}
    for name, tensor in last.items():
        mean = (sums[name] / len(paths)).to(tensor.dtype) if name in sums else tensor.clone()
        means[name] = shared.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride()), mean)
    return means


def _check_contents(paths: Sequence[Path], states: Sequence[State], newest: Path) -> None:
    """What travels with the models is that of the newest: the others must have been trained with the same.

    Raises:
        CheckpointError: another sentencepiece model, or other units, in one of `paths`.
    """
    found = {path: contents_of(state, path) for path, state in zip(paths, states, strict=True)}
    own = found[newest]
    for path, other in found.items():
        pieces = own.pieces is not None and other.pieces is not None and own.pieces.content != other.pieces.content
        units = bool(own.units and other.units) and own.units != other.units
        units |= bool(own.unit_model and other.unit_model) and own.unit_model != other.unit_model
        if pieces or units:
            what = "another sentencepiece model each" if pieces else "other units each"
            raise CheckpointError(f"{path} and {newest} were trained with {what}; average checkpoints of one run")


def _warn_of_options(paths: Sequence[Path], states: Sequence[State], newest: State) -> None:
    """Options that change no shape may still make other models: attention heads, for one."""
    own = model_options(newest)
    for path, state in zip(paths, states, strict=True):
        other = model_options(state)
        names = sorted(name for name in own.keys() | other.keys() if own.get(name) != other.get(name))
        if names:
            values = ", ".join(f"{name} {other.get(name)} (taken: {own.get(name)})" for name in names)
            logger.warning("%s was trained with other options of the model: %s", path, values)


def average_checkpoints(inputs: Sequence[Path], output: Path) -> list[Path]:
    """Write the mean of `inputs` to `output`, and return the inputs in the order of their updates.

    Raises:
        CheckpointError: files that do not go together, see `average_models`.
        FileNotFoundError: there is no such file.
        ValueError: no input, one of them twice, or one that `output` would replace.
    """
    resolved = [path.resolve() for path in inputs]
    if not inputs:
        raise ValueError("--inputs: no checkpoint; name at least one")
    twice = {str(path) for path in inputs if resolved.count(path.resolve()) > 1}
    if twice:
        raise ValueError(f"--inputs: {listed(twice)} twice; name each checkpoint once")
    missing = [str(path) for path in inputs if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"--inputs: no such checkpoint: {listed(missing)}; correct the path")
    if output.resolve() in resolved:
        raise ValueError(f"--output {output} is one of --inputs; choose another name")
    states = [read_checkpoint(path) for path in inputs]
    order = sorted(range(len(inputs)), key=lambda index: updates_of(states[index]))
    paths, newest = [inputs[index] for index in order], states[order[-1]]
    _check_contents(inputs, states, paths[-1])
    _warn_of_options(inputs, states, newest)
    averaged = {
        **newest,
        "model": average_models(paths),
        "last_optimizer_state": None,
        "extra_state": {**(newest.get("extra_state") or {}), "averaged": [path.name for path in paths]},
    }
    with replacing(output) as partial:
        torch.save(averaged, partial)
    return paths


def last_checkpoints(folder: Path, pattern: re.Pattern[str], number: int, option: str) -> list[Path]:
    """The `number` files of `folder` with the highest number in their name.

    Raises:
        ValueError: there are fewer.
    """
    found = {path: int(match[1]) for path in folder.iterdir() if (match := pattern.fullmatch(path.name))}
    mend = {
        "--last-epochs": "train without --no-epoch-checkpoints, with --keep-last-epochs of at least that",
        "--last-updates": "train with --save-interval-updates, and --keep-interval-updates of at least that",
    }[option]
    return _enough(sorted(found, key=found.__getitem__)[-number:], folder, number, option, mend)


def best_checkpoints(folder: Path, number: int) -> list[Path]:
    """The `number` best of what --keep-best-checkpoints kept in `folder`; a checkpoint says which way is better.

    Raises:
        ValueError: there are fewer, or they are the best by several metrics.
        CheckpointError: the first of them cannot be read.
    """
    found = {path: match for path in sorted(folder.iterdir()) if (match := BEST.fullmatch(path.name))}
    metrics = sorted({match[1] for match in found.values()})
    if len(metrics) > 1:
        raise ValueError(f"--best {number}: {folder} holds the best by {', '.join(metrics)}; name files of one of them")
    if found:
        cfg = read_checkpoint(next(iter(found))).get("cfg") or {}
        higher = bool(cfg.get("checkpoint", {}).get("maximize_best_checkpoint_metric"))
        ranked = sorted(found, key=lambda path: float(found[path][2]), reverse=higher)
    else:
        ranked = []
    return _enough(ranked[:number], folder, number, "--best", "train with --keep-best-checkpoints of at least that")


def _enough(paths: list[Path], folder: Path, number: int, option: str, mend: str) -> list[Path]:
    if number < 1:
        raise ValueError(f"{option} {number}: give at least 1")
    if len(paths) < number:
        raise ValueError(f"{option} {number}: {folder} holds {len(paths)} such checkpoints; ask for fewer, or {mend}")
    return paths


def choose_inputs(options: argparse.Namespace) -> list[Path]:
    """The files that the command line asks for.

    Raises:
        ValueError: a folder without one of the choices, a choice without a folder, or too few checkpoints in it.
    """
    folders = [path for path in options.inputs if path.is_dir()]
    choices = ("last_epochs", "last_updates", "best")
    chosen = next((name for name in choices if getattr(options, name) is not None), None)
    if chosen is None:
        if folders:
            raise ValueError(f"--inputs {folders[0]} is a folder: add --last-epochs, --last-updates or --best")
        return list(options.inputs)
    option, number = f"--{chosen.replace('_', '-')}", getattr(options, chosen)
    if len(options.inputs) != 1 or not folders:
        raise ValueError(f"{option} chooses from one folder: give just that as --inputs, or leave {option} out")
    if chosen == "best":
        return best_checkpoints(folders[0], number)
    return last_checkpoints(folders[0], EPOCH if chosen == "last_epochs" else UPDATE, number, option)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m speecht5_fairseq.average",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--inputs", nargs="+", type=Path, required=True, metavar="PATH", help="checkpoints, or the folder of a run")
    add("--output", type=Path, required=True, metavar="FILE", help="the checkpoint to write")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--last-epochs", type=int, metavar="N", help="the last N of the folder's checkpointEPOCH.pt")
    choice.add_argument(
        "--last-updates", type=int, metavar="N", help="the last N of the folder's checkpoint_EPOCH_UPDATE.pt"
    )
    choice.add_argument("--best", type=int, metavar="N", help="the N best of the folder's checkpoint.best_METRIC_*.pt")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, average, print what went in."""
    options = build_parser().parse_args(argv)
    paths = average_checkpoints(choose_inputs(options), options.output)
    print(f"{options.output}: the mean of {len(paths)} ({', '.join(path.name for path in paths)})")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")

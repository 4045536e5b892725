"""The pieces that the labels of a corpus are to be made of: a vocabulary that there is, or a new one of its texts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .check import Findings, check_data
from .summary import SplitSize
from .vocabulary import MODEL_TYPES, copy_dictionary, train_vocabulary

NONE = "none"
FOLDER = "vocabulary"  # of a new one, below the output


class VocabularyOptions(NamedTuple):
    """folder: of spm.model and dict.txt to take; None: make a new one of `model_type` and `size` (`vocabulary train`).

    wanted: without, labels get no dictionary, and only the audio can be checked.
    """

    folder: Path | None = None
    model_type: str = "char"
    size: int | None = None
    wanted: bool = True


NO_VOCABULARY = VocabularyOptions(wanted=False)


def check_vocabulary(options: VocabularyOptions, splits: Sequence[str]) -> None:
    """Before hours of work: whether all will be there at the end. Raises ValueError or FileNotFoundError."""
    if not options.wanted:
        return
    if options.folder is None and "train" not in splits:
        raise ValueError("without a train split there is no text for a vocabulary: add train, or give --vocabulary")
    missing = [name for name in ("spm.model", "dict.txt") if options.folder and not (options.folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"--vocabulary {options.folder}: no {' and no '.join(missing)} in it; give the folder that "
            "`python -m manifest_tools.vocabulary train` wrote"
        )


def label_vocabulary(out: Path, options: VocabularyOptions, *, n_jobs: int) -> None:
    """Give the labels in `out` their dict.txt, if a vocabulary is wanted; a new one is made of out/train.txt.

    Raises ValueError where `out` has another dict.txt.
    """
    if options.wanted and options.folder is not None:
        copy_dictionary((options.folder / "dict.txt").read_text(encoding="utf-8"), out / "dict.txt")
    elif options.wanted:
        train_vocabulary(
            [out / "train.txt"],
            out / FOLDER,
            model_type=options.model_type,
            size=options.size,
            label_dirs=[out],
            n_jobs=n_jobs,
        )


def check_labelled(job: str, out: Path, sizes: Sequence[SplitSize], options: VocabularyOptions, level: str) -> Findings:
    """What the task of `job` would say of the splits in `out`; without a vocabulary, what can be said of the audio."""
    splits = [size.split for size in sizes]
    if not options.wanted:
        return check_data("audio", out, splits=splits, level=level)
    return check_data(job, out, splits=splits, spm_model=(options.folder or out / FOLDER) / "spm.model", level=level)


def add_vocabulary_options(parser: argparse.ArgumentParser, *, model_type: str = "char", size: int = 8000) -> None:
    """Add --vocabulary, --type and --size; read them with `vocabulary_options`. size: of types that need one."""
    parser.add_argument(
        "--vocabulary",
        metavar=f"DIR|{NONE}",
        help="holds the spm.model and dict.txt to use, of the pre-training say; none: check the audio alone "
        f"(default: a new one of the training texts, in OUT/{FOLDER})",
    )
    parser.add_argument("--type", choices=MODEL_TYPES, help=f"of the new vocabulary (default: {model_type})")
    parser.add_argument("--size", type=int, help=f"pieces of the new vocabulary (default: {size}; char: all)")
    parser.set_defaults(default_vocabulary=(model_type, size))


def vocabulary_options(options: dict[str, Any]) -> VocabularyOptions:
    """Take the options out of a parsed command line. ValueError when some have no effect."""
    given, model_type, size = (options.pop(name) for name in ("vocabulary", "type", "size"))
    default_type, default_size = options.pop("default_vocabulary")
    if given is not None and (model_type or size):
        raise ValueError("--type and --size have no effect with --vocabulary: leave them out")
    if given is not None:
        return NO_VOCABULARY if given == NONE else VocabularyOptions(Path(given))
    model_type = model_type or default_type
    return VocabularyOptions(None, model_type, size or (None if model_type == "char" else default_size))

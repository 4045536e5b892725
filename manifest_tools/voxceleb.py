"""VoxCeleb1 for speaker identification and verification: its recordings by its official lists.

    python -m manifest_tools.voxceleb --corpus VoxCeleb1 --out voxceleb1

The corpus (Nagrani et al. 2017, https://www.robots.ox.ac.uk/~vgg/data/voxceleb) has wav/SPEAKER/VIDEO/NUMBER.wav, both
parts (dev and test) unpacked into one folder; beside it lie the lists iden_split.txt (lines `PART PATH`: 1 train, 2
valid, 3 test) and veri_test.txt (lines `LABEL PATH PATH`). Written are {train,valid,test}.tsv with the speaker as
class, dict.txt, and of the trials verification.tsv (path, samples: for --unlabelled) and trials.txt. The lists of
identification have the trials' speakers too: --without-trial-speakers trains on the others alone. Recordings that
are broken are left out and listed. At the end everything is checked.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speecht5_fairseq.scoring.trials import read_trials

from .check import Findings, check_data
from .classes import write_class_dictionary
from .command import add_jobs_option, run, workers
from .corpora import add_corpus_options, contents, existing_folder, finish, split_size
from .files import SPLITS, read_lines, write_lines
from .headers import measure
from .left_out import LeftOut, write_left_out
from .summary import SplitSize
from .updates import check_old_splits, update_manifest
from .voices import Audio

logger = logging.getLogger(__name__)

PARTS = {"1": "train", "2": "valid", "3": "test"}
VERIFICATION = "verification"


class Listed(NamedTuple):
    """Recordings of an official list: those that are there, and those that are not."""

    present: list[str]
    missing: list[LeftOut]


def speaker_of(name: str) -> str:
    """The speaker of SPEAKER/VIDEO/NUMBER.wav. ValueError for a path of another layout."""
    parts = PurePosixPath(name).parts
    if len(parts) != 3:
        raise ValueError(f"{name}: not SPEAKER/VIDEO/NUMBER.wav, as VoxCeleb's lists have it; take the official list")
    return parts[0]


def read_split(path: Path) -> dict[str, list[str]]:
    """Split -> recordings, from lines `PART PATH`. Raises ValueError naming file and line, FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such list; download VoxCeleb1's iden_split.txt, or give --split-list")
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for number, line in enumerate(read_lines(path), start=1):
        part, _, name = line.strip().partition(" ")
        if not line.strip():
            continue
        if part not in PARTS or not name:
            raise ValueError(f"{path}:{number}: {line!r} is not `PART PATH`, PART 1, 2 or 3; take the official list")
        try:
            speaker_of(name)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        splits[PARTS[part]].append(name)
    return splits


def _there(root: Path, split: str, names: Sequence[str], allow_missing: bool) -> Listed:
    """The recordings of `names` that are there, and those that are not. FileNotFoundError if that is no wish."""
    present = [name for name in names if (root / name).is_file()]
    kept = set(present)
    missing = [LeftOut(name, "no such file") for name in names if name not in kept]
    if not present and names:
        raise FileNotFoundError(
            f"{root}: none of the {len(names)} recordings of {split}, the first {names[0]}. {contents(root)}; unpack "
            "both parts of the corpus there"
        )
    if missing and not allow_missing:
        raise FileNotFoundError(
            f"{root}: {len(missing)} of {len(names)} recordings of {split} are missing, the first {missing[0][0]}; "
            "unpack both parts of the corpus there, or do without them by --allow-missing"
        )
    return Listed(present, missing)


def prepare_voxceleb(
    corpus: Path,
    out: Path,
    *,
    split_list: Path | None = None,
    trials: Path | None = None,
    without_trial_speakers: bool = False,
    allow_missing: bool = False,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write the s2c manifests out/{train,valid,test}.tsv, dict.txt, and verification.tsv and trials.txt.

    split_list, trials: default iden_split.txt and veri_test.txt in `corpus`; without the latter there are no trials,
    and a warning. without_trial_speakers: leave the speakers of the trials out of the splits, so that a model has never
    heard those that it verifies. allow_missing: do without recordings that are not there, and list them; trials need
    all of theirs: a broken one leaves out its trials. Returns the sizes.
    Raises FileNotFoundError or ValueError with the mend.
    """
    root = existing_folder(
        corpus / "wav", f"--corpus {corpus}", "SPEAKER/VIDEO/NUMBER.wav, both parts together"
    ).resolve()
    splits = read_split(split_list or corpus / "iden_split.txt")
    pairs = _verification(trials or corpus / "veri_test.txt", given=trials is not None)
    if without_trial_speakers:
        if not pairs:
            raise ValueError("--without-trial-speakers has no effect without trials: give --trials, or leave it out")
        speakers = {speaker_of(name) for _, *names in pairs for name in names}
        splits = {split: [n for n in names if speaker_of(n) not in speakers] for split, names in splits.items()}
    listed = {split: _there(root, split, names, allow_missing) for split, names in splits.items() if names}
    if pairs:
        tried = sorted({name for _, *both in pairs for name in both})
        listed[VERIFICATION] = _there(root, VERIFICATION, tried, allow_missing=False)
    sizes = []
    for split, (names, missing) in listed.items():
        rows, broken = measure(root, names, out, split, n_jobs=n_jobs)
        if split == "train":
            write_class_dictionary(out / "dict.txt", (speaker_of(row.name) for row in rows))
        sizes.append(_write(out, root, split, rows, missing + broken))
        if split == VERIFICATION:
            _write_trials(out, pairs, {row.name for row in broken})
    check_old_splits(out, (split for split in listed if split != VERIFICATION))
    return sizes


def _write_trials(out: Path, pairs: Sequence[tuple[int, str, str]], broken: set[str]) -> None:
    kept = [pair for pair in pairs if not broken.intersection(pair[1:])]
    if len(kept) < len(pairs):
        logger.warning("%d of %d trials have a broken recording and are left out", len(pairs) - len(kept), len(pairs))
    write_lines(out / "trials.txt", (f"{label}\t{first}\t{second}" for label, first, second in kept))


def _verification(path: Path, *, given: bool) -> list[tuple[int, str, str]]:
    """(label, path, path) of the trials; none, with a warning, where the official list is not there."""
    if not given and not path.is_file():
        logger.warning("%s: no such list, so no trials; download VoxCeleb1's, or give --trials", path)
        return []
    return [(int(trial.target), trial.first, trial.second) for trial in read_trials(path)]


def _write(out: Path, root: Path, split: str, rows: Sequence[Audio], left_out: Sequence[LeftOut]) -> SplitSize:
    write_left_out(out, split, left_out)
    lines = [row if split == VERIFICATION else (*row, speaker_of(row.name)) for row in rows]
    update_manifest(out / f"{split}.tsv", root, lambda: lines, "s2c")
    return split_size(split, (row.samples for row in rows), left_out, (speaker_of(row.name) for row in rows))


def check_voxceleb(out: Path, sizes: Sequence[SplitSize], level: str) -> list[Findings]:
    """What identification and verification would say of the prepared data."""
    splits = {"s2c": [size.split for size in sizes if size.split != VERIFICATION]}
    splits["audio"] = [size.split for size in sizes if size.split == VERIFICATION]
    return [check_data(job, out, splits=names, level=level) for job, names in splits.items() if names]


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.voxceleb",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_corpus_options(parser, "wav and the official lists")
    parser.add_argument("--split-list", type=Path, metavar="FILE", help="default: iden_split.txt in the corpus")
    parser.add_argument("--trials", type=Path, metavar="FILE", help="default: veri_test.txt in the corpus")
    parser.add_argument(
        "--without-trial-speakers", action="store_true", help="train on none of the speakers that the trials verify"
    )
    parser.add_argument("--allow-missing", action="store_true", help="do without recordings that are not there")
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    level = options.pop("check")
    with workers(options) as n_jobs:
        sizes = prepare_voxceleb(**options, n_jobs=n_jobs)
    finish(sizes, *check_voxceleb(options["out"], sizes, level))


if __name__ == "__main__":
    run(main)

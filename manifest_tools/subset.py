"""The first minutes of a manifest's rows in a seeded shuffle, with their labels: less data of the same kind.

    python -m manifest_tools.subset --manifest prompts/en/train.tsv --minutes 5 --out prompts/en/train-5min.tsv
    fairseq-train prompts/en --train-subset train-5min ...

A row's place in the shuffle depends on the seed and its path alone: with one seed, the rows of 5 minutes are among
those of 15, and rows that join the manifest later do not move the others. The last row taken passes the minutes asked
for. Lines of NAME.txt and NAME.km beside the manifest go along, with what units.json tells of them; in another folder
their dictionaries do too, as that of the classes does (--job s2c).
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, TextLines

from .command import run
from .files import hash_fraction, read_lines
from .summary import SplitSize, size_table
from .unit_files import inherit
from .updates import update_lines, update_manifest

DICTIONARIES = {"txt": "dict.txt", "km": "dict.km.txt"}  # ending of a label file -> its dictionary
CLASSES = "dict.txt"


def choose_rows(manifest: Manifest, minutes: float, *, seed: int = 1, max_samples: int | None = None) -> np.ndarray:
    """Row indices, ascending, of the first rows of the shuffle that make up `minutes` of audio: int64 (rows,).

    max_samples: rows over it are never taken. Raises ValueError when the rows hold less.
    """
    if not 0 < minutes < math.inf:
        raise ValueError(f"--minutes {minutes:g}: ask for some speech, more than 0")
    samples = manifest.samples
    rows = np.arange(len(manifest)) if max_samples is None else np.flatnonzero(samples <= max_samples)
    places = [hash_fraction(str(manifest.row(index)["path"]), f"subset-{seed}") for index in rows.tolist()]
    shuffled = rows[np.argsort(places, kind="stable")]
    totals = np.cumsum(samples[shuffled])
    wanted = minutes * 60 * SAMPLE_RATE
    if not len(totals) or totals[-1] < wanted:
        found = totals[-1] / SAMPLE_RATE / 60 if len(totals) else 0.0
        kind = "" if max_samples is None else f" of at most {max_samples} samples"
        mend = "ask for fewer" + ("" if max_samples is None else ", or raise --max-samples")
        raise ValueError(f"{manifest.file}: its rows{kind} are {found:.2f} minutes, --minutes is {minutes:g}; {mend}")
    return np.sort(shuffled[: int(np.searchsorted(totals, wanted)) + 1])


def subset_manifest(
    manifest_file: Path,
    out: Path,
    *,
    minutes: float,
    seed: int = 1,
    max_samples: int | None = None,
    job: str = "pretrain",
) -> SplitSize:
    """Write the rows of `choose_rows` to the manifest `out`, in their old order, and their labels beside it.

    job: whose columns the manifest has. Run again on the same rows, it leaves the files as they are, with what other
    tools added. Returns the size. Raises ValueError, FileNotFoundError or ManifestError with the mend.
    """
    if out.suffix != ".tsv" or out.resolve() == manifest_file.resolve():
        raise ValueError(f"--out {out}: name another file than --manifest that ends in .tsv")
    manifest = Manifest.open(manifest_file, JOB_COLUMNS[job])
    rows = choose_rows(manifest, minutes, seed=seed, max_samples=max_samples)
    for ending in DICTIONARIES:
        take_labels(manifest, rows, ending, out)
    if job == "s2c":  # whose labels stand in the manifest
        take_dictionary(manifest, CLASSES, out)
    absolute = Path(manifest.lines[0]).is_absolute()
    root = manifest.lines[0] if absolute else os.path.relpath(manifest.root.resolve(), out.parent.resolve())
    update_manifest(out, root, partial(_fields, manifest, rows), job)
    inherit([manifest_file.with_suffix(".km")], out.with_suffix(".km"))
    return SplitSize(out.stem, len(rows), int(manifest.samples[rows].sum()))


def _fields(manifest: Manifest, rows: np.ndarray) -> Iterator[list[str]]:
    return (list(map(str, manifest.row(index).values())) for index in rows.tolist())


def take_labels(manifest: Manifest, rows: np.ndarray, ending: str, out: Path) -> None:
    """Write the lines of the rows from NAME.ENDING beside the manifest, if there is one, beside `out`."""
    source = manifest.file.with_suffix(f".{ending}")
    if not source.is_file():
        return
    lines = TextLines(source)
    if len(lines) != len(manifest):
        raise ValueError(f"{source} has {len(lines)} lines, {manifest.file} {len(manifest)} rows; make it again")
    update_lines(out.with_suffix(f".{ending}"), lambda: (lines[index] for index in rows.tolist()))
    take_dictionary(manifest, DICTIONARIES[ending], out)


def take_dictionary(manifest: Manifest, name: str, out: Path) -> None:
    dictionary = manifest.file.with_name(name)
    if dictionary.is_file() and dictionary.parent.resolve() != out.parent.resolve():
        update_lines(out.with_name(dictionary.name), lambda: read_lines(dictionary))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.subset",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--manifest", type=Path, required=True, metavar="TSV", help="the rows to take from")
    parser.add_argument("--minutes", type=float, required=True, help="audio to take, in minutes")
    parser.add_argument("--out", type=Path, required=True, metavar="TSV", help="the manifest to write")
    parser.add_argument("--seed", type=int, default=1, help="of the shuffle (default: %(default)s)")
    parser.add_argument(
        "--max-samples", type=int, help="longest row to take, as training's --max-speech-samples (default: no limit)"
    )
    parser.add_argument(
        "--job", choices=sorted(JOB_COLUMNS), default="pretrain", help="whose columns it has (default: %(default)s)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, take the rows, print the size."""
    arguments = build_parser().parse_args(argv)
    size = subset_manifest(
        arguments.manifest,
        arguments.out,
        minutes=arguments.minutes,
        seed=arguments.seed,
        max_samples=arguments.max_samples,
        job=arguments.job,
    )
    print(size_table([size]))


if __name__ == "__main__":
    run(main)

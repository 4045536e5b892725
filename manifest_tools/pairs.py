"""Pairs of recordings that say the same in two voices, for voice conversion.

    python -m manifest_tools.pairs --source flite --target prompts/en --speaker-vectors --speaker-level 1 --out pairs

writes pairs/SPLIT.tsv (source to target, with the vector of the target's voice), SPLIT.txt with the target's texts
where it has them, and left_out/SPLIT.tsv: rows of either that have no partner. The rows need no common order: they
belong together by their path (--match name, whatever the suffix), by their file's name alone (stem), or by their text.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, TextLines, write_manifest
from speecht5_fairseq.data.segments import utterance_path

from .command import add_jobs_option, add_root_option, run, workers
from .files import SPLITS, write_lines
from .left_out import LeftOut, write_left_out
from .summary import SplitSize, size_table
from .voices import VectorOptions, add_vector_options, target_vectors, vector_options

logger = logging.getLogger(__name__)

MATCHES = ("name", "stem", "text")
Pair = tuple[int, int]  # row of the source, row of the target


def texts_beside(manifest: Manifest) -> TextLines | None:
    """The texts of a manifest, NAME.txt beside NAME.tsv, if there are any. ValueError when they are not one a row."""
    path = manifest.file.with_suffix(".txt")
    if not path.is_file():
        return None
    lines = TextLines(path)
    if len(lines) != len(manifest):
        raise ValueError(f"{path} has {len(lines)} lines, {manifest.file} {len(manifest)} rows; make it again")
    return lines


def _keys(manifest: Manifest, match: str) -> list[str]:
    """What says which rows belong together. Equal texts are numbered: the second goes with the second."""
    if match == "text":
        lines = texts_beside(manifest)
        if lines is None:
            raise ValueError(f"--match text: no {manifest.file.with_suffix('.txt')}; write it, or use --match name")
        seen: Counter[str] = Counter()
        keys = []
        for line in lines:
            text = " ".join(line.split())
            seen[text] += 1
            keys.append(f"{text}\t{seen[text]}")
        return keys
    paths = [utterance_path(str(manifest.row(index)["path"])) for index in range(len(manifest))]
    return [path.name if match == "stem" else str(path) for path in paths]


def _rows_by_key(manifest: Manifest, match: str) -> dict[str, int]:
    rows: dict[str, int] = {}
    for index, key in enumerate(_keys(manifest, match)):
        if key in rows:
            mend = "delete one, or choose another --match"
            raise manifest.error(index, f"its {match} {key!r} is also that of line {rows[key] + 2}", mend)
        rows[key] = index
    return rows


def match_rows(source: Manifest, target: Manifest, match: str) -> tuple[list[Pair], list[LeftOut]]:
    """Pairs of rows in the target's order, and (path, reason) of the rows without a partner.

    Raises ValueError or ManifestError when a key is there twice, or nothing matches.
    """
    if match not in MATCHES:
        raise ValueError(f"--match {match!r}: choose one of {', '.join(MATCHES)}")
    sources, targets = _rows_by_key(source, match), _rows_by_key(target, match)
    pairs = [(sources[key], row) for key, row in targets.items() if key in sources]
    left_out = [
        LeftOut(str(source.path(row)), "not in the target") for key, row in sources.items() if key not in targets
    ]
    left_out += [
        LeftOut(str(target.path(row)), "not in the source") for key, row in targets.items() if key not in sources
    ]
    if not pairs:
        raise ValueError(
            f"no row of {source.file} has the {match} of a row of {target.file} (the first are "
            f"{next(iter(sources))!r} and {next(iter(targets))!r}); choose another --match of {', '.join(MATCHES)}"
        )
    return pairs, left_out


def _lines(
    source: Manifest, target: Manifest, pairs: Sequence[Pair], vectors: Sequence[Path], root: Path
) -> Iterator[tuple[str, int, str, int, str]]:
    bases = (source.root.resolve(), target.root.resolve())
    for first, second in pairs:
        names = (os.path.relpath(source.path(first), source.root), os.path.relpath(target.path(second), target.root))
        # a recording may be a link to where no common root is: it stays the path that its manifest writes
        heard, spoken = (os.path.relpath(base / name, root) for base, name in zip(bases, names, strict=True))
        speaker = os.path.relpath(vectors[second].resolve(), root)
        yield heard, int(source.samples[first]), spoken, int(target.samples[second]), speaker


def _open(folder: Path, split: str, outside: bool) -> Manifest | None:
    """A split's manifest, of two or three columns; None where there is none."""
    path = folder / f"{split}.tsv"
    return Manifest.open(path, JOB_COLUMNS["pretrain"], outside=outside) if path.is_file() else None


def open_splits(
    source: Path, target: Path, splits: Sequence[str], *, outside: bool = False
) -> dict[str, tuple[Manifest, Manifest]]:
    """split -> both manifests. Raises FileNotFoundError where one side lacks a split that the other has."""
    opened = {}
    for split in splits:
        first, second = _open(source, split, outside), _open(target, split, outside)
        if first and second:
            opened[split] = (first, second)
        elif first or second:
            missing, there = (source, target) if second else (target, source)
            raise FileNotFoundError(
                f"{missing / split}.tsv: missing, while {there / split}.tsv is there; make it, or leave {split} out of "
                "--splits"
            )
        else:
            logger.warning("neither %s nor %s has %s.tsv", source, target, split)
    if not opened:
        raise FileNotFoundError(f"--splits {' '.join(splits)}: no manifest of these in {source} and {target}")
    return opened


def pair_manifests(
    source: Path,
    target: Path,
    out: Path,
    *,
    splits: Sequence[str] = SPLITS,
    match: str = "name",
    vectors: VectorOptions | None = None,
    allow_outside_root: bool = False,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write an s2s manifest out/SPLIT.tsv of the rows of source/SPLIT.tsv and target/SPLIT.tsv that say the same.

    match: "name" (path without suffix), "stem" (file name) or "text" (SPLIT.txt). vectors: how to make the target
    voices' vectors, below `out`; None takes the target's third column. Returns the sizes, in samples of the source.
    Raises ManifestError, ValueError or FileNotFoundError with the mend.
    """
    opened = open_splits(source, target, splits, outside=allow_outside_root)
    matched = {split: match_rows(*manifests, match) for split, manifests in opened.items()}
    targets = {split: manifest for split, (_, manifest) in opened.items()}
    speakers = target_vectors(targets, out / "speakers", vectors, n_jobs)
    sizes = []
    for split, (first, second) in opened.items():
        pairs, left_out = matched[split]
        write_left_out(out, split, left_out)
        texts = texts_beside(second)
        if texts is not None:
            write_lines(out / f"{split}.txt", (texts[row] for _, row in pairs))
        roots = (first.root.resolve(), second.root.resolve(), out.resolve())
        root = Path(os.path.commonpath(roots))
        named = os.path.relpath(root, out.resolve()) if root != Path(root.anchor) else root
        rows = write_manifest(out / f"{split}.tsv", named, _lines(first, second, pairs, speakers[split], root))
        sizes.append(SplitSize(split, rows, sum(int(first.samples[row]) for row, _ in pairs)))
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.pairs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", type=Path, required=True, metavar="DIR", help="SPLIT.tsv of the voice that is heard"
    )
    parser.add_argument("--target", type=Path, required=True, metavar="DIR", help="SPLIT.tsv of the voice to speak in")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the manifests of pairs go")
    parser.add_argument("--splits", nargs="+", default=list(SPLITS), help="splits to pair (default: train valid test)")
    parser.add_argument("--match", choices=MATCHES, default="name", help="what pairs have alike (default: %(default)s)")
    add_vector_options(parser)
    add_root_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, pair, print the sizes."""
    options = vars(build_parser().parse_args(argv))
    vectors = vector_options(options)
    with workers(options) as n_jobs:
        print(size_table(pair_manifests(**options, vectors=vectors, n_jobs=n_jobs)))


if __name__ == "__main__":
    run(main)

"""Join the manifests (and labels) of several folders, for training on several languages or corpora at once.

python -m manifest_tools.combine --inputs en fr es --out all
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, TextLines

from .command import add_root_option, run
from .files import SPLITS, write_text
from .summary import SplitSize, size_table
from .unit_files import inherit, model_of
from .updates import check_old_splits, update_lines, update_manifest

logger = logging.getLogger(__name__)

LABELS = ("txt", "km")


def _open_all(inputs: Sequence[Path], split: str, job: str, *, outside: bool) -> list[Manifest]:
    paths = [folder / f"{split}.tsv" for folder in inputs]
    present = [path for path in paths if path.is_file()]
    if not present:
        return []
    if len(present) < len(paths):
        missing = ", ".join(str(path) for path in paths if path not in present)
        raise FileNotFoundError(
            f"{missing}: missing, while {present[0]} is there; make it, or leave {split} out of --splits"
        )
    manifests = [Manifest.open(path, JOB_COLUMNS[job], outside=outside) for path in paths]
    for manifest in manifests:
        if manifest.width != manifests[0].width:
            raise ValueError(
                f"{manifest.file} has {manifest.width} columns, {manifests[0].file} has {manifests[0].width}; add the "
                "missing one to all (manifest_tools.speaker_vectors makes the third)"
            )
    return manifests


def _rows(manifests: Sequence[Manifest], root: Path) -> Iterator[list[str]]:
    for manifest in manifests:
        paths = {path for path, _ in manifest.columns.audio} | {"speaker"}
        base = manifest.root.resolve()
        for index in range(len(manifest)):
            for name in paths & set(manifest.row(index)):
                manifest.path(index, name)  # one that leads out of its root must not come to lie below the common one
            yield [
                os.path.relpath(base / str(value), root) if name in paths else str(value)
                for name, value in manifest.row(index).items()
            ]


def _join_labels(manifests: Sequence[Manifest], split: str, label: str, out: Path) -> None:
    """Concatenate SPLIT.LABEL files, if there are any, keeping line i beside row i."""
    paths = [manifest.file.with_name(f"{split}.{label}") for manifest in manifests]
    present = [path for path in paths if path.is_file()]
    if not present:
        return
    if len(present) < len(paths):
        missing = ", ".join(str(path) for path in paths if path not in present)
        raise FileNotFoundError(f"{missing}: missing, while {present[0]} is there; make it, or move the others away")
    labels = [TextLines(path) for path in paths]
    for lines, manifest in zip(labels, manifests, strict=True):
        if len(lines) != len(manifest):
            raise ValueError(
                f"{lines.path} has {len(lines)} lines, {manifest.file} {len(manifest)} rows; make it again"
            )
    if label == "km":
        _check_same_units(paths)
        write_text(out / "dict.km.txt", paths[0].with_name("dict.km.txt").read_text(encoding="utf-8"))
    update_lines(out / f"{split}.{label}", lambda: (line for lines in labels for line in lines))


def _check_same_units(labels: Sequence[Path]) -> None:
    """Units of different models must not be mixed: their numbers mean different sounds.

    What units.json tells counts, and where it does not tell of all, the models beside the labels too.
    """
    told = [model_of(path) for path in labels]
    known = {model for model in told if model is not None}
    models = [path.with_name("kmeans.joblib") for path in labels]
    what = ""
    if len(known) > 1:
        what = ", ".join(f"{path} (k-means {model})" for path, model in zip(labels, told, strict=True) if model)
    elif None in told and len({path.read_bytes() if path.is_file() else b"" for path in models}) > 1:
        what = ", ".join(map(str, models))
    if what:
        raise ValueError(
            f"{what} differ, so unit 5 of one is not unit 5 of the other; delete the .km files, combine, then run "
            "manifest_tools.units on the combined folder"
        )


def combine_manifests(
    inputs: Sequence[Path],
    out: Path,
    *,
    splits: Sequence[str] = SPLITS,
    job: str = "pretrain",
    allow_outside_root: bool = False,
) -> list[SplitSize]:
    """Concatenate SPLIT.tsv of every input folder into out/SPLIT.tsv, and SPLIT.txt and SPLIT.km where they exist.

    The new root is the folder common to all roots, written relative to `out` when it is near, so that data that moves
    together keeps working. job: whose columns the manifests have. Splits that no input has are left out with a warning.
    Run again on the same inputs, it leaves the manifests as they are, with what other tools added.
    Returns the sizes. Raises FileNotFoundError or ValueError with the mend when the inputs do not fit together.
    """
    if out.resolve() in [folder.resolve() for folder in inputs]:
        raise ValueError(f"--out {out} is one of --inputs; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    sizes = []
    for split in splits:
        manifests = _open_all(inputs, split, job, outside=allow_outside_root)
        if not manifests:
            logger.warning("no input has %s.tsv", split)
            continue
        root = Path(os.path.commonpath([manifest.root.resolve() for manifest in manifests]))
        relative = all(not Path(manifest.lines[0]).is_absolute() for manifest in manifests)
        for label in LABELS:
            _join_labels(manifests, split, label, out)
        named = os.path.relpath(root, out.resolve()) if relative else root
        rows = update_manifest(out / f"{split}.tsv", named, partial(_rows, manifests, root), job)
        inherit([manifest.file.with_suffix(".km") for manifest in manifests], out / f"{split}.km")
        sizes.append(SplitSize(split, rows, int(sum(manifest.samples.sum() for manifest in manifests))))
    if not sizes:
        raise FileNotFoundError(f"no {', '.join(f'{split}.tsv' for split in splits)} in {', '.join(map(str, inputs))}")
    check_old_splits(out, (size.split for size in sizes))
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.combine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--inputs", nargs="+", type=Path, required=True, metavar="DIR", help="folders of SPLIT.tsv files"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the joined manifests go")
    parser.add_argument("--splits", nargs="+", default=list(SPLITS), help="splits to join (default: train valid test)")
    parser.add_argument(
        "--job", choices=sorted(JOB_COLUMNS), default="pretrain", help="whose columns they have (default: %(default)s)"
    )
    add_root_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, join, print the sizes."""
    print(size_table(combine_manifests(**vars(build_parser().parse_args(argv)))))


if __name__ == "__main__":
    run(main)

"""Speech of one language with the texts of another, for speech translation: rows that say the same, by their names.

    python -m manifest_tools.translations --source prompts/fr --target prompts/en --out prompts/fr-en

writes prompts/fr-en/SPLIT.tsv (the source's recordings), SPLIT.txt (the target's texts), transcripts/SPLIT.txt (the
source's own, for --label-dir) and left_out/all.tsv. A row's name is its path without the suffix and without the folders
that name its language. What is held out is held out on both sides: a row of train goes whose text, in either language,
is a text of valid or test, and a row of valid whose text is one of test.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.segments import utterance_path

from .command import run
from .files import SPLITS
from .left_out import LeftOut, write_left_out
from .pairs import open_splits, texts_beside
from .summary import SplitSize, size_table
from .updates import update_lines, update_manifest

logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """One recording of one language, or its text."""

    split: str
    path: str  # as its manifest writes it
    samples: int
    text: str | None


class Translation(NamedTuple):
    """A recording, and what it says in the other language."""

    source: Row
    target: Row

    def texts(self) -> set[str]:
        """What must not be known before the test: the texts of both sides, however they are written."""
        return {" ".join(row.text.casefold().split()) for row in self if row.text is not None}


def row_name(path: str, language_folders: int) -> str:
    """ "fr/digits/1.wav" -> "digits/1" for one folder. Raises ValueError when the path has fewer."""
    parts = utterance_path(path).parts
    if not 0 <= language_folders < len(parts):
        raise ValueError(f"--language-folders {language_folders}: {path!r} lies in {len(parts) - 1}; give 0 to that")
    return "/".join(parts[language_folders:])


def read_rows(manifests: dict[str, Manifest], language_folders: int) -> dict[str, Row]:
    """name -> row over all splits. Raises ManifestError for a name that is there twice, in one split or in two."""
    rows: dict[str, Row] = {}
    for split, manifest in manifests.items():
        texts = texts_beside(manifest)
        for index in range(len(manifest)):
            path = str(manifest.row(index)["path"])
            name = row_name(path, language_folders)
            if name in rows:
                raise manifest.error(index, f"{name!r} is also {rows[name].path} in {rows[name].split}", "delete one")
            text = texts[index] if texts is not None else None
            rows[name] = Row(split, path, int(manifest.samples[index]), text)
    return rows


def match_rows(sources: dict[str, Row], targets: dict[str, Row]) -> tuple[list[Translation], list[LeftOut]]:
    """The rows of one name and one split, in the source's order, and (path, reason) of the others."""
    matched, left_out = [], []
    for name, source in sources.items():
        target = targets.get(name)
        if target is None:
            left_out.append(LeftOut(source.path, f"of {source.split}: not in the target"))
        elif target.split != source.split:
            left_out.append(LeftOut(source.path, f"of {source.split}: of {target.split} in the target"))
        else:
            matched.append(Translation(source, target))
    missing = (row for name, row in targets.items() if name not in sources)
    return matched, left_out + [LeftOut(row.path, f"of {row.split}: not in the source") for row in missing]


def hold_out(rows: Sequence[Translation]) -> tuple[list[Translation], list[LeftOut]]:
    """The rows whose texts no stronger split has (test before valid before train), and (path, reason) of the others."""
    texts = {split: {text for row in rows if row.source.split == split for text in row.texts()} for split in SPLITS}
    kept, left_out = [], []
    for row in rows:
        split = row.source.split
        stronger = {"train": ("test", "valid"), "valid": ("test",)}.get(split, ())
        twin = next((other for other in stronger if texts[other] & row.texts()), None)
        if twin:
            left_out.append(LeftOut(row.source.path, f"of {split}: the same text is in {twin}"))
        else:
            kept.append(row)
    return kept, left_out


def prepare_translations(
    source: Path, target: Path, out: Path, *, splits: Sequence[str] = SPLITS, language_folders: int = 1
) -> list[SplitSize]:
    """Write out/SPLIT.tsv, SPLIT.txt, transcripts/SPLIT.txt and left_out/all.tsv; the module's head describes them.

    source: folder of SPLIT.tsv, perhaps with SPLIT.txt. target: of SPLIT.tsv and SPLIT.txt. language_folders: leading
    folders of the rows' paths that are another in each language. Returns the sizes. Run again on the same rows, it
    leaves the files as they are. Raises ManifestError, ValueError or FileNotFoundError with the mend; ValueError, too,
    where ``out`` holds other recordings.
    """
    opened = open_splits(source, target, splits)
    for split, (_, manifest) in opened.items():
        if texts_beside(manifest) is None:
            raise FileNotFoundError(f"{target / split}.txt: no texts of the target; write one line a row")
    sources = read_rows({split: first for split, (first, _) in opened.items()}, language_folders)
    targets = read_rows({split: second for split, (_, second) in opened.items()}, language_folders)
    matched, unmatched = match_rows(sources, targets)
    kept, twins = hold_out(matched)
    left_out = sorted(unmatched + twins)
    for split in opened:
        _check_direction(out / f"{split}.tsv", sources)
    sizes = []
    for split, (manifest, _) in opened.items():
        rows = [row for row in kept if row.source.split == split]
        if not rows:
            raise ValueError(
                f"{split}: no row of {source} has the name of one of {target} (the first are {next(iter(sources))!r} "
                f"and {next(iter(targets))!r}); check --language-folders {language_folders}"
            )
        _write(out, split, manifest, rows)
        sizes.append(SplitSize(split, len(rows), sum(row.source.samples for row in rows)))
    write_left_out(out, "all", left_out)
    return sizes


def _check_direction(path: Path, sources: dict[str, Row]) -> None:
    """Raises ValueError where the manifest of an earlier run holds recordings, and none of them is the source's."""
    try:
        old = Manifest.open(path, JOB_COLUMNS["s2t"]) if path.is_file() else ()
    except ManifestError:  # damaged: it is written anew
        return
    ours = {row.path for row in sources.values()}
    paths = [str(old.row(index)["path"]) for index in range(len(old))]
    if paths and ours.isdisjoint(paths):
        raise ValueError(
            f"{path} holds other recordings, the first {paths[0]!r}: another direction, or another corpus? "
            "Give each an --out of its own, or delete that one"
        )


def _write(out: Path, split: str, manifest: Manifest, rows: Sequence[Translation]) -> None:
    root = Path(manifest.lines[0])
    named = root if root.is_absolute() else os.path.relpath(manifest.root.resolve(), out.resolve())
    update_lines(out / f"{split}.txt", lambda: (row.target.text or "" for row in rows))
    if rows[0].source.text is not None:
        update_lines(out / "transcripts" / f"{split}.txt", lambda: (row.source.text or "" for row in rows))
    update_manifest(out / f"{split}.tsv", named, lambda: ((row.source.path, row.source.samples) for row in rows))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.translations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help="SPLIT.tsv of what is heard")
    parser.add_argument("--target", type=Path, required=True, metavar="DIR", help="SPLIT.tsv and .txt of what is read")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where manifests and texts go")
    parser.add_argument("--splits", nargs="+", default=list(SPLITS), choices=SPLITS, help="default: all three")
    parser.add_argument(
        "--language-folders",
        type=int,
        default=1,
        metavar="N",
        help="leading folders of the rows' paths that name the language (default: %(default)s)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, match, print the sizes."""
    print(size_table(prepare_translations(**vars(build_parser().parse_args(argv)))))


if __name__ == "__main__":
    run(main)

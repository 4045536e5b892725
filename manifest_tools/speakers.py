"""Speaker identification out of folders that hold one voice each, with trials for verification.

    python -m manifest_tools.speakers --voices anna=recordings/anna ben=recordings/ben slt=flite \\
        --unseen carl=recordings/carl dora=recordings/dora --out speakers

A voice is NAME=FOLDER: the rows of FOLDER/{train,valid,test}.tsv (path, samples, ...) get the class NAME. The splits
stay as they are, so that sentences which the voices share are held out of all of them alike. Written are
{train,valid,test}.tsv, dict.txt, and test.trials.txt: pairs of test recordings, of one voice or of two. Voices after
--unseen are in no split: their test rows go to unseen.tsv (path, samples: for --unlabelled) and unseen.trials.txt.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest

from .classes import draw_trials, write_class_dictionary
from .command import add_root_option, run
from .files import SPLITS, read_lines, write_lines
from .summary import SplitSize, size_table

UNSEEN = "unseen"
HELD_OUT = "test"


class Row(NamedTuple):
    """A recording and its voice."""

    path: Path  # absolute
    samples: int
    voice: str


def parse_voices(pairs: Sequence[str], option: str) -> dict[str, Path]:
    """Name -> folder of `NAME=FOLDER`. ValueError naming the pair, for another form or a name given twice."""
    voices: dict[str, Path] = {}
    for pair in pairs:
        name, equals, folder = pair.partition("=")
        if not (name and equals and folder) or name.split() != [name]:
            raise ValueError(f"{option} {pair!r}: write NAME=FOLDER, anna=recordings/anna say")
        if name in voices:
            raise ValueError(f"{option}: two voices are called {name}; name one of them otherwise")
        voices[name] = Path(folder)
    return voices


def _rows(voices: Mapping[str, Path], split: str, *, outside: bool) -> list[Row]:
    """The recordings of all voices. FileNotFoundError when one lacks the split."""
    rows = []
    for voice, folder in voices.items():
        path = folder / f"{split}.tsv"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the voice {voice} has no such split; make it, or leave the voice out")
        manifest = Manifest.open(path, JOB_COLUMNS["s2t"], outside=outside)
        root = manifest.root.resolve()
        rows += [
            Row(Path(os.path.normpath(root / _checked_name(manifest, index))), int(samples), voice)
            for index, samples in enumerate(manifest.samples)
        ]
    return rows


def _checked_name(manifest: Manifest, index: int) -> str:
    """A row's path as it is written. ManifestError for one that leads out of the root, to lie below the common one."""
    manifest.path(index)
    return str(manifest.row(index)["path"])


def prepare_speakers(
    voices: Mapping[str, Path],
    out: Path,
    *,
    unseen: Mapping[str, Path] | None = None,
    trials: int = 2000,
    seed: int = 1,
    allow_outside_root: bool = False,
) -> list[SplitSize]:
    """Write the s2c manifests out/{train,valid,test}.tsv, dict.txt and test.trials.txt; of `unseen` voices unseen.tsv
    and unseen.trials.txt.

    voices, unseen: name -> folder of manifests. trials: most of each kind (one voice, two voices). The root of all is
    the folder common to all recordings, written relative to `out`. Returns the sizes.
    Raises ManifestError, FileNotFoundError or ValueError with the mend.
    """
    unseen = unseen or {}
    both = sorted(set(voices) & set(unseen))
    if both:
        raise ValueError(f"--unseen {', '.join(both)}: among --voices too; a voice is either heard in training or not")
    if len(voices) < 2 or len(unseen) == 1:
        raise ValueError(f"{len(voices)} --voices and {len(unseen)} --unseen: give two at least, or no --unseen")
    if trials < 1:
        raise ValueError(f"--trials is {trials}; give at least 1 of each kind")
    _refuse_other_voices(out / "dict.txt", set(voices))
    rows = {split: _rows(voices, split, outside=allow_outside_root) for split in SPLITS}
    if unseen:
        rows[UNSEEN] = _rows(unseen, HELD_OUT, outside=allow_outside_root)
    root = Path(os.path.commonpath([row.path.parent for found in rows.values() for row in found]))
    write_class_dictionary(out / "dict.txt", (row.voice for row in rows["train"]))
    sizes = []
    for split, found in rows.items():
        named = [(str(row.path.relative_to(root)), row.samples, row.voice) for row in found]
        width = 2 if split == UNSEEN else 3
        write_manifest(out / f"{split}.tsv", os.path.relpath(root, out.resolve()), (row[:width] for row in named))
        if split in (HELD_OUT, UNSEEN):
            lines = draw_trials([(path, voice) for path, _, voice in named], trials, seed=seed)
            write_lines(out / f"{split}.trials.txt", lines)
        sizes.append(SplitSize(split, len(found), sum(row.samples for row in found)))
    return sizes


def _refuse_other_voices(dictionary: Path, voices: set[str]) -> None:
    """A model trained on other voices would not decode any more. Raises ValueError."""
    known = {line.rsplit(" ", 1)[0] for line in read_lines(dictionary)} if dictionary.is_file() else voices
    if known != voices:
        raise ValueError(
            f"{dictionary} lists other voices ({', '.join(sorted(known ^ voices))} on one side only); give another "
            "--out, or delete it if nothing was trained with it"
        )


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.speakers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--voices", nargs="+", required=True, metavar="NAME=FOLDER", help="to be told apart")
    parser.add_argument(
        "--unseen", nargs="+", default=[], metavar="NAME=FOLDER", help="for trials alone (default: none)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where manifests and trials go")
    parser.add_argument(
        "--trials", type=int, default=2000, help="most trials of one voice, and of two (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the draw of trials (default: %(default)s)")
    add_root_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes."""
    options = vars(build_parser().parse_args(argv))
    voices, unseen = (parse_voices(options.pop(name), f"--{name}") for name in ("voices", "unseen"))
    print(size_table(prepare_speakers(voices, unseen=unseen, **options)))


if __name__ == "__main__":
    run(main)

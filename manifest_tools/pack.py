"""Pack the files of manifests into a few tar or zip archives, which are read in place: quicker to copy and to list.

    python -m manifest_tools.pack --manifests prompts/en/{train,valid,test}.tsv --out packed/en
    python -m manifest_tools.pack --manifests corpus/train.tsv --out packed --flac --shard-mb 2000

OUT/NAME.tsv names the members of OUT/NAME-00000.tar and so on: audio and speaker vectors, each once, in the order of
the rows. Lines of NAME.txt and NAME.km go along with their dictionaries and what units.json tells of them. --flac
writes WAV and AIFF of 16 and 24 bits as FLAC, sample for sample; all other files stay as they are. Run again, it makes
the archives that are missing or whose files have changed. Of segments (talk.flac:START:SAMPLES) the recording is
packed, whole and once.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from speecht5_fairseq.data.archives import inside
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.segments import recording_of, segment_of

from .command import add_jobs_option, add_root_option, run, workers
from .parallel import default_jobs, parallel_map
from .shards import Item, Shard, make_shard
from .subset import CLASSES, DICTIONARIES, take_dictionary, take_labels
from .summary import SplitSize, size_table
from .unit_files import inherit
from .updates import update_manifest

logger = logging.getLogger(__name__)

FORMATS = ("tar", "zip")
SHARD_MB = 1000
UNCOMPRESSED = (".wav", ".aif", ".aiff")  # what --flac converts
_BYTES_A_SAMPLE = 2  # by which shards are planned: a plan must not depend on files that may change
_BYTES_A_VECTOR = 2176


class Plan(NamedTuple):
    """The shards of a manifest, and where each file goes: its path -> its new one, relative to the new manifest."""

    shards: list[Shard]
    places: dict[str, str]


class Packed(NamedTuple):
    """A manifest that was packed."""

    size: SplitSize
    shards: int
    made: int  # shards that were not there


def plan_shards(
    manifest: Manifest, out: Path, *, archive: str = "tar", flac: bool = False, shard_mb: int = SHARD_MB
) -> Plan:
    """Which file goes into which archive: as many rows to each as make `shard_mb` MB of 16-bit audio and vectors.

    archive: "tar" or "zip". flac: see the module. Members keep their paths below the old root, and get a number where
    two would have the same.
    """
    plan = Plan([], {})
    taken: set[str] = set()
    items: list[Item] = []
    filled = 0
    for index in range(len(manifest)):
        shard = out / f"{manifest.file.stem}-{len(plan.shards):05d}.{archive}"
        fields = manifest.lines[index + 1].split("\t")
        for name, number in path_column_numbers(manifest).items():
            path = str(manifest.path(index, name))
            source = recording_of(path)
            if source not in plan.places:
                member = _member_name(recording_of(fields[number]), taken, flac=flac and name != "speaker")
                plan.places[source] = f"{shard.name}:{member}"
                items.append(Item(source, member, f"{manifest.file}:{manifest.line_number(index)}"))
            elif source == path:
                continue
            filled += _BYTES_A_VECTOR if name == "speaker" else manifest.length(index, name) * _BYTES_A_SAMPLE
        if items and (filled >= shard_mb * 1_000_000 or index == len(manifest) - 1):
            plan.shards.append(Shard(shard, tuple(items)))
            items, filled = [], 0
    return plan


def path_column_numbers(manifest: Manifest) -> dict[str, int]:
    """The columns that name files: name -> place in the row."""
    names = [path for path, _ in manifest.columns.audio] + (["speaker"] if manifest.has("speaker") else [])
    return {name: manifest.columns.names.index(name) for name in names}


def _member_name(path: str, taken: set[str], *, flac: bool) -> str:
    packed = inside(path)
    own = PurePosixPath(path if packed is None else packed.member)
    name = PurePosixPath(*(part for part in own.parts if part not in ("..", "/")))
    if flac and name.suffix.lower() in UNCOMPRESSED:
        name = name.with_suffix(".flac")
    member, number = str(name), 2
    while member in taken:
        member, number = str(name.with_name(f"{name.stem}-{number}{name.suffix}")), number + 1
    taken.add(member)
    return member


def pack_manifest(
    manifest_file: Path,
    out: Path,
    *,
    job: str = "pretrain",
    archive: str = "tar",
    flac: bool = False,
    shard_mb: int = SHARD_MB,
    allow_outside_root: bool = False,
    n_jobs: int | None = None,
) -> Packed:
    """Write out/NAME.tsv over the archives of `plan_shards`, with NAME's labels; the manifest comes last.

    job: whose columns the manifest has. n_jobs: processes, one an archive; None for one a core.
    Raises ValueError, FileNotFoundError or ManifestError with the mend.
    """
    if out.resolve() == manifest_file.parent.resolve():
        raise ValueError(f"--out {out} is the folder of {manifest_file}; choose another")
    if shard_mb < 1:
        raise ValueError(f"--shard-mb {shard_mb}: give the MB of an archive, 1 or more")
    manifest = Manifest.open(manifest_file, JOB_COLUMNS[job], outside=allow_outside_root)
    plan = plan_shards(manifest, out, archive=archive, flac=flac, shard_mb=shard_mb)
    jobs = default_jobs() if n_jobs is None else n_jobs
    what = {"description": f"pack {manifest_file.name}", "unit": "archive"}
    made = sum(parallel_map(make_shard, plan.shards, total=len(plan.shards), n_jobs=jobs, **what))
    target = out / manifest_file.name
    every = np.arange(len(manifest))
    for ending in DICTIONARIES:
        take_labels(manifest, every, ending, target)
    if job == "s2c":  # whose labels stand in the manifest
        take_dictionary(manifest, CLASSES, target)
    update_manifest(target, ".", partial(_rows, manifest, plan), job)
    inherit([manifest_file.with_suffix(".km")], target.with_suffix(".km"))
    return Packed(SplitSize(target.stem, len(manifest), int(manifest.samples.sum())), len(plan.shards), made)


def _rows(manifest: Manifest, plan: Plan) -> Iterator[list[str]]:
    numbers = path_column_numbers(manifest).values()
    for index in range(len(manifest)):
        fields = manifest.lines[index + 1].split("\t")
        for number in numbers:
            path = str(manifest.root / fields[number])
            segment = segment_of(path)
            place = plan.places[recording_of(path)]
            fields[number] = place if segment is None else segment._replace(recording=place).path()
        yield fields


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifests", nargs="+", type=Path, required=True, metavar="TSV", help="what to pack")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where archives and manifests go")
    parser.add_argument("--format", choices=FORMATS, default="tar", help="of the archives (default: %(default)s)")
    parser.add_argument("--flac", action="store_true", help="pack WAV and AIFF as FLAC, sample for sample")
    parser.add_argument(
        "--shard-mb", type=int, default=SHARD_MB, help="MB of an archive, as 16-bit audio (default: %(default)s)"
    )
    parser.add_argument(
        "--job", choices=sorted(JOB_COLUMNS), default="pretrain", help="whose columns they have (default: %(default)s)"
    )
    add_root_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, pack each manifest, print the sizes."""
    options = vars(build_parser().parse_args(argv))
    manifests, archive, sizes = options.pop("manifests"), options.pop("format"), []
    names = [manifest.stem for manifest in manifests]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"--manifests: {names.count(name)} are called {name}.tsv; give each an --out of its own, or combine "
                "them first (manifest_tools.combine)"
            )
    with workers(options) as n_jobs:
        for manifest in manifests:
            packed = pack_manifest(manifest, archive=archive, **options, n_jobs=n_jobs)
            logger.info("%s: %d archives, %d of them made now", manifest, packed.shards, packed.made)
            sizes.append(packed.size)
    print(size_table(sizes))


if __name__ == "__main__":
    run(main)

"""Noisy versions of clean recordings, for speech enhancement.

    python -m manifest_tools.mix_noise --manifest prompts/en/train.tsv prompts/en/valid.tsv --snr -5 15 \\
        --noise music synthetic:pink --speaker-vectors --speaker-level 1 --out enhance

writes enhance/wav/SPLIT/{noisy,clean}/NAME.wav, SPLIT.tsv (noisy to clean, with the speaker's vector), SPLIT.txt where
the clean recordings have it, and SPLIT.mix.tsv: what was mixed, of which noise, at which ratio. The noise of a row is
drawn from its path alone, so more rows never change the others. Noise comes from sound files (any rate and length),
from `music` (Debian's asterisk-moh-opsound-g722), from `synthetic:white|pink|brown|hum`, or is `synthetic:babble` of
the recordings of --babble. The splits never share noise: see manifest_tools.noises; for kinds of noise that training
never met, run the tool once a split. Run again, it mixes what is missing, and recordings that are others now.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speecht5_fairseq.data.audio import read_audio, write_audio
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, TextLines, write_manifest

from .command import add_jobs_option, add_root_option, run, workers
from .corpora import sound_name
from .files import hash_fraction, write_lines, write_text
from .levels import SILENT_POWER, mix
from .mixtures import HEADER, Mixed, read_mixed
from .noises import KINDS, SYNTHETIC_PREFIX, Noise, Source, find_source, sounds_hash, split_of_manifest
from .origins import Origin
from .parallel import parallel_map
from .summary import SplitSize, size_table
from .voices import VectorOptions, add_vector_options, target_vectors, vector_options

logger = logging.getLogger(__name__)

SOUNDS = "sounds"  # hashes of what --noise names
DRAWS = 10  # places tried for noise that is not silence


class Row(NamedTuple):
    """One recording to be mixed."""

    name: str  # as its manifest writes it
    audio: Path
    recording: Origin | None  # None where there is no such file
    place: str  # manifest and line, for messages
    noisy: Path
    clean: Path


class Mixer(NamedTuple):
    """How rows are mixed: sources, each as likely as the others, a range of ratios in dB, the run's seed."""

    sources: tuple[Source, ...]
    snr: tuple[float, float]
    seed: int

    def __call__(self, row: Row) -> Mixed:
        """Write the row's noisy and clean files."""
        rng = np.random.default_rng(int(hash_fraction(row.name, f"mix-{self.seed}") * 2**53))
        speech = read_audio(row.audio)
        snr_db = float(rng.uniform(*self.snr))
        try:
            noise = self._audible(rng, len(speech))
            mixture = mix(speech, noise.wave, snr_db)
        except ValueError as error:
            raise ValueError(f"{row.place}: {row.audio}: {error}; delete the row, or mend the file") from error
        write_audio(row.clean, mixture.clean)
        write_audio(row.noisy, mixture.noisy)
        numbers = round(snr_db, 2), round(mixture.gain, 4), len(speech)
        return Mixed(row.name, noise.label, noise.offset, *numbers, row.recording)

    def _audible(self, rng: np.random.Generator, samples: int) -> Noise:
        source = self.sources[rng.integers(len(self.sources))]
        for _ in range(DRAWS):
            noise = source.draw(rng, samples)
            if float(np.mean(np.square(noise.wave, dtype=np.float64))) >= SILENT_POWER:
                break
        return noise


def _rows(manifest: Manifest, out: Path) -> list[Row]:
    folder = out / "wav" / manifest.file.stem
    rows: dict[str, Row] = {}
    for index in range(len(manifest)):
        name = str(manifest.row(index)["path"])
        target = sound_name(name)
        if target in rows:
            raise manifest.error(index, f"{name!r} and {rows[target].name!r} would be one file", "rename or delete one")
        place = f"{manifest.file}:{manifest.line_number(index)}"
        audio, files = manifest.path(index), (folder / "noisy" / target, folder / "clean" / target)
        rows[target] = Row(name, audio, Origin.of(audio, out), place, *files)
    return list(rows.values())


def _is_done(row: Row, known: Mixed | None) -> bool:
    """Whether both files are there, of the recording as it is."""
    return known is not None and known.recording == row.recording and row.noisy.is_file() and row.clean.is_file()


def _mix_all(rows: Sequence[Row], mixer: Mixer, listing: Path, n_jobs: int) -> list[Mixed]:
    """Mix what is missing. Each row is noted as soon as it is done, so that an interrupted run goes on where it was."""
    journal = listing.with_suffix(".part")
    known = {**read_mixed(listing), **read_mixed(journal)}
    done = {row.name: known[row.name] for row in rows if _is_done(row, known.get(row.name))}
    missing = [row for row in rows if row.name not in done]
    write_lines(journal, map(Mixed.line, done.values()))  # without a torn line, which the next would be a part of
    if missing:
        listing.unlink(missing_ok=True)  # a stop leaves mixtures that it does not tell of
    with journal.open("a", encoding="utf-8", newline="\n") as file:
        results = parallel_map(mixer, missing, total=len(missing), n_jobs=n_jobs, description=f"mix {listing.stem}")
        for mixed in results:
            done[mixed.name] = mixed
            file.write(mixed.line() + "\n")
            file.flush()
    ordered = [done[row.name] for row in rows]
    write_lines(listing, ["\t".join(HEADER), *map(Mixed.line, ordered)])
    journal.unlink()
    return ordered


def _check_settings(path: Path, settings: dict) -> None:
    """Mixtures of two settings, or of noise that changed meanwhile, must not meet in one split."""
    known = json.loads(path.read_text()) if path.is_file() else settings
    given = [name for name in settings if name != SOUNDS and known.get(name) != settings[name]]
    changed = ", ".join(f"--{name} was {known.get(name)}" for name in given)
    if not changed and known.get(SOUNDS, settings[SOUNDS]) != settings[SOUNDS]:  # 0.6.0 wrote none, and all is new
        changed = "--noise had other sound files"
    if changed:
        raise ValueError(f"{path}: the mixtures there are of other options ({changed}); choose another --out")
    write_text(path, json.dumps(settings) + "\n")


def _copy_texts(manifest: Manifest, out: Path) -> None:
    texts = manifest.file.with_suffix(".txt")
    if not texts.is_file():
        return
    lines = TextLines(texts)
    if len(lines) != len(manifest):
        raise ValueError(f"{texts} has {len(lines)} lines, {manifest.file} {len(manifest)} rows; make it again")
    write_lines(out / texts.name, lines)


def _manifest_rows(
    rows: Sequence[Row], mixed: Sequence[Mixed], vectors: Sequence[Path], root: Path
) -> Iterator[tuple[str, int, str, int, str]]:
    for row, line, vector in zip(rows, mixed, vectors, strict=True):
        noisy, clean, speaker = (os.path.relpath(path, root) for path in (row.noisy, row.clean, vector))
        yield noisy, line.samples, clean, line.samples, speaker


def mix_manifests(
    manifests: Sequence[Path],
    out: Path,
    *,
    noise: Sequence[str],
    snr: tuple[float, float] = (-5.0, 15.0),
    seed: int = 1,
    babble_dir: Path | None = None,
    cache: Path | None = None,
    vectors: VectorOptions | None = None,
    allow_outside_root: bool = False,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write noisy and clean recordings of `manifests` to `out`, and an s2s manifest NAME.tsv of each.

    noise: sources, each drawn as often as the others. snr: dB, from and to. babble_dir: folder of the manifests of
    other talkers. cache: where downloads and decoded music go (default: out/download). vectors: how to make speaker
    vectors; None takes the manifests' third column. Returns the sizes. Raises DataError, ValueError or OSError.
    """
    if not snr[0] <= snr[1]:
        raise ValueError(f"--snr {snr[0]:g} {snr[1]:g}: give the lower ratio (dB) first")
    if babble_dir is not None and f"{SYNTHETIC_PREFIX}babble" not in noise:
        raise ValueError("--babble has no effect without --noise synthetic:babble: leave it out")
    out = out.resolve()  # the manifests name files relative to it
    opened = {path.stem: Manifest.open(path, JOB_COLUMNS["pretrain"], outside=allow_outside_root) for path in manifests}
    if len(opened) < len(manifests):
        raise ValueError("two of --manifest have one name: give them an --out each, or combine them first")
    speakers = target_vectors(opened, out / "speakers", vectors, n_jobs)
    sizes = []
    for split, manifest in opened.items():
        sources = [
            find_source(
                name,
                split_of_manifest(manifest.file),
                cache or out / "download",
                babble_dir,
                outside=allow_outside_root,
            )
            for name in noise
        ]
        settings = {"noise": list(noise), "snr": list(snr), "seed": seed, "babble": babble_dir and str(babble_dir)}
        settings[SOUNDS] = [sounds_hash(source) for source in sources]
        _check_settings(out / f"{split}.mix.json", settings)
        rows = _rows(manifest, out)
        mixed = _mix_all(rows, Mixer(tuple(sources), snr, seed), out / f"{split}.mix.tsv", n_jobs)
        _copy_texts(manifest, out)
        lines = _manifest_rows(rows, mixed, speakers[split], out / "wav")
        write_manifest(out / f"{split}.tsv", "wav", lines)
        quieter = sum(line.gain < 1 for line in mixed)
        logger.info(
            "%s: %d of %d rows turned down, noisy and clean alike, to avoid clipping", split, quieter, len(rows)
        )
        sizes.append(SplitSize(split, len(rows), sum(line.samples for line in mixed)))
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.mix_noise",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--manifest", nargs="+", type=Path, required=True, help="{train,valid,test}.tsv of clean speech"
    )
    parser.add_argument(
        "--noise",
        nargs="+",
        required=True,
        metavar="FOLDER|FILE|music|synthetic:KIND",
        help=f"sources, each drawn as often as the others; KIND: {', '.join(KINDS)}",
    )
    parser.add_argument(
        "--snr", nargs=2, type=float, default=(-5.0, 15.0), metavar=("LOW", "HIGH"), help="dB (default: -5 15)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where everything is written")
    parser.add_argument("--babble", type=Path, metavar="DIR", help="manifests of the talkers of synthetic:babble")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other noise (default: %(default)s)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="downloads and decoded music (default: OUT/download)")
    add_vector_options(parser)
    add_root_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, mix, print the sizes."""
    options = vars(build_parser().parse_args(argv))
    vectors = vector_options(options)
    with workers(options) as n_jobs:
        sizes = mix_manifests(
            options.pop("manifest"),
            options.pop("out"),
            snr=tuple(options.pop("snr")),
            babble_dir=options.pop("babble"),
            vectors=vectors,
            n_jobs=n_jobs,
            **options,
        )
    print(size_table(sizes))


if __name__ == "__main__":
    run(main)

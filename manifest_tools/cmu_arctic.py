"""CMU ARCTIC for voice conversion: every voice to every other, by the same sentences.

    python -m manifest_tools.cmu_arctic --corpus cmu_arctic --out conversion
    python -m manifest_tools.cmu_arctic --corpus cmu_arctic --out conversion --pairs bdl:slt rms:slt

The corpus (http://festvox.org/cmu_arctic) has cmu_us_VOICE_arctic/wav/arctic_a0001.wav and etc/txt.done.data. The split
is that of SpeechT5 (arXiv 2110.07205): of the 1,132 sentences the first 932 train, the last 100 test, and
the 100 between validate. A sentence is counted by its name, so a missing recording moves no other one. Recordings that
are broken are left out and listed. At the end everything is checked.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from speecht5_fairseq.data.text_normalisation import find_normaliser

from .check import check_data
from .command import add_jobs_option, run, workers
from .corpora import (
    add_corpus_options,
    add_extractor_option,
    add_normalise_option,
    contents,
    existing_folder,
    finish,
)
from .files import SPLITS, read_lines
from .headers import measure
from .left_out import LeftOut, count_kinds, left_out_file, write_left_out
from .summary import SplitSize
from .updates import update_lines, update_manifest
from .voices import Audio, make_vectors, unusable

VOICES = ("clb", "bdl", "slt", "rms")  # two women and two men, all of the United States
SENTENCES = {"a": 593, "b": 539}  # arctic_a0001 to a0593, then b0001 to b0539: 1,132
TRAINING = 932
VALIDATION = 100
Voice = dict[str, Audio]  # sentence -> recording


def split_of(sentence: str) -> str | None:
    """The split of "arctic_a0001"; None for a name outside the 1,132."""
    match = re.fullmatch(r"arctic_([ab])(\d{4})", sentence)
    if match is None or not 1 <= int(match[2]) <= SENTENCES[match[1]]:
        return None
    place = int(match[2]) + (SENTENCES["a"] if match[1] == "b" else 0)
    if place <= TRAINING:
        return "train"
    return "valid" if place <= TRAINING + VALIDATION else "test"


def read_prompts(path: Path) -> dict[str, str]:
    """Sentence -> text, from lines `( arctic_a0001 "Text." )`. Raises ValueError naming file and line."""
    texts = {}
    for number, line in enumerate(read_lines(path), start=1):
        match = re.fullmatch(r'\(\s*(\S+)\s+"(.*)"\s*\)', line.strip())
        if match:
            texts[match[1]] = match[2].replace('\\"', '"')
        elif line.strip():
            raise ValueError(f'{path}:{number}: {line!r} is not `( NAME "TEXT" )`; mend the line')
    return texts


def voice_folder(corpus: Path, voice: str) -> Path:
    """The folder of a voice. FileNotFoundError with the mend."""
    content = "one folder cmu_us_VOICE_arctic for each of --voices or --pairs"
    return existing_folder(corpus / f"cmu_us_{voice}_arctic", f"--corpus {corpus}", content)


def _read_voice(corpus: Path, voice: str, out: Path, n_jobs: int) -> tuple[Voice, list[LeftOut]]:
    """The recordings of a voice, and those that are broken."""
    folder = voice_folder(corpus, voice)
    names = sorted(path.relative_to(corpus).as_posix() for path in (folder / "wav").glob("*.wav"))
    if not names:
        raise FileNotFoundError(f"{folder}: no wav/arctic_*.wav in it. {contents(folder)}; unpack the voice there")
    rows, broken = measure(corpus, names, out, voice, n_jobs=n_jobs)
    return {PurePosixPath(row.name).stem: row for row in rows}, broken


def parse_pairs(pairs: Sequence[str], voices: Sequence[str]) -> list[tuple[str, str]]:
    """(source, target) of `SOURCE:TARGET`; without any, each voice to every other. ValueError naming the pair."""
    if not pairs:
        return [(source, target) for source in voices for target in voices if source != target]
    parsed = []
    for pair in pairs:
        source, colon, target = pair.partition(":")
        if not (source and colon and target) or source == target:
            raise ValueError(f"--pairs {pair!r}: write two different voices as SOURCE:TARGET, bdl:slt say")
        parsed.append((source, target))
    return parsed


def _voice_vectors(
    corpus: Path, voices: Mapping[str, Voice], out: Path, extractor: str, n_jobs: int
) -> tuple[dict[str, Path], list[LeftOut]]:
    """voice -> the mean vector of its training sentences (those of the test must not be known to it); and the training
    sentences that cannot be decoded, or are silent."""
    rows = {
        voice: [row for sentence, row in spoken.items() if split_of(sentence) == "train"]
        for voice, spoken in voices.items()
    }
    empty = [voice for voice, found in rows.items() if not found]
    if empty:
        raise ValueError(f"--corpus {corpus}: no training sentence of {', '.join(empty)}; unpack these voices again")
    made = make_vectors(
        {"train": (corpus, [row for found in rows.values() for row in found])},
        out,
        extractor=extractor,
        speaker_of=lambda name: name.split("/")[0],
        n_jobs=n_jobs,
    )["train"]
    broken = [LeftOut(name, unusable(why)) for name, why in made.items() if isinstance(why, str)]
    vectors = {
        voice: next((path for row in found if isinstance(path := made[row.name], Path)), None)
        for voice, found in rows.items()
    }
    if silent := [voice for voice, path in vectors.items() if path is None]:
        raise ValueError(
            f"--corpus {corpus}: no recording of {', '.join(silent)} can be used; unpack these voices again"
        )
    return {voice: path for voice, path in vectors.items() if path is not None}, broken


def _pair(source: Voice, target: Voice) -> tuple[list[str], list[LeftOut]]:
    """The sentences of both voices, in order; (path, reason) of the recordings without a partner or a place."""
    both = [name for name in source if name in target and split_of(name)]
    paired = set(both)
    left_out = [
        LeftOut(row.name, "not one of the 1,132 sentences" if split_of(name) is None else "the other voice lacks it")
        for voice in (source, target)
        for name, row in voice.items()
        if name not in paired
    ]
    return both, left_out


def prepare_cmu_arctic(
    corpus: Path,
    out: Path,
    *,
    voices: Sequence[str] = VOICES,
    pairs: Sequence[str] = (),
    normaliser: str = "none",
    extractor: str = "statistics",
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write the s2s manifests out/{train,valid,test}.tsv, the sentences SPLIT.txt, and left_out/pairs.tsv.

    pairs: "SOURCE:TARGET"; none: each of `voices` to every other. The vector of a voice is the mean over its training
    sentences, in out/speakers. Returns the sizes, in samples of the sources; what is left out counts with train.
    Raises FileNotFoundError or ValueError with the mend.
    """
    corpus, normalise = corpus.resolve(), find_normaliser(normaliser)
    wanted = parse_pairs(pairs, voices)
    read = {v: _read_voice(corpus, v, out, n_jobs) for v in dict.fromkeys(voice for pair in wanted for voice in pair)}
    spoken = {voice: found for voice, (found, _) in read.items()}
    left_out = [row for _, broken in read.values() for row in broken]
    targets = {target: spoken[target] for _, target in wanted}
    vectors, silent = _voice_vectors(corpus, targets, out / "speakers", extractor, n_jobs)
    left_out += silent
    spoken = _without(spoken, silent)
    texts = {voice: read_prompts(voice_folder(corpus, voice) / "etc/txt.done.data") for voice in targets}
    rows: dict[str, list[tuple]] = {split: [] for split in SPLITS}
    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    for source, target in wanted:
        both, missing = _pair(spoken[source], spoken[target])
        left_out += missing
        for name in both:
            split = split_of(name) or ""
            if name not in texts[target]:
                raise ValueError(f"{voice_folder(corpus, target)}/etc/txt.done.data: no {name}; add its text")
            vector = os.path.relpath(vectors[target], corpus)
            rows[split].append((*spoken[source][name], *spoken[target][name], vector))
            lines[split].append(normalise(texts[target][name]))
    write_left_out(out, "pairs", left_out := sorted(set(left_out)))
    if not any(rows.values()):
        raise ValueError(f"no sentence is left that two voices have; see {left_out_file(out, 'pairs')}")
    counted = {"train": left_out}  # of all splits: a recording without a partner, or a place, has none
    return [
        _write(out, corpus, split, rows[split], lines[split], counted.get(split)) for split in SPLITS if rows[split]
    ]


def _without(spoken: Mapping[str, Voice], broken: Sequence[LeftOut]) -> dict[str, Voice]:
    names = {row.name for row in broken}
    return {
        voice: {sentence: row for sentence, row in found.items() if row.name not in names}
        for voice, found in spoken.items()
    }


def _write(
    out: Path, corpus: Path, split: str, rows: Sequence[tuple], lines: Sequence[str], left_out: Sequence[LeftOut] | None
) -> SplitSize:
    update_lines(out / f"{split}.txt", lambda: lines)
    update_manifest(out / f"{split}.tsv", corpus, lambda: rows, "s2s")
    voices = {name.split("/")[0] for row in rows for name in (row[0], row[2])}
    kinds = None if left_out is None else count_kinds(left_out)
    return SplitSize(split, len(rows), sum(row[1] for row in rows), len(voices), kinds)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.cmu_arctic",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_corpus_options(parser, "the folders cmu_us_VOICE_arctic")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--voices", nargs="+", default=list(VOICES), help=f"each to every other (default: {' '.join(VOICES)})"
    )
    chosen.add_argument("--pairs", nargs="+", default=[], metavar="SOURCE:TARGET", help="only these, in place of all")
    add_normalise_option(parser)
    add_extractor_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    level, normaliser = options.pop("check"), options.pop("normalise")
    with workers(options) as n_jobs:
        sizes = prepare_cmu_arctic(**options, normaliser=normaliser, n_jobs=n_jobs)
    finish(sizes, check_data("s2s", options["out"], splits=[size.split for size in sizes], level=level))


if __name__ == "__main__":
    run(main)

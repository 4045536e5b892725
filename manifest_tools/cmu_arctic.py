"""CMU ARCTIC for voice conversion: every voice to every other, by the same sentences.

    python -m manifest_tools.cmu_arctic --corpus cmu_arctic --out conversion
    python -m manifest_tools.cmu_arctic --corpus cmu_arctic --out conversion --pairs bdl:slt rms:slt

The corpus (http://festvox.org/cmu_arctic) has cmu_us_VOICE_arctic/wav/arctic_a0001.wav and etc/txt.done.data. The split
is that of SpeechT5 (arXiv 2110.07205): of the 1,132 sentences the first 932 train, the last 100 test, and
the 100 between validate. A sentence is counted by its name, so a missing recording moves no other one.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from speecht5_fairseq.data.manifest import write_manifest
from speecht5_fairseq.data.text_normalisation import find_normaliser

from .command import add_jobs_option, run
from .corpora import LeftOut, add_extractor_option, existing_folder, measure, write_left_out
from .files import SPLITS, read_lines, write_lines
from .parallel import default_jobs
from .summary import SplitSize, size_table
from .voices import Audio, make_vectors

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


def _read_voice(corpus: Path, voice: str, n_jobs: int) -> Voice:
    files = sorted((voice_folder(corpus, voice) / "wav").glob("*.wav"))
    if not files:
        raise FileNotFoundError(f"{voice_folder(corpus, voice) / 'wav'}: no arctic_*.wav; unpack the voice there")
    names = [path.relative_to(corpus).as_posix() for path in files]
    rows = measure(corpus, names, n_jobs=n_jobs, description=f"headers {voice}")
    return {path.stem: row for path, row in zip(files, rows, strict=True)}


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
) -> dict[str, Path]:
    """voice -> the mean vector of its training sentences: those of the test must not be known to it."""
    rows = {
        voice: [row for sentence, row in spoken.items() if split_of(sentence) == "train"]
        for voice, spoken in voices.items()
    }
    empty = [voice for voice, found in rows.items() if not found]
    if empty:
        raise ValueError(f"--corpus {corpus}: no training sentence of {', '.join(empty)}; unpack these voices again")
    paths = make_vectors(
        {"train": (corpus, [row for found in rows.values() for row in found])},
        out,
        extractor=extractor,
        speaker_of=lambda name: name.split("/")[0],
        n_jobs=n_jobs,
    )["train"]
    vectors, start = {}, 0
    for voice, found in rows.items():
        vectors[voice], start = paths[start], start + len(found)
    return vectors


def _pair(source: Voice, target: Voice) -> tuple[list[str], list[LeftOut]]:
    """The sentences of both voices, in order; (path, reason) of the recordings without a partner or a place."""
    both = [name for name in source if name in target and split_of(name)]
    paired = set(both)
    left_out = [
        (row.name, "not one of the 1,132 sentences" if split_of(name) is None else "the other voice lacks it")
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
    """Write the s2s manifests out/{train,valid,test}.tsv, the sentences SPLIT.txt, and left_out.tsv.

    pairs: "SOURCE:TARGET"; none: each of `voices` to every other. The vector of a voice is the mean over its training
    sentences, in out/speakers. Returns the sizes, in samples of the sources.
    Raises FileNotFoundError, AudioError or ValueError with the mend.
    """
    corpus, normalise = corpus.resolve(), find_normaliser(normaliser)
    wanted = parse_pairs(pairs, voices)
    spoken = {voice: _read_voice(corpus, voice, n_jobs) for voice in dict.fromkeys(v for pair in wanted for v in pair)}
    targets = {target: spoken[target] for _, target in wanted}
    vectors = _voice_vectors(corpus, targets, out / "speakers", extractor, n_jobs)
    texts = {voice: read_prompts(voice_folder(corpus, voice) / "etc/txt.done.data") for voice in targets}
    rows: dict[str, list[tuple]] = {split: [] for split in SPLITS}
    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    left_out: list[LeftOut] = []
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
    write_left_out(out, "pairs", sorted(set(left_out)))
    return [_write(out, corpus, split, rows[split], lines[split]) for split in SPLITS if rows[split]]


def _write(out: Path, corpus: Path, split: str, rows: Sequence[tuple], lines: Sequence[str]) -> SplitSize:
    write_lines(out / f"{split}.txt", lines)
    write_manifest(out / f"{split}.tsv", corpus, rows)
    return SplitSize(split, len(rows), sum(row[1] for row in rows))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.cmu_arctic",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="holds cmu_us_VOICE_arctic folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where manifests, texts, vectors go")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--voices", nargs="+", default=list(VOICES), help=f"each to every other (default: {' '.join(VOICES)})"
    )
    chosen.add_argument("--pairs", nargs="+", default=[], metavar="SOURCE:TARGET", help="only these, in place of all")
    parser.add_argument(
        "--normalise", default="none", metavar="en|none|...", help="as manifest_tools.recordings (default: none)"
    )
    add_extractor_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes."""
    options = vars(build_parser().parse_args(argv))
    n_jobs, normaliser = options.pop("jobs") or default_jobs(), options.pop("normalise")
    print(size_table(prepare_cmu_arctic(**options, normaliser=normaliser, n_jobs=n_jobs)))


if __name__ == "__main__":
    run(main)

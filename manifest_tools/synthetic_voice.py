"""The texts of a corpus spoken by a program: a second voice for voice conversion, or speech where there is none.

    python -m manifest_tools.synthetic_voice --manifest prompts/en/train.tsv prompts/en/test.tsv \\
        --engine flite --voice slt --out flite

writes flite/wav/NAME with the names of the manifest's rows (.wav), flite/SPLIT.tsv and SPLIT.txt, 16 kHz mono. The
texts are SPLIT.txt beside each manifest unless --texts names others. Without a manifest, texts of a sentence a line
become flite/wav/slt/SPLIT-00001.wav and so on:

    python -m manifest_tools.synthetic_voice --texts sentences/train.txt sentences/valid.txt --out flite

Run again, it speaks only what is missing or has another text. `manifest_tools.pairs` makes pairs of the result and the
recordings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from speecht5_fairseq.data.audio import audio_info, write_audio
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, TextLines, write_manifest

from .command import add_jobs_option, run, workers
from .corpora import sound_name
from .files import read_lines, write_lines, write_text
from .parallel import parallel_map
from .speech_engines import ENGINES, Speaker, find_speaker
from .summary import SplitSize, size_table


class Utterance(NamedTuple):
    """One text to be spoken."""

    name: str  # below the folder of sounds
    text: str
    place: str  # file and line, for messages


class Split(NamedTuple):
    """The utterances of one manifest or text file."""

    name: str
    utterances: list[Utterance]


def _rows_of(manifest: Manifest, texts: Path) -> list[Utterance]:
    """The texts of a manifest's rows, under their names."""
    lines = TextLines(texts)
    if len(lines) != len(manifest):
        raise ValueError(f"{texts} has {len(lines)} lines, {manifest.file} {len(manifest)} rows; make it again")
    rows: dict[str, Utterance] = {}
    for index, text in enumerate(lines):
        name = sound_name(str(manifest.row(index)["path"]))
        place = f"{texts}:{index + 1}"
        if not text.strip():
            raise ValueError(f"{place}: no text; write it, or delete it and line {index + 2} of {manifest.file}")
        if name in rows:
            raise manifest.error(index, f"a second row for {name!r}", "rename or delete one")
        rows[name] = Utterance(name, text, place)
    return list(rows.values())


def _lines_of(texts: Path, voice: str) -> list[Utterance]:
    """The lines of a text without a manifest; the names are of the voice, the file and the line's number."""
    folder, utterances = Path(voice).stem, []
    for number, text in enumerate(read_lines(texts), start=1):
        place = f"{texts}:{number}"
        if not text.strip():
            raise ValueError(f"{place}: no text; write it, or delete the line")
        utterances.append(Utterance(f"{folder}/{texts.stem}-{number:05d}.wav", text, place))
    return utterances


def _splits(manifests: Sequence[Path], texts: Sequence[Path], voice: str) -> list[Split]:
    """What is to be spoken. FileNotFoundError or ValueError with the mend."""
    if not manifests and not texts:
        raise ValueError("nothing to speak: give --manifest, --texts, or both")
    if manifests and texts and len(texts) != len(manifests):
        raise ValueError(f"--texts names {len(texts)} files for {len(manifests)} manifests: give one for each, or none")
    named = list(manifests or texts)
    if len({path.stem for path in named}) < len(named):
        raise ValueError(f"two of {'--manifest' if manifests else '--texts'} have one name: give them an --out each")
    for path in texts:
        if not path.is_file():
            raise FileNotFoundError(f"--texts {path}: no such file; give a file with a sentence a line")
    if not manifests:
        return [Split(path.stem, _lines_of(path, voice)) for path in texts]
    beside = texts or [path.with_suffix(".txt") for path in manifests]
    both = zip(manifests, beside, strict=True)
    return [Split(path.stem, _rows_of(Manifest.open(path, JOB_COLUMNS["s2t"]), lines)) for path, lines in both]


def _speak(utterance: Utterance, speaker: Speaker, folder: Path) -> int:
    """Speak one text unless its sound is there; returns its samples."""
    target = folder / utterance.name
    if target.is_file():
        return audio_info(target).samples
    try:
        wave = speaker.speak(utterance.text)
    except (ValueError, RuntimeError) as error:
        raise type(error)(f"{utterance.place}: {error}; write the text in another way, or delete the row") from error
    write_audio(target, wave)
    return len(wave)


def _drop_outdated(utterances: Sequence[Utterance], record: Path, folder: Path) -> None:
    """Delete sounds whose text is not what `record` says was spoken; write down what will be."""
    lines = (line.partition("\t") for line in (read_lines(record) if record.is_file() else ()))
    spoken = {name: text for name, _, text in lines}
    for utterance in utterances:
        if spoken.get(utterance.name) != utterance.text:
            (folder / utterance.name).unlink(missing_ok=True)
    write_lines(record, (f"{utterance.name}\t{utterance.text}" for utterance in utterances))


def _check_voice(record: Path, speaker: Speaker) -> None:
    voice = {"engine": speaker.engine, "voice": speaker.voice}
    if record.is_file() and (known := json.loads(record.read_text())) != voice:
        raise ValueError(
            f"{record}: --engine {known['engine']} --voice {known['voice']} spoke there; choose another --out"
        )
    write_text(record, json.dumps(voice) + "\n")


def speak_texts(
    out: Path,
    *,
    manifests: Sequence[Path] = (),
    texts: Sequence[Path] = (),
    engine: str = "flite",
    voice: str | None = None,
    cache: Path | None = None,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Speak texts into out/wav, and write out/SPLIT.tsv and SPLIT.txt.

    manifests: whose rows name the sounds; without any, `texts` are spoken, under names of their own. texts: one file
    for each manifest (default: NAME.txt beside NAME.tsv). voice: default the engine's own. cache: where programs are
    unpacked that are not installed (default: out/download). Returns the sizes.
    Raises FileNotFoundError, ManifestError, ValueError or RuntimeError with the mend.
    """
    speaker = find_speaker(engine, voice, cache or out / "download")
    splits = _splits(manifests, texts, speaker.voice)
    _check_voice(out / "synthetic_voice.json", speaker)
    return [_speak_split(split, speaker, out, n_jobs) for split in splits]


def _speak_split(split: Split, speaker: Speaker, out: Path, n_jobs: int) -> SplitSize:
    """Speak what is not there yet; write the manifest and the texts."""
    name, utterances = split
    _drop_outdated(utterances, out / f"{name}.spoken.tsv", out / "wav")
    speak = partial(_speak, speaker=speaker, folder=out / "wav")
    total = len(utterances)
    lengths = list(parallel_map(speak, utterances, total=total, n_jobs=n_jobs, description=f"speak {name}"))
    write_lines(out / f"{name}.txt", (utterance.text for utterance in utterances))
    rows = ((utterance.name, samples) for utterance, samples in zip(utterances, lengths, strict=True))
    write_manifest(out / f"{name}.tsv", "wav", rows)
    return SplitSize(name, total, sum(lengths))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.synthetic_voice",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--manifest", nargs="+", type=Path, default=[], help="SPLIT.tsv whose rows name the sounds")
    parser.add_argument(
        "--texts",
        nargs="*",
        type=Path,
        default=[],
        help="one a manifest (default: SPLIT.txt beside); or texts without a manifest, a sentence a line",
    )
    parser.add_argument("--engine", choices=tuple(ENGINES), default="flite", help="default: %(default)s")
    parser.add_argument(
        "--voice",
        help="flite: awb, kal, kal16, rms, slt or a .flitevox file (default: slt); espeak-ng: a language, perhaps with "
        "a variant, as fr+f3 (default: en-us)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where everything is written")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="where a program is unpacked if none is installed (OUT/download)"
    )
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, speak, print the sizes."""
    options = vars(build_parser().parse_args(argv))
    manifests = options.pop("manifest")
    with workers(options) as n_jobs:
        print(size_table(speak_texts(manifests=manifests, **options, n_jobs=n_jobs)))


if __name__ == "__main__":
    run(main)

"""A small real corpus in three languages: recorded telephone prompts, one speaker a language, about 25 minutes each.

English, French and Spanish recordings of the same name say the same thing, so a name is in the same split in every
language. The recordings are Asterisk's core sounds (CC BY-SA 3.0): see `ATTRIBUTION.txt` in the output.

    python -m manifest_tools.prompts --out prompts --languages en fr es
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.data.audio import write_audio
from speecht5_fairseq.data.text_normalisation import normalise

from .command import run
from .files import SPLITS, split_by_hash, write_text
from .left_out import LeftOut, write_left_out
from .prompts_corrections import TEXTS, WORDS
from .prompts_sources import ARCHIVE_URL, G722_SAMPLES_PER_BYTE, PromptFiles, decode_g722, fetch, read_transcripts
from .summary import SplitSize, size_table
from .updates import check_old_splits, update_lines, update_manifest

logger = logging.getLogger(__name__)

LANGUAGES = ("en", "fr", "es")
WAV_ROOT = "../wav"  # relative to the manifests, so that the folder can be moved
SPLIT_SALT = "prompts-1"  # part of the split's definition: another salt is another split
SINGLE_WORD_FOLDERS = ("digits", "letters", "phonetic")  # a third of the names, one or two words each
# Shares of (valid, test): few single words are held out, so that the test is about sentences of all lengths
SINGLE_WORD_SHARES = (0.04, 0.06)
SENTENCE_SHARES = (0.09, 0.14)

ATTRIBUTION = """\
The recordings under wav/ and the texts are derived from "Asterisk Core Sounds" 1.6.1,
licensed under Creative Commons Attribution-ShareAlike 3.0 (https://creativecommons.org/licenses/by-sa/3.0/).
English and Spanish: Copyright 2003-2010 Allison Smith (http://www.theivrvoice.com).
French: Copyright 2006-2008 June Wallack (http://www.junewallack.com); translated by Clod Patry,
Kristopher Lalletti and June Wallack.
Source: http://downloads.asterisk.org/pub/telephony/sounds/
Changes: decoded from G.722 to 16 kHz 16-bit WAV; transcripts written as spoken, without punctuation, and corrected.
What you make of them and pass on must be under the same licence and keep this notice.
"""


class Prompt(NamedTuple):
    """One recording that is kept."""

    name: str  # the same in all languages for the same meaning
    text: str  # as spoken, normalised
    samples: int


def spoken_text(raw: str, language: str) -> str:
    """What is said: stage directions in brackets, parentheses or angle brackets removed, normalised, mended."""
    said = re.sub(r"\[[^]]*\]|\([^)]*\)|<[^>]*>", " ", raw)
    text = normalise(said, language)
    for wrong, right in sorted(WORDS[language].items(), key=lambda pair: -len(pair[0])):
        text = re.sub(rf"(?<![\w']){re.escape(wrong)}(?![\w'])", right, text)
    return text


def split_of(name: str) -> str:
    """The split of a recording, by its name alone: the same whatever languages are prepared."""
    shares = SINGLE_WORD_SHARES if name.split("/")[0] in SINGLE_WORD_FOLDERS else SENTENCE_SHARES
    return split_by_hash(name, SPLIT_SALT, *shares)


def read_held_out(path: Path) -> dict[str, str]:
    """name -> split, from lines `name<TAB>valid|test`. Raises ValueError naming file and line."""
    held_out = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        name, _, split = line.partition("\t")
        if split not in ("valid", "test"):
            raise ValueError(f"{path}:{number}: {line!r} is not a name, a tab, and valid or test")
        held_out[name] = split
    return held_out


def select_prompts(files: PromptFiles, language: str, max_seconds: float) -> tuple[list[Prompt], list[LeftOut]]:
    """The recordings of one language that are speech with a known text, in the order of their names."""
    transcripts = read_transcripts(files.transcripts)
    corrected = TEXTS[language]
    kept, left_out = [], []
    for path in sorted(files.sounds.rglob("*.g722")):
        name = path.relative_to(files.sounds).with_suffix("").as_posix()
        samples = G722_SAMPLES_PER_BYTE * path.stat().st_size
        raws = [corrected[name] or ""] if name in corrected else transcripts.get(name, [])
        text = spoken_text(raws[0], language) if raws else ""
        if not raws:
            left_out.append(LeftOut(name, "no transcript"))
        elif len(raws) > 1:
            raise ValueError(
                f"{files.transcripts}: {name!r} has {len(raws)} transcripts ({'; '.join(raws)}); keep the right one"
            )
        elif name in corrected and corrected[name] is None:
            left_out.append(LeftOut(name, "what is said is not what is written"))
        elif not text or name.startswith("silence/"):
            left_out.append(LeftOut(name, "no speech"))
        elif samples > max_seconds * SAMPLE_RATE:
            left_out.append(LeftOut(name, f"{samples / SAMPLE_RATE:.1f} s, more than {max_seconds:g} s"))
        else:
            kept.append(Prompt(name, text, samples))
    return kept, left_out


def assign_splits(
    prompts: dict[str, list[Prompt]], held_out: dict[str, str] | None = None
) -> tuple[dict[str, dict[str, list[Prompt]]], dict[str, list[LeftOut]]]:
    """language -> split -> prompts, such that no held-out text is heard in training.

    Several names share a text ("minutes"): when one of them is held out, the others leave training; the test split
    wins over valid. Texts are compared over all languages given, because they may be trained on together.
    Returns the splits, and language -> what was left out.
    """
    choose = (lambda name: held_out.get(name, "train")) if held_out is not None else split_of
    texts = {split: {p.text for rows in prompts.values() for p in rows if choose(p.name) == split} for split in SPLITS}
    splits = {language: {split: [] for split in SPLITS} for language in prompts}
    left_out = {language: [] for language in prompts}
    for language, rows in prompts.items():
        for prompt in rows:
            split = choose(prompt.name)
            stronger = {"train": ("valid", "test"), "valid": ("test",), "test": ()}[split]
            twin = next((other for other in stronger if prompt.text in texts[other]), None)
            if twin:
                left_out[language].append(LeftOut(prompt.name, f"of {split}: the same text is in {twin}"))
            else:
                splits[language][split].append(prompt)
    return splits, left_out


def _write_wav(prompt: Prompt, sounds: Path, folder: Path) -> None:
    """Decode one recording unless it is there already."""
    target = folder / f"{prompt.name}.wav"
    wav_bytes = 44 + 2 * prompt.samples  # a plain header and 16-bit samples
    if not (target.is_file() and target.stat().st_size == wav_bytes):
        write_audio(target, decode_g722((sounds / f"{prompt.name}.g722").read_bytes()))


def _write_splits(out: Path, language: str, splits: dict[str, list[Prompt]]) -> list[SplitSize]:
    sizes = []
    for split, rows in splits.items():
        if not rows:
            logger.warning("%s: no recording in the %s split, so no %s.tsv", language, split, split)
            continue
        fields = [(f"{language}/{prompt.name}.wav", prompt.samples) for prompt in rows]
        texts = [prompt.text for prompt in rows]
        update_lines(out / language / f"{split}.txt", lambda texts=texts: texts)
        update_manifest(out / language / f"{split}.tsv", WAV_ROOT, lambda fields=fields: fields)
        sizes.append(SplitSize(f"{language}/{split}", len(rows), sum(prompt.samples for prompt in rows)))
    return sizes


def prepare_prompts(
    out: Path,
    languages: Sequence[str] = LANGUAGES,
    *,
    source: str = "auto",
    cache: Path | None = None,
    archive_url: str = ARCHIVE_URL,
    held_out: Path | None = None,
    max_seconds: float = 45.0,
) -> list[SplitSize]:
    """Fetch, decode, split and list the prompts of `languages` under `out`.

    Writes out/LANGUAGE/{train,valid,test}.{tsv,txt} and left_out/all.tsv, out/wav/LANGUAGE/NAME.wav, ATTRIBUTION.txt.
    held_out: a file of `name<TAB>valid|test` lines that replaces the built-in split. max_seconds: longer recordings
    are left out. Run again, it decodes only what is missing. Returns the size of every split.
    Raises RuntimeError, FileNotFoundError or ValueError, each with its mend.
    """
    files = {language: fetch(source, language, cache or out / "download", archive_url) for language in languages}
    selected = {language: select_prompts(files[language], language, max_seconds) for language in languages}
    splits, twins = assign_splits(
        {language: kept for language, (kept, _) in selected.items()}, read_held_out(held_out) if held_out else None
    )
    sizes = []
    for language in languages:
        kept = [prompt for rows in splits[language].values() for prompt in rows]
        for prompt in tqdm(kept, desc=f"decode {language}", unit="utt"):
            _write_wav(prompt, files[language].sounds, out / "wav" / language)
        sizes += _write_splits(out, language, splits[language])
        check_old_splits(out / language, (split for split, rows in splits[language].items() if rows))
        left_out = sorted(selected[language][1] + twins[language])
        write_left_out(out / language, "all", left_out)
    write_text(out / "ATTRIBUTION.txt", ATTRIBUTION)
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.prompts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where everything is written")
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=list(LANGUAGES), help="default: all three")
    parser.add_argument(
        "--source",
        default="auto",
        metavar="auto|apt|archive|FOLDER",
        help="Debian's packages (apt-get download, no root), the publisher's archives, or a folder in which either is "
        "unpacked; auto (default) tries apt, then archive",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where downloads are kept (default: OUT/download)")
    parser.add_argument(
        "--archive-url", default=ARCHIVE_URL, help="folder of the publisher's archives (default: %(default)s)"
    )
    parser.add_argument(
        "--held-out",
        type=Path,
        metavar="FILE",
        help="lines of name, tab, valid or test: hold out these names in place of the built-in choice",
    )
    parser.add_argument(
        "--max-seconds", type=float, default=45.0, help="leave longer recordings out, in seconds (default: %(default)s)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes."""
    arguments = build_parser().parse_args(argv)
    sizes = prepare_prompts(
        arguments.out,
        arguments.languages,
        source=arguments.source,
        cache=arguments.cache,
        archive_url=arguments.archive_url,
        held_out=arguments.held_out,
        max_seconds=arguments.max_seconds,
    )
    print(size_table(sizes))


if __name__ == "__main__":
    run(main)

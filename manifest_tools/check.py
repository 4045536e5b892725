"""Everything a job reads, checked before it starts: manifests, audio, labels, dictionaries, text data.

    python -m manifest_tools.check --job s2t --data data --spm-model vocabulary/spm.model
    python -m manifest_tools.check --job t2s --data speech --label-dir labels
    python -m manifest_tools.check --job s2s --data pairs
    python -m manifest_tools.check --job s2c --data speakers
    python -m manifest_tools.check --job pretrain --data data --text-data text
    python -m manifest_tools.check --job audio --data data    # the recordings alone, before there are labels
    python -m manifest_tools.check --job text --data text     # the text of pre-training alone

The checks are those of the training task itself, which does not repeat them while no file changes. Exit code 1, and a
list of `FILE:LINE: problem; mend`, when something is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speecht5_fairseq.constants import ENCODER_FRAME_RATE
from speecht5_fairseq.data.checks import Report, verify
from speecht5_fairseq.data.classes import ClassLabels
from speecht5_fairseq.data.dictionary import load_class_dictionary, load_text_dictionary
from speecht5_fairseq.data.errors import MAX_LISTED
from speecht5_fairseq.data.labels import TextLabels, UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.pretrain_text import open_text_binary
from speecht5_fairseq.data.segments import recording_of
from speecht5_fairseq.data.text_checks import check_text_binary
from speecht5_fairseq.data.text_normalisation import NO_NORMALISER

from .command import add_root_option, run
from .files import SPLITS, hash_fraction
from .summary import table

JOBS = ("s2t", "pretrain", "t2s", "s2s", "s2c", "audio", "text")
TEXT_JOBS = ("s2t", "t2s")  # jobs with a text for each row
LABEL_FREE = ("s2s", "audio", "text")  # jobs that read no labels
COLUMNS = {**JOB_COLUMNS, "audio": JOB_COLUMNS["pretrain"]}
LEVELS = ("full", "quick")
FEWEST = 2  # training recordings of a class, below which it is warned of
MAX_COMPARED = 5_000_000  # rows whose paths are compared between splits


class Labels(NamedTuple):
    """The labels of a split, those that its job has."""

    text: TextLabels | None = None
    units: UnitLabels | None = None
    classes: ClassLabels | None = None


@dataclass
class Findings:
    """What a check found: a report for each split, rows of the text data, and messages."""

    reports: list[Report] = field(default_factory=list)
    texts: list[tuple[str, int, int, str]] = field(default_factory=list)  # split, sentences, tokens, share unknown
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    total_errors: int = 0

    def fail(self, message: str, count: int = 1) -> None:
        """Take in a message about `count` problems."""
        self.errors.append(message)
        self.total_errors += count

    def attempt(self, action: Callable[[], None]) -> None:
        """Run one part of the check; what stops it is one more finding, and the other parts go on."""
        try:
            action()
        except (ValueError, AssertionError, ImportError, OSError) as error:  # assertions: fairseq on a torn .idx
            self.fail(str(error))


def existing_splits(data: Path) -> list[str]:
    """Those of train, valid and test that have a manifest; train and valid even if they have none."""
    return [split for split in SPLITS if split != "test" or (data / f"{split}.tsv").is_file()]


def check_data(
    job: str,
    data: Path,
    *,
    label_dir: Path | None = None,
    audio_root: Path | None = None,
    splits: Sequence[str] = (),
    spm_model: Path | None = None,
    text_data: Path | None = None,
    text_normaliser: str = NO_NORMALISER,
    unit_rate: int = ENCODER_FRAME_RATE,
    refuse_other_rates: bool = False,
    allow_outside_root: bool = False,
    level: str = "full",
    progress: bool = True,
) -> Findings:
    """Check what one of `JOBS` reads: the audio, vectors and labels of each row.

    Data that is wrong is in the findings; nothing is raised for it.

    splits: default train, valid, and test where there is one. level: "quick" looks at 256 rows of each split, and
    at 10,000 sentences of text data.
    Raises ValueError for options that do not go together.
    """
    audio = audio_root is not None or refuse_other_rates or allow_outside_root or (level != "full" and job != "text")
    _check_options(job, label_dir, spm_model, text_data, unit_rate, splits, audio)
    if text_normaliser != NO_NORMALISER and job != "t2s":
        raise ValueError(f"--text-normaliser has no effect with --job {job}: leave it out")
    labels, findings = label_dir or data, Findings()
    manifests: dict[str, Manifest] = {}

    def check_split(split: str) -> None:
        manifest = Manifest.open(data / f"{split}.tsv", COLUMNS[job], root=audio_root, outside=allow_outside_root)
        manifests[split] = manifest
        found = Labels()
        if job in TEXT_JOBS:
            dictionary = load_text_dictionary(labels / "dict.txt")
            found = Labels(text=TextLabels.open(labels, split, dictionary, spm_model, normaliser=text_normaliser))
        elif job == "pretrain":
            found = Labels(units=UnitLabels.open(labels, split, rate=unit_rate))
        elif job == "s2c":
            found = Labels(classes=_open_classes(findings, manifest, labels / "dict.txt", split))
        report = verify(manifest, **found._asdict(), level=level, resample=not refuse_other_rates, progress=progress)
        findings.reports.append(report)
        if report.total_problems:
            findings.fail("\n".join(report.problems[:MAX_LISTED]), report.total_problems)

    if job == "text":
        text_data = data
    else:
        for split in splits or existing_splits(data):
            findings.attempt(lambda split=split: check_split(split))
    if text_data is not None:
        for split in ("train", "valid"):
            findings.attempt(lambda split=split: _check_text(findings, text_data, split, level))
    _warn_of_shared_audio(findings, manifests)
    return findings


def _check_options(
    job: str,
    label_dir: Path | None,
    spm_model: Path | None,
    text_data: Path | None,
    unit_rate: int,
    splits: Sequence[str],
    audio: bool,
) -> None:
    """Every option given has an effect in the job. audio: whether an option is given that is about recordings."""
    if job not in JOBS:
        raise ValueError(f"--job {job!r}: choose one of {', '.join(JOBS)}")
    if job == "pretrain" and spm_model is not None:
        raise ValueError(
            "--spm-model has no effect with --job pretrain, whose text data are pieces already: leave it out"
        )
    if job in LABEL_FREE and (spm_model is not None or label_dir is not None):
        raise ValueError(
            f"--spm-model and --label-dir have no effect with --job {job}, which reads no labels: leave them out"
        )
    if job == "text" and (splits or audio):
        raise ValueError(
            "--splits, --audio-root, --refuse-other-rates and --allow-outside-root have no effect with --job text: "
            "leave them out"
        )
    if job == "s2c" and spm_model is not None:
        raise ValueError("--spm-model has no effect with --job s2c, which reads no text: leave it out")
    if job != "pretrain" and (text_data is not None or unit_rate != ENCODER_FRAME_RATE):
        raise ValueError(f"--text-data and --unit-rate have no effect with --job {job}: leave them out")


def _check_text(findings: Findings, folder: Path, split: str, level: str) -> None:
    dictionary = load_text_dictionary(folder / "dict.txt")
    binary = open_text_binary(folder, split, dictionary)
    unknown = "not read"
    if level != "off":
        share = check_text_binary(binary, dictionary, level=level, name=f"{folder}/{split}")
        unknown = f"{100 * share:.2f}%"
    findings.texts.append((split, len(binary), int(np.sum(binary.sizes)), unknown))


def _warn_of_shared_audio(findings: Findings, manifests: dict[str, Manifest]) -> None:
    """The same recording in two splits makes the held-out score worthless."""
    if sum(len(manifest) for manifest in manifests.values()) > MAX_COMPARED:
        findings.warnings.append(f"more than {MAX_COMPARED:,} rows: not compared whether splits share recordings")
        return
    keys = {
        split: np.array([hash_fraction(recording_of(manifest.files(i)[0]), "path") for i in range(len(manifest))])
        for split, manifest in manifests.items()
    }
    splits = list(keys)
    for number, first in enumerate(splits):
        for second in splits[number + 1 :]:
            shared = len(np.intersect1d(keys[first], keys[second]))
            if shared:
                findings.warnings.append(f"{shared} recordings are in both {first} and {second}")


def _open_classes(findings: Findings, manifest: Manifest, dictionary: Path, split: str) -> ClassLabels:
    """The classes of a split, with a warning of rare ones.

    A class of one training recording, or of none, is not learned; a held-out split without it says nothing of it.
    """
    labels = ClassLabels(manifest, load_class_dictionary(dictionary), dictionary)
    least = FEWEST if split == "train" else 1
    rows = Counter(labels.name(index) for index in range(len(labels.manifest)))
    few = [name for name in labels.names if rows[name] < least]
    if few:
        shown = ", ".join(few[:MAX_LISTED]) + (", ..." if len(few) > MAX_LISTED else "")
        fewer = f"fewer than {least} recordings" if least > 1 else "no recording"
        findings.warnings.append(f"{len(few)} of {len(labels.names)} classes have {fewer} in {split}: {shown}")
    return labels


def _report_rows(reports: Sequence[Report]) -> list[tuple[str, ...]]:
    return [
        (
            Path(report.name).stem,
            f"{report.rows:,}",
            f"{report.hours:.3f}",
            f"{report.checked:,}" + (" (before)" if report.from_stamp else ""),
            f"{report.units:,}",
            f"{report.tokens:,}",
            f"{sum(report.unknown.values()):,}",
            f"{report.total_problems:,}",
        )
        for report in reports
    ]


def summary(findings: Findings) -> str:
    """Tables of the splits and of the text data, the commonest unknown symbols, warnings and errors."""
    header = ("split", "rows", "hours", "rows checked", "units", "tokens", "unknown", "problems")
    parts = [table(header, _report_rows(findings.reports))] if findings.reports else []
    for report in findings.reports:
        if report.unknown:
            symbols = ", ".join(f"{symbol!r} ({count})" for symbol, count in report.unknown.items())
            parts.append(f"unknown symbols in {Path(report.name).stem}: {symbols}")
    if findings.texts:
        parts.append(table(("text", "sentences", "tokens", "unknown"), findings.texts))
    parts += [f"warning: {warning}" for warning in findings.warnings]
    parts += [f"error: {error}" for error in findings.errors]
    parts.append(f"{findings.total_errors} problems" if findings.total_errors else "all good")
    return "\n\n".join(parts)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job", choices=JOBS, required=True, help="the job that will read the data")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of {split}.tsv")
    parser.add_argument(
        "--label-dir", type=Path, metavar="DIR", help="folder of labels and dictionaries (default: --data)"
    )
    parser.add_argument(
        "--audio-root", type=Path, metavar="DIR", help="folder of the audio, if it was moved (default: manifests' own)"
    )
    parser.add_argument("--splits", nargs="+", default=[], help="default: train, valid, and test where there is one")
    parser.add_argument("--spm-model", type=Path, help="s2t, t2s: the labels are raw text for this model")
    parser.add_argument(
        "--text-normaliser", default=NO_NORMALISER, help="t2s: as the training task has it (default: %(default)s)"
    )
    parser.add_argument("--text-data", type=Path, metavar="DIR", help="pretrain: fairseq binary text with dict.txt")
    parser.add_argument(
        "--unit-rate", type=int, default=ENCODER_FRAME_RATE, help="pretrain: units a second (default: %(default)s)"
    )
    parser.add_argument("--refuse-other-rates", action="store_true", help="audio that is not 16 kHz is an error")
    add_root_option(parser)
    parser.add_argument(
        "--level",
        choices=LEVELS,
        default="full",
        help="full decodes every file and reads all text data, quick 256 rows and 10,000 sentences a split "
        "(default: full)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, check, print the findings; exit code 1 when there are errors."""
    findings = check_data(**vars(build_parser().parse_args(argv)))
    print(summary(findings))
    if findings.total_errors:
        sys.exit(1)


if __name__ == "__main__":
    run(main)

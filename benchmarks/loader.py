"""Utterances a second that the data loader brings, beside what a training step of pre-training takes.

    python -m benchmarks.loader
    python -m benchmarks.loader --workers 4 8 --appetite 300    a step's appetite that was measured elsewhere

Batches of 4 utterances of 10 s with units, log-mel and speaker vector, as the task reads them: whole recordings, and
crops out of recordings of 30 s; from WAV and FLAC files, and from a tar of each. The files were just written, so that
they come from memory: a disk may be slower. With 0 workers a thread of the trainer loads. The ratio is that of the most
workers; below 1 training waits for its data.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from fairseq.data.iterators import EpochBatchIterator

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.data.labels import UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.pretrain_speech import PretrainSpeechDataset
from speecht5_fairseq.training.epochs import stop_workers

from .cases import Work
from .corpus import packed, write_corpus
from .measure import Measurement, Ratio, Report, add_options, apart, measure

BATCH, SECONDS = Work.batch, Work.seconds  # what the step takes whose appetite is measured

LONG = 30  # seconds of the recordings that crops are taken of
AIM = 2.0  # times what a step takes


class Corpus(NamedTuple):
    """A manifest, and what it stands for."""

    name: str
    manifest: Path


def corpora(folder: Path, utterances: int) -> Iterator[Corpus]:
    """Recordings as long as an utterance and longer ones, in every form."""
    for kind, seconds in (("whole", SECONDS), ("crop", LONG)):
        for name, suffix in (("WAV", ".wav"), ("FLAC", ".flac")):
            place = folder / f"{kind}{suffix}"
            files = write_corpus(place, utterances=utterances, seconds=seconds, suffix=suffix)
            yield Corpus(f"{name}, {kind}", files)
            yield Corpus(f"tar of {name}, {kind}", packed(files, folder / f"{kind}{suffix}-tar"))


def load(corpus: Corpus, workers: int, repeats: int) -> Measurement:
    """Seconds of an epoch, all its batches made; the workers are there before it begins."""
    manifest = Manifest.open(corpus.manifest, JOB_COLUMNS["pretrain"])
    units = UnitLabels.open(corpus.manifest.parent, "train")
    data = PretrainSpeechDataset(manifest, units, crop_samples=int(SECONDS * SAMPLE_RATE), seed=1, training=True)
    batches = EpochBatchIterator(
        data,
        data.collater,
        data.batch_by_size(data.ordered_indices(), max_sentences=BATCH),
        num_workers=workers,
        buffer_size=10,  # fairseq's own
        reuse_dataloader=True,
    )

    def epoch() -> int:
        return sum(batch["nsentences"] for batch in batches.next_epoch_itr())

    found = measure(f"{corpus.name}, {workers} workers", epoch, device="cpu", warm_up=1, repeats=repeats)
    stop_workers(batches)
    return found


def measured(given: list[Corpus], workers: list[int], repeats: int) -> dict[Corpus, dict[int, Measurement]]:
    """Every corpus with every number of workers, in ascending order.

    Measured in descending order: a worker that is forked while a thread of an epoch without workers ends may find the
    memory of MKL, which makes the FFTs, locked for ever.
    """
    times = {(corpus, number): load(corpus, number, repeats) for number in sorted(workers)[::-1] for corpus in given}
    return {corpus: {number: times[corpus, number] for number in sorted(workers)} for corpus in given}


def appetite(options: argparse.Namespace) -> float:
    """Utterances a second that a step of pre-training at base size takes."""
    if options.appetite is not None:
        return options.appetite
    flags = ["--device", options.device, "--threads", str(options.threads), "--repeats", str(options.repeats)]
    case = ["--single", "pretrain_speech", "--dtype", options.dtype]
    return BATCH / apart("benchmarks.training_step", [*case, *flags]).seconds


def report(found: dict[Corpus, dict[int, Measurement]], utterances: int, wanted: float) -> Report:
    """The measurements, the ratio of each corpus, and a line with its utterances a second."""
    ratios, notes = [], [f"a step takes {wanted:.3g} utterances of {SECONDS:g} s a second"]
    for corpus, by_workers in found.items():
        most = by_workers[max(by_workers)].seconds / utterances
        work = f"loader, {corpus.name}, {max(by_workers)} workers"
        ratios.append(Ratio(work, most, 1 / wanted, "s an utterance", "a training step", AIM))
        rates = ", ".join(f"{utterances / m.seconds:.0f} with {number}" for number, m in by_workers.items())
        notes.append(f"{corpus.name}: utterances a second by workers: {rates}")
    return Report("loader", [m for each in found.values() for m in each.values()], ratios, notes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of workers to try")
    parser.add_argument("--utterances", type=int, default=64, help="of each corpus")
    parser.add_argument("--appetite", type=float, help="utterances a second of a step (default: measured here)")
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"], help="of the step's products")
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wanted = appetite(options)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(list(corpora(Path(folder), options.utterances)), options.workers, options.repeats)
    report(found, options.utterances, wanted).publish(options.json)


if __name__ == "__main__":
    main()

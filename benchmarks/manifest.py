"""Seconds and memory that opening a large manifest with its units takes, and what of it a loader worker has alone.

    python -m benchmarks.manifest
    python -m benchmarks.manifest --rows 10000000

The peer is fairseq's own reading of the same two files for HuBERT (load_audio, load_label_offset), in the same data set
otherwise. Opening ends with the batches of an epoch. Each case has a process of its own: seconds after the imports, and
memory above them. "First" makes the index, which the others find. The workers go over all rows, path and units but no
audio; in place of peaks the table has Pss (what is shared counts by its share) and Uss (what is its alone) of the
worker that has most. The files come from the system's cache, as they were just written.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from fairseq.data import FairseqDataset
from fairseq.data.audio.hubert_dataset import load_audio, load_label_offset
from torch.utils.data import DataLoader

from speecht5_fairseq.constants import ENCODER_STRIDE, ENCODER_WINDOW
from speecht5_fairseq.data.labels import UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.pretrain_speech import PretrainSpeechDataset

from .measure import Measurement, Ratio, Report, add_options, apart, measure, tell

MAX_TOKENS = 1_400_000  # samples of a batch, as in pre-training
UNITS = 500
LONGEST = 60  # units of a row; more would only make the files larger
KINDS = 1000  # different rows of units
PEER = "fairseq"
OPENING_AIM, MEMORY_AIM = 2.0, 300.0  # s and MB for a million rows
CASES = ("ours, first", "ours", PEER, "ours, workers", f"{PEER}, workers")


class Memory(NamedTuple):
    """Of a process, in GiB: what is shared counted by its share, and what it has alone."""

    pss: float
    uss: float


class OurRows(FairseqDataset):
    """The rows as `PretrainSpeechDataset` finds them, without their audio."""

    def __init__(self, folder: Path) -> None:
        manifest = Manifest.open(folder / "train.tsv", JOB_COLUMNS["pretrain"])
        units = UnitLabels.open(folder, "train")
        self.data = PretrainSpeechDataset(manifest, units, seed=1, training=True)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> int:
        path, units = self.data.manifest.path(index), self.data.labels.classes(index)
        return len(str(path)) + len(units)

    def batches(self) -> list[np.ndarray]:
        """Of an epoch."""
        return self.data.batch_by_size(self.data.ordered_indices(), max_tokens=MAX_TOKENS)


class PeerRows(FairseqDataset):
    """The rows as fairseq's HubertDataset finds them, without their audio."""

    def __init__(self, folder: Path) -> None:
        self.labels = folder / "train.km"
        root, names, indices, total, sizes = load_audio(folder / "train.tsv", None, None)
        self.root, self.names, self.sizes = root, names, sizes
        self.offsets = load_label_offset(self.labels, indices, total)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> int:
        start, end = self.offsets[index]
        with open(self.labels) as file:  # as HubertDataset.get_label
            file.seek(start)
            units = np.array(file.read(end - start).split(), dtype=np.int64)
        return len(f"{self.root}/{self.names[index]}") + len(units)

    def num_tokens(self, index: int) -> int:
        return self.sizes[index]

    def batches(self) -> list[np.ndarray]:
        """Of an epoch; ties in order of size at random, as fairseq draws them."""
        order = np.lexsort([np.random.permutation(len(self)), self.sizes])[::-1]
        return self.batch_by_size(order, max_tokens=MAX_TOKENS)


def write_rows(folder: Path, rows: int) -> None:
    """A manifest of so many rows, whose recordings there are none of, with units and their dictionary."""
    generator = np.random.default_rng(0)
    kinds = [generator.integers(UNITS, size=length) for length in generator.integers(LONGEST // 4, LONGEST, size=KINDS)]
    lines = [" ".join(map(str, kind)) + "\n" for kind in kinds]
    samples = [(len(kind) - 1) * ENCODER_STRIDE + ENCODER_WINDOW for kind in kinds]
    names = (f"{row % 2500:04d}/{row // 10 % 1000:06d}/utterance-{row:09d}.flac" for row in range(rows))
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder / "train.tsv", folder, zip(names, islice(cycle(samples), rows), strict=True))
    with open(folder / "train.km", "w") as file:
        file.writelines(islice(cycle(lines), rows))
    (folder / "dict.km.txt").write_text("".join(f"{unit} 1\n" for unit in range(UNITS)))


def rows_of(case: str) -> Callable[[Path], OurRows | PeerRows]:
    """The data set of a case."""
    return PeerRows if case.startswith(PEER) else OurRows


def opening(case: str, folder: Path) -> Measurement:
    """A measurement of one opening."""
    if case.endswith("first"):
        for file in folder.glob("*.idx"):
            file.unlink()
    kept = []

    def step() -> None:
        data = rows_of(case)(folder)
        kept.append((data, data.batches()))

    return measure(case, step, device="cpu", warm_up=0, repeats=1)


def working(case: str, folder: Path, workers: int) -> Measurement:
    """Seconds in which the workers go over all rows; in place of peaks the memory of the worker that has most alone."""
    data = rows_of(case)(folder)
    batches, memory, visited, start = data.batches(), Memory(0.0, 0.0), 0, time.perf_counter()
    for number, batch in enumerate(DataLoader(data, batch_sampler=batches, num_workers=workers, collate_fn=len)):
        visited += batch
        if number % max(1, len(batches) // 20) == 0:
            found = [memory_of(process.pid) for process in multiprocessing.active_children()]
            memory = max([memory, *found], key=lambda each: each.uss)
    assert visited == len(data)
    return Measurement.of(case, [time.perf_counter() - start], *memory)


def memory_of(process: int) -> Memory:
    """Of a process of ours, now."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
    alone = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return Memory(kilobytes["Pss"] / 2**20, alone / 2**20)


def report(found: dict[str, Measurement], rows: int, workers: int) -> Report:
    """The measurements of all cases, by name."""
    ours, first, peer = found["ours"], found["ours, first"], found[PEER]
    mine, theirs = found["ours, workers"], found[f"{PEER}, workers"]
    what = f"a manifest of {rows:,} rows"

    def memory(work: str, a: Measurement, b: Measurement) -> Ratio:
        return Ratio(work, a.extra_gib * 1024, b.extra_gib * 1024, "MB", PEER)

    ratios = [
        Ratio(f"open {what}", ours.seconds, peer.seconds, "s", PEER),
        Ratio(f"open {what}, first", first.seconds, peer.seconds, "s", PEER),
        memory(f"memory of {what}", ours, peer),
        memory(f"memory of {what}, first", first, peer),
        memory(f"own memory of a worker of {workers}, {rows:,} rows", mine, theirs),
    ]
    million = rows / 1e6
    notes = [
        f"a million rows: ours {ours.seconds / million:.2f} s and {ours.extra_gib * 1024 / million:.0f} MB "
        f"(aims {OPENING_AIM:g} and {MEMORY_AIM:g}), the first time {first.seconds / million:.2f} s; "
        f"{PEER} {peer.seconds / million:.2f} s and {peer.extra_gib * 1024 / million:.0f} MB"
    ]
    return Report("manifest", list(found.values()), ratios, notes)


def single(case: str, folder: Path, workers: int) -> Measurement:
    """A case alone, in this process."""
    return working(case, folder, workers) if case.endswith("workers") else opening(case, folder)


def main(arguments: list[str] | None = None) -> None:
    """Measure each case in a process of its own, and report; with --single, one case in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the manifest")
    parser.add_argument("--workers", type=int, default=2, help="of the loader")
    parser.add_argument("--single", choices=CASES, help="run this case alone in this process, on --folder")
    parser.add_argument("--folder", type=Path, help="files that are there, for --single")
    add_options(parser, repeats=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.single:
        tell(single(options.single, options.folder, options.workers))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_rows(folder, options.rows)
        time.sleep(2.5)  # until the files' times can be trusted
        found = {}
        for case in CASES:
            flags = ["--single", case, "--folder", temporary, "--workers", str(options.workers)]
            rounds = 1 if case.endswith("workers") else options.repeats
            found[case] = apart("benchmarks.manifest", [*flags, "--threads", str(options.threads)], rounds)
    report(found, options.rows, options.workers).publish(options.json)


if __name__ == "__main__":
    main()

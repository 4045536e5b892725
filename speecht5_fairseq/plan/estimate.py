"""From a configuration to what its training takes on each of N GPUs: memory, work and time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from ..constants import SAMPLE_RATE
from ..data.dictionary import load_class_dictionary, load_text_dictionary, load_unit_dictionary, unit_count
from ..data.manifest import JOB_COLUMNS, Manifest
from ..models.jobs import JOBS, PREFIX
from .batches import Sizes
from .gpus import Device
from .memory import Memory, is_half, weights_of, with_activations
from .step import Built, Counted, Trained, build, count, parameters, parts_of

SECONDS = 15.0  # of an utterance where neither the flags nor a manifest tell
SYMBOLS, UNITS, CLASSES = 87, 500, 1251  # where no dictionary is there yet
DAY = 86_400


class Assumed(NamedTuple):
    """What the configuration does not tell.

    Attributes:
        seconds: of every utterance; None for the longest that the flags or the manifest allow.
        tokens_a_second: of text beside speech.
        utilisation: share of the peak rate that a step reaches; without effect where a step's rate was measured.
        reduce_bytes: a second, at which each GPU sums gradients with the others.
    """

    seconds: float | None = None
    tokens_a_second: float = 15.0
    utilisation: float = 0.35
    reduce_bytes: float = 25e9


class Rows(NamedTuple):
    """Of a part on each GPU, at a time."""

    part: str
    rows: int
    counted: Counted


class Tokens(NamedTuple):
    """Of an update, on all GPUs together; padding is not in it, for all rows have one length."""

    rows: int
    samples: int
    frames: int
    mel_frames: int
    text: int


class Plan(NamedTuple):
    """What is found.

    Attributes:
        sizes: of a row; ``notes`` say where they come from.
        flops: of an update, on each GPU.
        step_seconds: of an update; ``reduce_seconds`` of it for summing gradients.
        updates: of the whole run; None where the flags do not tell.
    """

    job: str
    sizes: Sizes
    gpus: int
    device: Device
    precision: str
    trained: list[Trained]
    rows: list[Rows]
    memory: Memory
    flops: int
    tokens: Tokens
    step_seconds: float
    reduce_seconds: float
    updates: int | None
    notes: list[str]

    @property
    def days(self) -> float | None:
        return None if self.updates is None else self.updates * self.step_seconds / DAY

    @property
    def fits(self) -> bool:
        return self.memory.total <= self.device.bytes


def job_of(cfg: DictConfig) -> str:
    job = str(cfg.task._name).removeprefix(PREFIX)
    return "pretrain_speech" if job == "pretrain" and cfg.task.text_data is None else job


def sizes_of(cfg: DictConfig, job: str, assumed: Assumed) -> tuple[Sizes, list[str]]:
    """The lengths of a row and the sizes of the vocabularies, with a note for each that is not in the flags."""
    notes: list[str] = []
    samples = _samples(cfg, job, assumed, notes)
    needs, folder = JOBS[job], Path(cfg.task.label_dir or cfg.task.data)
    text = Path(cfg.task.text_data if job == "pretrain" else folder) / "dict.txt"
    symbols, units, classes = 0, 0, 0
    if needs.has_text:
        symbols = _entries(text, lambda file: len(load_text_dictionary(file)), SYMBOLS, "symbols", notes)
    if "units" in needs.heads:
        file = folder / "dict.km.txt"
        units = _entries(file, lambda file: unit_count(load_unit_dictionary(file)), UNITS, "units", notes)
    if "speaker" in needs.heads:
        classes = _entries(
            folder / "dict.txt", lambda file: len(load_class_dictionary(file)), CLASSES, "classes", notes
        )
    tokens = max(2, round(samples / SAMPLE_RATE * assumed.tokens_a_second))
    if needs.has_text and job != "pretrain":
        notes.append(f"assumed: {assumed.tokens_a_second:g} tokens of text a second of speech (--tokens-a-second)")
    alone = cfg.task.tokens_per_text_sample if job == "pretrain" else 0
    return Sizes(samples, tokens, alone, symbols, units, classes), notes


def _entries(file: Path, read, default: int, what: str, notes: list[str]) -> int:
    if file.is_file():
        return read(file)
    notes.append(f"assumed: {default} {what}, for there is no {file}")
    return default


def _samples(cfg: DictConfig, job: str, assumed: Assumed, notes: list[str]) -> int:
    """Of the longest utterance that a batch may hold."""
    if assumed.seconds is not None:
        return round(assumed.seconds * SAMPLE_RATE)
    task = cfg.task
    crop = task.crop_samples if "crop_samples" in task else None  # of some jobs
    bounds = [bound for bound in (crop, task.max_speech_samples) if bound is not None]
    manifest = Path(task.data) / f"{cfg.dataset.train_subset}.tsv"
    if manifest.is_file():
        columns = JOB_COLUMNS["pretrain" if job == "pretrain_speech" else job]
        longest = int(Manifest.open(manifest, columns, root=task.audio_root).samples.max())
        bounds.append(longest)
        notes.append(f"read: the longest utterance of {manifest}, {longest / SAMPLE_RATE:.1f} s")
    if not bounds:
        notes.append(f"assumed: utterances of {SECONDS:g} s (--utterance-seconds)")
    return min(bounds, default=round(SECONDS * SAMPLE_RATE))


def rows_of(cfg: DictConfig, part: str, sizes: Sizes) -> int:
    """Rows of a part in a batch of one GPU, as the data sets make it of rows that are all as long.

    Raises:
        ValueError: the flags bound no batch, or no row fits into one.
    """
    most, count, multiple = cfg.dataset.max_tokens, cfg.dataset.batch_size, cfg.dataset.required_batch_size_multiple
    if most is None and count is None:
        raise ValueError("the flags bound no batch: give --max-tokens (samples of speech) or --batch-size")
    if part == "text":
        tokens = None if most is None else max(1, int(cfg.task.text_batch_ratio * most))
        return max(1, _fitting(tokens, sizes.text_tokens, count, multiple))
    found = _fitting(most, sizes.samples, count, multiple)
    if found < 1:
        raise ValueError(
            f"--max-tokens {most} is less than one utterance of {sizes.samples} samples; raise it, or leave long ones "
            f"out with --max-speech-samples {most}"
        )
    return found


def _fitting(tokens: int | None, size: int, count: int | None, multiple: int) -> int:
    """Rows of one size in fairseq's batch, which keeps to a multiple where it holds as many."""
    bounds = [bound for bound in (None if tokens is None else tokens // size, count) if bound is not None]
    rows = min(bounds)
    return rows - rows % multiple if rows >= multiple else rows


def precision_of(cfg: DictConfig) -> str:
    """The kind of products: of ``Device.rates``."""
    if is_half(cfg) or cfg.common.amp:
        return "half"
    return "float32" if str(cfg.task.matmul_precision) == "highest" else "tf32"


def counted_parts(cfg: DictConfig, built: Built, job: str, sizes: Sizes) -> list[Rows]:
    """Each part of a step, with its rows on a GPU."""
    return [Rows(part.name, rows_of(cfg, part.name, sizes), count(built, part, sizes)) for part in parts_of(job)]


def plan(cfg: DictConfig, *, gpus: int, device: Device, assumed: Assumed, rate: float | None = None) -> Plan:
    """Count a step of the configuration, and extend it to ``gpus`` of ``device``.

    Args:
        rate: measured floating-point operations a second of a whole step; None for the device's, times the assumed
            utilisation.

    Raises:
        ValueError: a configuration from which no batch can be made.
    """
    job = job_of(cfg)
    sizes, notes = sizes_of(cfg, job, assumed)
    for part in parts_of(job):  # what cannot be is told before anything is counted
        rows_of(cfg, part.name, sizes)
    built = build(cfg, job, sizes)
    trained, rows = parameters(built.model), counted_parts(cfg, built, job, sizes)
    kept = weights_of(cfg, trained, processes=gpus, cpu=device.measured)
    memory = with_activations(kept, activations_of(rows))
    frequency = cfg.optimization.update_freq[0]
    flops = frequency * sum(each.counted.flops_of(each.rows) for each in rows)
    precision = precision_of(cfg)
    reached = rate if rate is not None else device.rates[precision] * assumed.utilisation
    reducing = 2 * (gpus - 1) / gpus * kept.gradients / assumed.reduce_bytes
    return Plan(
        job=job,
        sizes=sizes,
        gpus=gpus,
        device=device,
        precision=precision,
        trained=trained,
        rows=rows,
        memory=memory,
        flops=flops,
        tokens=_tokens(cfg, job, {each.part: each.rows for each in rows}, sizes, frequency * gpus),
        step_seconds=flops / reached + reducing,
        reduce_seconds=reducing,
        updates=_updates(cfg),
        notes=notes,
    )


def activations_of(rows: list[Rows]) -> int:
    """Most bytes of any part: the graph of one is gone before the next is built."""
    return max(each.counted.bytes_of(each.rows) for each in rows)


def _tokens(cfg: DictConfig, job: str, rows: Mapping[str, int], sizes: Sizes, times: int) -> Tokens:
    needs, spoken = JOBS[job], times * rows["speech"]
    beside = spoken * sizes.tokens if needs.has_text and job != "pretrain" else 0
    return Tokens(
        rows=spoken,
        samples=spoken * sizes.samples,
        frames=spoken * sizes.frames if "speech" in needs.sources else 0,
        mel_frames=spoken * sizes.mel_frames if "speech" in needs.targets else 0,
        text=times * rows["text"] * sizes.text_tokens if "text" in rows else beside,
    )


def _updates(cfg: DictConfig) -> int | None:
    return cfg.optimization.max_update or None


def longest_batch(plan: Plan, cfg: DictConfig) -> int:
    """Rows of speech that fit on the device; 0 where not even one does.

    Text grows with them, by ``--text-batch-ratio``.
    """
    speech = next(each for each in plan.rows if each.part == "speech")
    spared = plan.device.bytes - (plan.memory.total - plan.memory.activations - plan.memory.fragments)
    spared = spared / (1 + plan.memory.fragments / max(plan.memory.activations, 1))
    if spared < speech.counted.bytes or speech.counted.more_bytes <= 0:
        return 0
    return 1 + math.floor((spared - speech.counted.bytes) / speech.counted.more_bytes)

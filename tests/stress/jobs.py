"""Tiny trainings to be broken: command lines that save often, with all that is random switched on."""

from __future__ import annotations

from pathlib import Path

from commands import NOISE, SIZES, Data, pretraining, recognition, training
from helpers import random_sentences, tiny_manifest, tiny_text_binary

JOBS = ("pretrain", "s2t", "t2s")
ROWS = {"train": 60, "valid": 3}


def make_data(job: str, folder: Path) -> Path:
    """Write train and valid of a job."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (split, rows) in enumerate(ROWS.items()):
        tiny_manifest(folder, rows, job=job, split=split, seed=number)
        if job == "pretrain":
            tiny_text_binary(folder / "text", random_sentences(2 * rows, seed=number), split=split)
    return folder


def command(job: str, data: Path, save_dir: Path, *options: object, updates: int = 12) -> list[object]:
    """Arguments of fairseq-train: a checkpoint every three updates of two batches each, epochs of ten updates."""
    often = ["--save-interval-updates", 3, "--keep-interval-updates", 2, "--keep-last-epochs", 2]
    batches = ["--batch-size", 3, "--max-tokens", 40_000, "--update-freq", 2]
    common = [*NOISE, *often, *batches, "--save-dir", save_dir, *options]
    if job == "t2s":
        arguments = [data, "--task", "speecht5_t2s", "--criterion", "speecht5_speech", "--max-tokens", 20_000]
        arguments += ["--arch", "speecht5_small", *SIZES, *training(*common)]
    else:
        build = {"pretrain": pretraining, "s2t": recognition}[job]
        arguments = build(Data(data, data / "text", data, data, data), *common)
    return [*arguments, "--num-workers", 2, "--max-update", updates, "--total-num-update", 2 * updates]

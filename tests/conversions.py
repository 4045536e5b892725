"""Checkpoint files of tiny models, as fairseq-train writes them, and a sentencepiece model for their dictionary."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path

import torch
from helpers import SYMBOLS, tiny_config, tiny_model
from sentencepiece import SentencePieceTrainer
from torch import Tensor

SENTENCES = [
    "THE QUICK BROWN FOX",
    "JUMPS OVER IT'S LAZY DOG",
    "HELLO",
    "WALTZ BAD NYMPH FOR QUICK JIGS VEX",
    "Ünknown ß",
]
TASKS = {"pretrain_speech": "speecht5_pretrain"}
CRITERIONS = {"t2s": "speecht5_speech", "s2s": "speecht5_speech", "pretrain_speech": "speecht5_pretrain"}


def tiny_checkpoint(path: Path, job: str, *, task: dict | None = None, seed: int = 0, **options: object) -> Path:
    """Write the checkpoint of a `tiny_model`; returns the file. `task`: options of the task besides its name."""
    config = asdict(tiny_config(_name="speecht5", **options))
    own = {"_name": TASKS.get(job, f"speecht5_{job}"), "data": "/gone", "spm_model": "/gone/spm.model", "seed": 3}
    criterion = {"_name": CRITERIONS.get(job, own["_name"]), "sentence_avg": True}
    entry = {"criterion_name": "X", "optimizer_name": "FairseqAdam", "lr_scheduler_state": {"best": None}}
    state = {
        "args": None,
        "cfg": {
            "model": config,
            "task": {**own, **(task or {})},
            "criterion": criterion,
            "common": {"user_dir": "/home"},
        },
        "model": tiny_model(job, seed=seed, **options).state_dict(),
        "criterion": None,
        "optimizer_history": [{**entry, "num_updates": 7}],
        "task_state": {},
        "extra_state": {"train_iterator": {"epoch": 2}},
        "last_optimizer_state": {"state": {}, "param_groups": []},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The model in a checkpoint file."""
    return torch.load(path, weights_only=True)["model"]


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """The same names, types and bits."""
    assert found.keys() == expected.keys()
    unlike = [name for name in found if found[name].dtype != expected[name].dtype]
    assert not unlike + [name for name in found if not torch.equal(found[name], expected[name])]


def tiny_sentencepiece(path: Path, symbols: str = SYMBOLS, **options: object) -> Path:
    """Write a sentencepiece model of these characters, by default in another order than `tiny_dictionary`'s."""
    model = io.BytesIO()
    lines = ["".join(symbols[1:])] + ["".join(symbols[number:]) for number in range(2, len(symbols), 5)]
    settings = {"model_type": "char", "vocab_size": 1000, "hard_vocab_limit": False, "minloglevel": 2} | options
    SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, **settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())
    return path

"""What the tests of conversion share: checkpoints with all that travels, sentencepiece models, comparisons."""

from __future__ import annotations

from pathlib import Path

import torch
from checkpoints import tiny_checkpoint
from helpers import tiny_piece_model
from torch import Tensor

from speecht5_fairseq.convert.formats import convert

SENTENCES = [
    "THE QUICK BROWN FOX",
    "JUMPS OVER IT'S LAZY DOG",
    "HELLO",
    "WALTZ BAD NYMPH FOR QUICK JIGS VEX",
    "Ünknown ß",
]
CRITERIONS = {"t2s": "speecht5_speech", "s2s": "speecht5_speech", "pretrain_speech": "speecht5_pretrain"}


def full_checkpoint(path: Path, job: str, *, task: dict | None = None, **options: object) -> Path:
    """`checkpoints.tiny_checkpoint` of the weights of `tiny_model(job)`, with more options of a task and criterion."""
    tiny_checkpoint(path, job, seed=0, **options)
    state = torch.load(path)
    cfg = state["cfg"]
    cfg["task"] |= {"data": "/gone", "save_dir": "/gone", "seed": 3, **(task or {})}
    cfg["criterion"] = {"_name": CRITERIONS.get(job, cfg["task"]["_name"]), "sentence_avg": True}
    state["optimizer_history"][0] |= {"criterion_name": "X", "optimizer_name": "FairseqAdam", "lr_scheduler_state": {}}
    state["last_optimizer_state"] = {"state": {}, "param_groups": []}
    torch.save(state, path)
    return path


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The model in a checkpoint file."""
    return torch.load(path)["model"]


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """The same names, types and bits."""
    assert found.keys() == expected.keys()
    unlike = [name for name in found if found[name].dtype != expected[name].dtype]
    assert not unlike + [name for name in found if not torch.equal(found[name], expected[name])]


def exported(tmp_path: Path, job: str, **options: object) -> tuple[Path, list[str], Path]:
    """A folder of a tiny checkpoint, what was said of it, and the checkpoint."""
    task = options.pop("task", None)
    source = full_checkpoint(tmp_path / "ours.pt", job, task=task, **options)
    spm = tiny_piece_model(tmp_path / "spm.model") if job != "s2s" else None
    notes = convert(source, tmp_path / "hf", "hf", spm_model=spm)
    return tmp_path / "hf", notes, source

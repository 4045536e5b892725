"""Checkpoint files as fairseq-train writes them, and files that are none."""

import os
from pathlib import Path

import torch
from helpers import tiny_config, tiny_model

from speecht5_fairseq.data.piece_model import read_piece_model
from speecht5_fairseq.models.contents import saved_contents
from speecht5_fairseq.models.signal_values import SIGNAL


def tiny_checkpoint(
    path: Path,
    job: str,
    *,
    spm_model: Path | None = None,
    units: list[str] | None = None,
    unit_source: dict[str, str] | None = None,
    seed: int = 1,
    task_options: dict[str, object] | None = None,
    **options: object,
) -> Path:
    """Write what fairseq-train would of a `tiny_model`; returns the file."""
    model = {**vars(tiny_config(**options)), "_name": "speecht5"}
    task = {
        "_name": f"speecht5_{job.removesuffix('_speech')}",
        "spm_model": None if spm_model is None else str(spm_model),
        **(task_options or {}),
    }
    losses = {"ctc_weight": 0.0 if options.get("no_ctc_head") else 0.5} if job == "s2t" else {}
    run = {"best_checkpoint_metric": "loss", "finetune_from_model": None}
    state = {
        "cfg": {"model": model, "task": task, "criterion": losses, "checkpoint": run},
        "model": tiny_model(job, seed=seed, **options).state_dict(),
        "optimizer_history": [{"num_updates": 1200}],
        "extra_state": {"train_iterator": {"epoch": 7}, "best": 0.25},
        "task_state": saved_contents(
            pieces=spm_model and read_piece_model(spm_model), units=units or (), unit_source=unit_source
        ),
        "last_optimizer_state": None,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def intrude(path: Path) -> None:
    """What must not happen: make the file `path`."""
    path.touch()


def intrude_with(text: str) -> str:
    """The same as a normaliser of texts that are paths, `checkpoints:intrude_with`."""
    Path(text.strip()).touch()
    return text


class Intruder:
    """An object whose pickle makes a file when it is loaded without care: by a function, or by a command."""

    def __init__(self, path: Path, *, command: bool) -> None:
        self.path = path
        self.command = command

    def __reduce__(self) -> tuple:
        return (os.system, (f"touch {self.path}",)) if self.command else (intrude, (self.path,))


def bad_checkpoints(folder: Path) -> dict[str, tuple[Path, str]]:
    """Kind -> (file, what is said of it, a regular expression): files that are no checkpoint of ours."""
    good = tiny_checkpoint(folder / "good.pt", "s2t")
    state = torch.load(good)
    found = {
        "cut off": r"no readable checkpoint \(cut off after [\d,]+ bytes\); copy it again",
        "text": r"no readable checkpoint \(nothing that torch.save writes .*\); copy it again, or give another",
        "function": r"refused, and nothing in it was run: it asks for checkpoints\.intrude when it is loaded",
        "command": r"refused, and nothing in it was run: it asks for (posix|nt|os)\.system when it is loaded",
        "other model": r"it is not a speecht5_fairseq model; its nets are decoder, encoder\. Give a checkpoint",
        "other signal": r"trained with another signal \(MEL_HOP 200, here 256\); give a checkpoint",
        "no model": r"holds no model; give a checkpoint that fairseq-train wrote",
        "rows": r"34 symbols, but rows for 33 in ctc_head.projection.bias: it was put together",
    }
    files = {kind: (folder / f"{kind.replace(' ', '_')}.pt", said) for kind, said in found.items()}
    files["cut off"][0].write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    files["text"][0].write_text("no checkpoint at all\n" * 40)
    other = {"encoder.embed.weight": torch.ones(2), "decoder.x": torch.ones(1)}
    bias = state["model"]["ctc_head.projection.bias"][1:].clone()
    changed = {
        "function": {"extra_state": Intruder(folder / "intruded", command=False)},
        "command": {"extra_state": Intruder(folder / "intruded", command=True)},
        "other model": {"model": other},
        "other signal": {"task_state": {"signal": {**SIGNAL, "MEL_HOP": 200}}},
        "rows": {"model": {**state["model"], "ctc_head.projection.bias": bias}},
    }
    for kind, change in changed.items():
        torch.save({**state, **change}, files[kind][0])
    torch.save([1, 2], files["no model"][0])
    return files

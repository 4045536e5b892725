"""A checkpoint that holds additions to a frozen base, and the base, as one ordinary checkpoint of the job.

python -m speecht5_fairseq.convert.merge checkpoints/adapted/checkpoint_best.pt --out merged.pt
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.atomic import replacing
from ..models.adapters import load_adapted
from ..models.base_checkpoint import find
from ..models.checkpoint import model_options, read_checkpoint
from ..models.config import SpeechT5Config
from ..modules.adapters import fold

# Options of what a merged checkpoint has no more, and of how it learnt: they go back to their defaults.
ADDITIONS = (
    "base_checkpoint", "train_nets", "lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "adapter_dim",
    "adapter_parts", "freeze", "lr_factors",
)  # fmt: skip


def merge(
    path: str | Path, out: str | Path, overrides: Mapping[str, Any] | None = None, *, overwrite: bool = False
) -> None:
    """Write ``out``: the model of the checkpoint ``path`` with its low-rank updates in the weights, without optimizer.

    Args:
        overrides: where ``data`` or the ``base_checkpoint`` stand now, as ``--model-overrides``.
        overwrite: replace the file that is at ``out``; never the checkpoint or its base.

    Raises:
        ValueError: the checkpoint has bottleneck adapters, or no base; ``out`` is one of the two, or is there.
        CheckpointError: see ``load_adapted``.
    """
    state = read_checkpoint(path)
    options = model_options(state)
    if not options.get("base_checkpoint"):
        raise ValueError(f"{path}: was not trained over a --base-checkpoint, so it is whole already")
    if options["adapter_dim"]:
        raise ValueError(
            f"{path}: was trained with --adapter-dim {options['adapter_dim']}; bottleneck adapters are no linear maps "
            "and cannot be folded into the weights: decode with the checkpoint and its base as they are"
        )
    base = find((overrides or {}).get("base_checkpoint") or options["base_checkpoint"], [Path(path).parent])
    _check_out(Path(out), {"the checkpoint to merge": Path(path), "its base": base}, overwrite=overwrite)
    ((model, _, _),) = load_adapted([path], overrides)
    state["model"] = merged_state(model)
    forget_additions(options)
    state.pop("last_optimizer_state", None)
    with replacing(Path(out)) as partial:
        torch.save(state, partial)


def _check_out(out: Path, read: Mapping[str, Path], *, overwrite: bool) -> None:
    """Hold that nothing is replaced that was not to be.

    Raises:
        ValueError: ``out`` is a file of ``read``, a folder, or there already.
    """
    for what, path in read.items():
        if out.resolve() == path.resolve():
            raise ValueError(f"--out {out}: is {what}; give another")
    if out.is_dir():
        raise ValueError(f"--out {out}: is a folder, but a file is written; give another")
    if out.exists() and not overwrite:
        raise ValueError(f"--out {out}: there already; give another, or --overwrite")


def forget_additions(options: dict[str, Any]) -> None:
    """Make options of a model over a base, by name, those of the merged one: no part that they name is an addition."""
    options.update({field.name: field.default for field in fields(SpeechT5Config) if field.name in ADDITIONS})


def merged_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every tensor of a model over a base, with its low-rank updates folded into the weights; the model loses both."""
    fold(model)
    model.base = None
    return model.state_dict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", help="written by fairseq-train with --base-checkpoint")
    parser.add_argument("--out", required=True, help="checkpoint to write")
    parser.add_argument(
        "--model-overrides", default="{}", help="options that changed since training: \"{'base_checkpoint': 'PATH'}\""
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file that is at --out")
    args = parser.parse_args()
    try:
        merge(args.checkpoint, args.out, ast.literal_eval(args.model_overrides), overwrite=args.overwrite)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()

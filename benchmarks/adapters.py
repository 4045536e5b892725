"""What each way of fine-tuning for recognition trains and saves: weights, and the size of the checkpoint's model.

    python -m benchmarks.adapters
    python -m benchmarks.adapters --sizes speecht5

Every model is built over a pre-trained one (of random weights) by the options that the table names. A checkpoint of
fairseq-train holds Adam's two moments of what is trained besides.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import torch

from speecht5_fairseq.models import SpeechT5Config, SpeechT5LargeConfig, SpeechT5Model, SpeechT5SmallConfig
from speecht5_fairseq.models.adapters import trained_weights
from speecht5_fairseq.models.base_checkpoint import Bases
from speecht5_fairseq.models.jobs import JOBS

from .models import UNITS, dictionary

SIZES = {"speecht5_small": SpeechT5SmallConfig, "speecht5": SpeechT5Config, "speecht5_large": SpeechT5LargeConfig}
METHODS: dict[str, dict[str, object] | None] = {
    "full fine-tuning": None,  # without a base
    "frozen encoder": {"train_nets": "decoder,text_decoder_prenet"},
    "LoRA, rank 8, q,v": {"lora_rank": 8},
    "LoRA, rank 8, every Linear": {"lora_rank": 8, "lora_targets": "q,k,v,out,fc1,fc2"},
    "adapters, width 64": {"adapter_dim": 64},
}


def build(cfg: SpeechT5Config, job: str, base: Path | None = None) -> SpeechT5Model:
    """A model of ``job`` with the vocabulary and the units of the benchmarks, over ``base`` where there is one."""
    symbols, units = dictionary(), UNITS if "units" in JOBS[job].heads else 0
    return SpeechT5Model(
        cfg,
        JOBS[job],
        symbols=list(symbols.symbols),
        padding=symbols.pad(),
        units=units,
        base=None if base is None else Bases().read(str(base)),
    )


def saved_bytes(model: SpeechT5Model) -> int:
    """Size of a file with what the model saves."""
    file = io.BytesIO()
    torch.save({"model": model.state_dict()}, file)
    return file.tell()


def rows(size: str, folder: Path) -> list[tuple[str, int, int, float]]:
    """(method, trained weights, all weights, MB of the checkpoint's model)."""
    base = folder / f"{size}.pt"
    torch.save({"model": build(SIZES[size](), "pretrain").state_dict()}, base)
    found = []
    for method, options in METHODS.items():
        model = build(SIZES[size](**(options or {})), "s2t", None if options is None else base)
        total = sum(parameter.numel() for parameter in model.parameters())
        found.append((method, sum(trained_weights(model).values()), total, saved_bytes(model) / 1e6))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["speecht5_small", "speecht5"])
    args = parser.parse_args()
    for size in args.sizes:
        print(f"\n{size:28}{'trained':>14}{'share':>9}{'model MB':>10}")
        with tempfile.TemporaryDirectory() as folder:
            for method, trained, total, megabytes in rows(size, Path(folder)):
                print(f"{method:28}{trained:14,}{trained / total:9.2%}{megabytes:10.2f}")


if __name__ == "__main__":
    main()

"""The precision in which fairseq-generate runs a model: an option of all jobs that decode step by step."""

from __future__ import annotations

import logging
from dataclasses import field
from typing import Any

import torch
from fairseq.dataclass import ChoiceEnum

from ..modules.precision import has_bfloat16

logger = logging.getLogger(__name__)

PRECISIONS = ChoiceEnum(["float32", "bfloat16", "float64"])


def precision_field(float64: str) -> Any:
    """The option ``generation_precision``; ``float64`` says in its help what that is good for."""
    text = f"generation: bfloat16 products are the fastest where the processor has them; {float64}"
    return field(default="float32", metadata={"help": text})


def set_precision(model: Any, precision: str, *, fp16: bool) -> None:
    """Make ``model`` ready to decode in one of ``PRECISIONS``; ``fp16`` is fairseq's own option.

    Raises:
        ValueError: two precisions are asked for.
    """
    if fp16 and precision != "float32":
        raise ValueError(f"--fp16 and --generation-precision {precision} exclude each other: drop one")
    if precision == "float64":
        model.double()
    device = next(model.parameters()).device
    if precision == "bfloat16" and not has_bfloat16(device):
        logger.warning("--generation-precision bfloat16: the %s here has no such products; float32 is faster", device)
    model.prepare_decoding(torch.bfloat16 if precision == "bfloat16" else None)

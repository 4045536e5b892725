"""The precision in which fairseq-generate runs a model: an option of all jobs that decode step by step."""

from __future__ import annotations

import logging
from dataclasses import field
from typing import Any

import torch
from fairseq.dataclass import ChoiceEnum

from ..modules.precision import has_bfloat16, has_half_weights

logger = logging.getLogger(__name__)

PRECISIONS = ChoiceEnum(["float32", "float16", "bfloat16", "float64"])
PRODUCTS = {"float16": torch.float16, "bfloat16": torch.bfloat16}  # what the model is prepared for, if not its own


def precision_field(float64: str) -> Any:
    """The option ``generation_precision``; ``float64`` says in its help what that is good for."""
    text = (
        "generation: float16 halves what a step reads of the decoder's weights, the fastest for one utterance on a CPU "
        f"(on a GPU it is that of all products); bfloat16 products are fast where the processor has them; {float64}"
    )
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
    prepare(model, precision, "--generation-precision")


def prepare(model: Any, precision: str, option: str) -> None:
    """Make ``model`` ready to decode in a precision that its weights have or are copied to; ``option`` named that."""
    device = next(model.parameters()).device
    lacks = {
        "bfloat16": not has_bfloat16(device),
        "float16": device.type == "cpu" and not has_half_weights(),
    }
    if lacks.get(precision, False):
        logger.warning("%s %s: the %s here has no such products; float32 is faster", option, precision, device)
    model.prepare_decoding(PRODUCTS.get(precision))

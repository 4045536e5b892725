"""How fairseq-train calculates, whatever the job: options that change its speed, not what is learnt."""

from dataclasses import dataclass, field

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from omegaconf import II

from ..models.options import warn_without_effect
from ..models.speecht5 import SpeechT5Model
from ..modules.compilation import compile_layers

MATMUL_PRECISIONS = ChoiceEnum(["highest", "high", "medium"])  # torch's names
OPTIONS = ("matmul_precision", "compile_layers")


@dataclass
class SpeedConfig(FairseqDataclass):
    """Options of training that all tasks share."""

    matmul_precision: MATMUL_PRECISIONS = field(
        default="highest",
        metadata={
            "help": "training: float32 products of all digits (highest), of about 3 (high: TF32 on a GPU) "
            "or 2 (medium: bfloat16 where a CPU has it, TF32 on a GPU); sums stay float32"
        },
    )
    compile_layers: bool = field(
        default=False,
        metadata={"help": "training: torch.compile of the Transformer layers, for GPUs; needs a C++ compiler"},
    )
    cpu: bool = II("common.cpu")


def speed_up(model: SpeechT5Model, cfg: SpeedConfig) -> None:
    """Let this process train ``model`` as the options say."""
    torch.set_float32_matmul_precision(str(cfg.matmul_precision))  # of validation's products too
    if cfg.compile_layers:
        decoder = [] if model.decoder is None else model.decoder.layers
        on_gpu = torch.cuda.is_available() and not cfg.cpu
        compile_layers([*model.encoder.layers, *decoder], device="cuda" if on_gpu else "cpu")


def warn_of_speed(cfg: SpeedConfig) -> None:
    """Said by what decodes or generates."""
    warn_without_effect(cfg, SpeedConfig, OPTIONS, "they are for fairseq-train")

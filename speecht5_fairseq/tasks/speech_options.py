"""Options of every task that reads speech manifests."""

from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum
from omegaconf import II, MISSING

from ..models.options import warn_without_effect
from ..ranges import COUNT, SIZE, optional, ranged
from ..training.bad_updates import BadUpdatesConfig
from ..training.pictures import PicturesConfig
from ..training.speed import SpeedConfig

VERIFY_LEVELS = ChoiceEnum(["full", "quick", "off"])


@dataclass
class SpeechTaskConfig(SpeedConfig, BadUpdatesConfig, PicturesConfig):
    """Options of every job that reads speech manifests."""

    data: Any = field(default=MISSING, metadata={"help": "folder of the manifests, {split}.tsv"})
    label_dir: Optional[str] = field(
        default=None,
        metadata={"help": "folder of the labels and dictionaries (default: data; dict.txt may stay there)"},
    )
    audio_root: Optional[str] = field(
        default=None, metadata={"help": "folder of the audio, if it was moved (default: the manifest's first line)"}
    )
    allow_outside_root: bool = field(
        default=False,
        metadata={"help": "let manifests' paths lead out of the audio root ('..', absolute): for manifests you trust"},
    )
    refuse_other_rates: bool = field(
        default=False, metadata={"help": "refuse audio that is not 16 kHz instead of resampling it"}
    )
    min_speech_samples: Optional[int] = ranged(
        None, "leave rows with a recording under this many samples (16,000 a second) out of training", optional(COUNT)
    )
    max_speech_samples: Optional[int] = ranged(
        None, "leave rows with a recording over this many samples out of training", optional(SIZE)
    )
    allow_left_out: bool = field(
        default=False,
        metadata={
            "help": "leave rows too short for an encoder frame or a decoder step out of validation and test splits "
            "(default: an error)"
        },
    )
    verify_data: VERIFY_LEVELS = field(
        default="full",
        metadata={
            "help": "before the first update: full (read every row's audio and labels, all text), quick (256 rows), off"
        },
    )
    finetune_nets: str = field(
        default="",
        metadata={
            "help": "what to take of --finetune-from-model: 'encoder,decoder.layers.0-3' (default: all that fits)"
        },
    )
    new_vocabulary: bool = field(
        default=False,
        metadata={
            "help": "take a --finetune-from-model of another dict.txt: the rows of the symbols that both have are kept"
        },
    )
    new_nets: str = field(
        default="",
        metadata={
            "help": "nets to start from initial values (ctc_head and speaker_head do where the checkpoint has none)"
        },
    )
    seed: int = II("common.seed")
    train_subset: str = II("dataset.train_subset")
    save_dir: str = II("checkpoint.save_dir")
    path: Optional[str] = II("common_eval.path")
    restore_file: str = II("checkpoint.restore_file")
    finetune_from_model: Optional[str] = II("checkpoint.finetune_from_model")
    ddp_backend: str = II("distributed_training.ddp_backend")
    find_unused_parameters: bool = II("distributed_training.find_unused_parameters")
    zero_sharding: str = II("distributed_training.zero_sharding")
    num_shards: int = II("dataset.num_shards")


def warn_of_training_limits(cfg: SpeechTaskConfig) -> None:
    """Said by what decodes or generates."""
    why = "only training leaves rows out for their length"
    warn_without_effect(cfg, SpeechTaskConfig, ("min_speech_samples", "max_speech_samples"), why)


def reject_shards(cfg: SpeechTaskConfig) -> None:
    """Called by what decodes or generates.

    Raises:
        ValueError: ``--num-shards``, which fairseq-generate takes and does not read.
    """
    if cfg.num_shards > 1:
        raise ValueError(
            f"--num-shards {cfg.num_shards} has no effect in fairseq-generate, and every run would do the whole split: "
            "split the manifest, and give each part a --results-path of its own"
        )


def reject_processes(count: int) -> None:
    """Called by what writes generated speech, with the number of processes that share a split.

    Raises:
        ValueError: more than one.
    """
    if count > 1:
        raise ValueError(
            f"--distributed-world-size {count} would make a part of the split and call it whole: generate with one "
            "process, or give each process a manifest and a --results-path of its own"
        )

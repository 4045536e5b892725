"""The published code's command lines: ``--task speecht5 --t5-task JOB --criterion speecht5`` and their flags.

They resolve to the tasks of this code here, to its criterions in ``criterions/released.py`` and to its model in
``models/released_options.py``.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from fairseq.dataclass.configs import FairseqConfig
from fairseq.tasks import FairseqTask, register_task
from omegaconf import OmegaConf

from ..constants import ENCODER_FRAME_RATE, SAMPLE_RATE
from ..criterions.released import CTC_WEIGHT
from ..models.flag_values import BATCH_RATIO, one_of
from ..models.released_flags import JOBS, Fixed, Flag, Idle, add_flag, add_flags, check_flags, read_flags
from ..ranges import COUNT, POSITIVE, SHARE, SIZE, optional
from .base import SpeechT5Task
from .pretrain import PretrainTask, PretrainTaskConfig
from .s2c import S2CTask, S2CTaskConfig
from .s2s import S2STask, S2STaskConfig
from .s2t import S2TTask, S2TTaskConfig
from .t2s import T2STask, T2STaskConfig

TASKS: dict[str, tuple[type[SpeechT5Task], type]] = {
    "pretrain": (PretrainTask, PretrainTaskConfig),
    "s2t": (S2TTask, S2TTaskConfig),
    "t2s": (T2STask, T2STaskConfig),
    "s2s": (S2STask, S2STaskConfig),
    "s2c": (S2CTask, S2CTaskConfig),
}
HOP = 256  # samples of one of --max-speech-positions
MOST_POSITIONS = 4000  # the published default of --max-speech-positions
SHORTEST_PRETRAINING = 2 * SAMPLE_RATE  # samples; shorter utterances are not trained on
ANY_RATE = 100.0  # the published default of --sample-rate, which no audio has

PRETRAIN = ("pretrain",)
FINE_TUNED = tuple(job for job in JOBS if job not in PRETRAIN)
TEXT_BREAKS = {"eos": "sentence", "complete": "complete"}
TASK_FLAGS = (
    Flag("hubert_label_dir", None, "as --label-dir", decoding=True),
    Flag("bpe_tokenizer", None, "as --spm-model", ("s2t", "t2s"), decoding=True),
    Flag(
        "max_speech_sample_size",
        None,
        "as --max-speech-samples; in pre-training as --crop-samples",
        rule=optional(SIZE),
    ),
    Flag("min_speech_sample_size", None, "as --min-speech-samples", FINE_TUNED, optional(COUNT)),
    Flag(
        "max_speech_positions",
        MOST_POSITIONS,
        f"as --max-speech-samples, in hops of {HOP} samples; of the two the smaller counts",
        FINE_TUNED,
        SIZE,
    ),
    Flag("label_rates", -1.0, "as --unit-rate", PRETRAIN, optional(SIZE, unset=-1.0)),
    Flag("sample_rate", ANY_RATE, f"{SAMPLE_RATE}: other audio is resampled", decoding=True),
    Flag("normalize", False, "as --normalize-waveform"),
    Flag("tokens_per_sample", 512, "as --tokens-per-text-sample", PRETRAIN, SIZE),
    Flag(
        "sample_break_mode",
        "eos",
        "as --text-break: eos is sentence, complete is complete",
        PRETRAIN,
        one_of(TEXT_BREAKS),
    ),
    Flag("mask", 0.3, "as --infilling-ratio", PRETRAIN, SHARE),
    Flag("mask_random", 0.1, "as --infilling-random", PRETRAIN, SHARE),
    Flag("poisson_lambda", 3.5, "as --infilling-span", PRETRAIN, POSITIVE),
    Flag("batch_ratio", None, "as --text-batch-ratio: '[1,RATIO]'", PRETRAIN, BATCH_RATIO),
    Flag("finetune_from_modules", None, "as --finetune-nets, with '-' between the nets"),
)
# Options of ours: what the published code does at a start in silence, or for another dictionary by other means; speed.
OWN_FLAGS = (
    Flag(
        "new_vocabulary", False, "this code's: take a checkpoint of another dict.txt, the rows of its symbols by name"
    ),
    Flag("new_nets", "", "this code's: nets to start from initial values"),
    Flag(
        "matmul_precision",
        "highest",
        "this code's: float32 products with all digits (highest), about 3 (high) or 2 (medium)",
        rule=one_of({name: name for name in ("highest", "high", "medium")}),
    ),
    Flag("compile_layers", False, "this code's: torch.compile of the Transformer layers, for GPUs"),
    Flag("max_bad_updates", 10, "this code's: updates in a row that may have a loss that is not finite", rule=COUNT),
    Flag("picture_interval", 0, "this code's: show utterances in the first of so many validations", rule=COUNT),
    Flag("picture_utterances", 3, "this code's: utterances that --picture-interval shows", rule=SIZE),
)
# Flags of the task that have one value here.
FIXED_TASK: Fixed = {
    "insert": (0.0,),
    "permute": (0.0,),
    "rotate": (0.0,),
    "permute_sentences": (0.0,),
    "mask_length": ("span-poisson",),
    "replace_length": (1,),
    "iid_noise_target": (False,),
    "shorten_method": ("none",),
    "finetune_out_of_modules": (None,),
}
# Flags of the task that do nothing, and why; said of those that differ from the published default.
IDLE_TASK: Idle = {
    "config_yaml": ("config.yaml", "nothing reads it there either"),
    "max_text_positions": (450, "no length of a text is too long for the model; memory limits it"),
    "shorten_data_split_list": ("", "it belongs to --shorten-method, which is not built"),
    "pad_audio": (False, "a batch is always padded to its longest utterance"),
    "enable_padding": (False, "a batch is always padded to its longest utterance"),
    "random_crop": (False, None),  # crops of training always are
    "single_target": (False, "nothing reads it there either"),
    "sample_ratios": (None, "an epoch is one pass over the speech; --batch-ratio says how much text is beside it"),
}
NETS = {"hubert_layer": "unit_head", "speaker_decoder_postnet": "speaker_head"}  # others have one name on both sides


@register_task("speecht5")
class ReleasedTask(FairseqTask):
    """One of this code's tasks, chosen by ``--t5-task`` and set up from the published flags."""

    @classmethod
    def add_args(cls, parser: ArgumentParser) -> None:
        """fairseq's entry."""
        parser.add_argument("data", help="folder of the manifests, {split}.tsv, and of dict.txt")
        parser.add_argument("--t5-task", choices=list(TASKS), required=True, help="the job")
        add_flags(parser, TASK_FLAGS, FIXED_TASK, IDLE_TASK)
        add_flag(parser, CTC_WEIGHT)
        for flag in OWN_FLAGS:
            add_flag(parser, flag)

    @classmethod
    def setup_task(cls, cfg: Namespace, **kwargs: Any) -> SpeechT5Task:
        """fairseq's entry: the job's task.

        Raises:
            ValueError: a flag with a value that is not built, or that cannot be read.
        """
        decodes = _decodes(cfg)
        if not decodes:  # fairseq-generate reads none of these, and has its own
            check_flags(cfg, FIXED_TASK, IDLE_TASK)
        flags = (*TASK_FLAGS, *OWN_FLAGS, *([CTC_WEIGHT] if decodes else []))  # which in training is the criterion's
        args = read_flags(cfg, flags, cfg.t5_task, decodes=decodes, quiet=kwargs.get("from_checkpoint", False))
        task, config = TASKS[cfg.t5_task]
        options = {**_borrowed(args, config), **_common(args), **JOB_OPTIONS[cfg.t5_task](args)}
        return task.setup_task(OmegaConf.structured(config(**options)), **kwargs)


def _decodes(args: Namespace) -> bool:
    return bool(vars(args).get("path"))


def _borrowed(args: Namespace, config: type) -> dict[str, Any]:
    """Options that a task borrows from fairseq's groups ("${group.name}")."""
    given, found = vars(args), {}
    for field in fields(config):
        if isinstance(field.default, str) and field.default.startswith("${"):
            group, name = field.default[2:-1].split(".")
            found[field.name] = given.get(name, getattr(getattr(FairseqConfig(), group), name))
    return found


def _common(args: Namespace) -> dict[str, Any]:
    if args.sample_rate not in (ANY_RATE, SAMPLE_RATE):
        raise ValueError(f"--sample-rate {args.sample_rate:g}: the model hears {SAMPLE_RATE}; other audio is resampled")
    nets = (args.finetune_from_modules or "").split("-")
    return {
        "data": args.data,
        "label_dir": args.hubert_label_dir,
        "min_speech_samples": args.min_speech_sample_size,
        "max_speech_samples": None if _decodes(args) else _longest(args),
        "finetune_nets": ",".join(NETS.get(net, net) for net in nets),
        "new_vocabulary": args.new_vocabulary,
        "new_nets": args.new_nets,
        "matmul_precision": args.matmul_precision,
        "compile_layers": args.compile_layers,
        "max_bad_updates": args.max_bad_updates,
        "picture_interval": args.picture_interval,
        "picture_utterances": args.picture_utterances,
    }


def _longest(args: Namespace) -> int:
    """Samples of the longest utterance to train on: of the two flags the smaller, where both are given."""
    positions, samples = args.max_speech_positions, args.max_speech_sample_size
    asked = [] if samples is None else [samples]
    if not asked or positions != MOST_POSITIONS:
        asked.append(positions * HOP)
    return min(asked)


def _pretraining(args: Namespace) -> dict[str, Any]:
    crop = {} if args.max_speech_sample_size is None else {"crop_samples": args.max_speech_sample_size}
    return {
        **crop,
        "min_speech_samples": SHORTEST_PRETRAINING,
        "max_speech_samples": None,
        "unit_rate": args.label_rates or ENCODER_FRAME_RATE,
        "text_data": args.data,
        "tokens_per_text_sample": args.tokens_per_sample,
        "text_break": args.sample_break_mode,
        "text_batch_ratio": args.batch_ratio,
        "infilling_ratio": args.mask,
        "infilling_span": args.poisson_lambda,
        "infilling_random": args.mask_random,
    }


def _recognition(args: Namespace) -> dict[str, Any]:
    weight = args.ctc_weight if _decodes(args) else 0.0  # in training it is the criterion's
    return {"spm_model": args.bpe_tokenizer, "ctc_decoding_weight": weight}


JOB_OPTIONS: dict[str, Callable[[Namespace], dict[str, Any]]] = {
    "pretrain": _pretraining,
    "s2t": _recognition,
    "t2s": lambda args: {"spm_model": args.bpe_tokenizer},
    "s2s": lambda args: {},
    "s2c": lambda args: {},
}

"""The published code's command lines: ``--task speecht5 --t5-task JOB --criterion speecht5`` and their flags.

They resolve to the tasks of this code here, to its criterions in ``criterions/released.py`` and to its model in
``models/released_options.py``.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from ast import literal_eval
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from fairseq.dataclass.configs import FairseqConfig
from fairseq.tasks import FairseqTask, register_task
from omegaconf import OmegaConf

from ..constants import ENCODER_FRAME_RATE, SAMPLE_RATE
from ..criterions.released import CTC_WEIGHT
from ..models.released_flags import Fixed, Flag, Idle, add_flag, add_flags, check_flags
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
SHORTEST_PRETRAINING = 2 * SAMPLE_RATE  # samples; shorter utterances are not trained on
ANY_RATE = 100.0  # the published default of --sample-rate, which no audio has

TASK_FLAGS = (
    Flag("hubert_label_dir", None, "as --label-dir"),
    Flag("bpe_tokenizer", None, "as --spm-model (s2t, t2s)"),
    Flag("max_speech_sample_size", None, "as --max-speech-samples; in pre-training as --crop-samples"),
    Flag("min_speech_sample_size", None, "as --min-speech-samples"),
    Flag("max_speech_positions", 4000, f"as --max-speech-samples, in hops of {HOP} samples"),
    Flag("label_rates", -1.0, "as --unit-rate"),
    Flag("sample_rate", ANY_RATE, f"{SAMPLE_RATE}: other audio is resampled"),
    Flag("normalize", False, "as --normalize-waveform"),
    Flag("tokens_per_sample", 512, "as --tokens-per-text-sample"),
    Flag("sample_break_mode", "eos", "as --text-break: eos is sentence, complete is complete"),
    Flag("mask", 0.3, "as --infilling-ratio"),
    Flag("mask_random", 0.1, "as --infilling-random"),
    Flag("poisson_lambda", 3.5, "as --infilling-span"),
    Flag("batch_ratio", None, "as --text-batch-ratio: '[1,RATIO]'"),
    Flag("finetune_from_modules", None, "as --finetune-nets, with '-' between the nets"),
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
TEXT_BREAKS = {"eos": "sentence"}  # others have one name on both sides
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

    @classmethod
    def setup_task(cls, cfg: Namespace, **kwargs: Any) -> SpeechT5Task:
        """fairseq's entry: the job's task.

        Raises:
            ValueError: a flag with a value that is not built, or that cannot be read.
        """
        if not _decodes(cfg):  # it reads none of these, and fairseq-generate has its own
            check_flags(cfg, FIXED_TASK, IDLE_TASK)
        task, config = TASKS[cfg.t5_task]
        options = {**_borrowed(cfg, config), **_common(cfg), **JOB_OPTIONS[cfg.t5_task](cfg)}
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
    longest = args.max_speech_sample_size
    if longest is None and not _decodes(args):
        longest = args.max_speech_positions * HOP
    nets = (args.finetune_from_modules or "").split("-")
    return {
        "data": args.data,
        "label_dir": args.hubert_label_dir,
        "min_speech_samples": args.min_speech_sample_size,
        "max_speech_samples": longest,
        "finetune_nets": ",".join(NETS.get(net, net) for net in nets),
    }


def _pretraining(args: Namespace) -> dict[str, Any]:
    rate = args.label_rates if args.label_rates > 0 else ENCODER_FRAME_RATE
    crop = {} if args.max_speech_sample_size is None else {"crop_samples": args.max_speech_sample_size}
    return {
        **crop,
        "min_speech_samples": SHORTEST_PRETRAINING,
        "max_speech_samples": None,
        "unit_rate": int(rate),
        "text_data": args.data,
        "tokens_per_text_sample": args.tokens_per_sample,
        "text_break": TEXT_BREAKS.get(args.sample_break_mode, args.sample_break_mode),
        "text_batch_ratio": _ratio(args.batch_ratio),
        "infilling_ratio": args.mask,
        "infilling_span": args.poisson_lambda,
        "infilling_random": args.mask_random,
    }


def _ratio(text: str | None) -> float:
    """The share of text in '[1,0.0086]'."""
    if text is None:
        return 1.0
    try:
        speech, share = (float(part) for part in literal_eval(text))
    except (ValueError, SyntaxError, TypeError) as error:
        raise ValueError(f"--batch-ratio {text}: give two numbers, of speech and of text: [1,0.0086]") from error
    return share / speech


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

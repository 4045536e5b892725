"""The published code's ``--criterion speecht5``: its flags, resolved to the criterions of this code."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

from fairseq.criterions import FairseqCriterion, register_criterion

from ..models.flag_values import LOSS_WEIGHTS, one_of
from ..models.released_flags import Fixed, Flag, Idle, add_flags, check_flags, read_flags
from ..ranges import BELOW_ONE, POSITIVE, SIZE, WEIGHT, optional
from .logging import log_ratio
from .pretrain import PretrainCriterion
from .s2c import S2CCriterion
from .s2t import POST_PROCESS, S2TCriterion, S2TCriterionConfig
from .speech import MEL_LOSS_NAMES, SpeechCriterion

logger = logging.getLogger(__name__)

PRETRAIN, S2T, SPEECH = ("pretrain",), ("s2t",), ("t2s", "s2s")
GUIDED = "use_guided_attn_loss"
MEL_LOSSES = {name.upper(): name for name in MEL_LOSS_NAMES}
WORDS = {name: name for name in POST_PROCESS}
CTC_WEIGHT = Flag(
    "ctc_weight", 0.0, "as --ctc-weight; in fairseq-generate as --ctc-decoding-weight", S2T, WEIGHT, decoding=True
)
CRITERION_FLAGS = (
    Flag("label_smoothing", 0.0, "as --label-smoothing", S2T, BELOW_ONE, needs="ce_weight"),
    Flag("ce_weight", 1.0, "as --ce-weight", S2T, WEIGHT),
    CTC_WEIGHT,
    Flag("post_process", "sentencepiece", "as --wer-post-process", S2T, one_of(WORDS)),
    Flag("pred_masked_weight", 1.0, "as --masked-weight", PRETRAIN, WEIGHT),
    Flag("pred_nomask_weight", 0.0, "as --unmasked-weight", PRETRAIN, WEIGHT),
    Flag(
        "loss_weights", [10.0], "as --feature-penalty-weight and --diversity-weight: '[10,0.1]'", PRETRAIN, LOSS_WEIGHTS
    ),
    Flag("dec_weight", 1.0, "as --reconstruction-weight", PRETRAIN, WEIGHT),
    Flag("bart_weight", 1.0, "as --text-weight", PRETRAIN, WEIGHT),
    Flag("loss_type", "L1", "as --mel-loss; pre-training has L1", SPEECH, one_of(MEL_LOSSES)),
    Flag("bce_pos_weight", 5.0, "as --stop-weight; pre-training has 5", SPEECH, POSITIVE),
    Flag(GUIDED, False, "without it --guided-attention-weight is 0", SPEECH),
    Flag("guided_attn_loss_sigma", 0.4, "as --guided-attention-sigma", SPEECH, POSITIVE, GUIDED),
    Flag("guided_attn_loss_lambda", 1.0, "as --guided-attention-weight", SPEECH, WEIGHT, GUIDED),
    Flag(
        "num_layers_applied_guided_attn",
        -1,
        "as --guided-attention-layers; -1 for all",
        SPEECH,
        optional(SIZE, unset=-1),
        GUIDED,
    ),
    Flag("num_heads_applied_guided_attn", 2, "as --guided-attention-heads", SPEECH, SIZE, GUIDED),
)
FIXED_CRITERION: Fixed = {
    "hubert_weight": (1.0,),
    "bce_loss_lambda": (1.0,),
    "use_weighted_masking": (False,),
    "modules_applied_guided_attn": ("encoder-decoder",),
    "ignore_prefix_size": (0,),
    "wer_kenlm_model": (None,),
}
IDLE_CRITERION: Idle = {
    "report_accuracy": (False, None),  # it always is
    "zero_infinity": (False, "an infinite CTC loss is always left out; nothing reads the flag in the published code"),
    "use_masking": (False, None),  # padding is never part of a loss
    "log_keys": (None, "everything is logged"),
}


class ReleasedS2TCriterion(S2TCriterion):
    """With the accuracy under its published name too, for ``--best-checkpoint-metric s2t_accuracy``."""

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        super().reduce_metrics(logging_outputs)
        log_ratio(logging_outputs, "s2t_accuracy", "correct", "tokens", scale=100)


class ReleasedS2CCriterion(S2CCriterion):
    """With the accuracy under its published name too, for ``--best-checkpoint-metric s2c_accuracy``."""

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        super().reduce_metrics(logging_outputs)
        log_ratio(logging_outputs, "s2c_accuracy", "correct", "nsentences", scale=100)


def _s2t_criterion(args: Namespace, task: Any) -> S2TCriterion:
    weights = {"ce": args.ce_weight, "ctc": args.ctc_weight}
    if not all(weights.values()):  # a loss alone has no weight in the published code
        for name, weight in weights.items():
            if weight not in (0, 1):
                logger.warning("no effect: --%s-weight %s; it is the only loss", name, weight)
        weights = {name: float(weight > 0) for name, weight in weights.items()}
    return ReleasedS2TCriterion(
        task,
        ce_weight=weights["ce"],
        ctc_weight=weights["ctc"],
        label_smoothing=args.label_smoothing if weights["ce"] else S2TCriterionConfig.label_smoothing,
        keep_infinite_ctc=False,
        wer_post_process=args.post_process,
        sentence_avg=args.sentence_avg,
    )


def _speech_criterion(args: Namespace, task: Any) -> SpeechCriterion:
    return SpeechCriterion(
        task,
        mel_loss=args.loss_type,
        stop_weight=args.bce_pos_weight,
        guided_attention_weight=args.guided_attn_loss_lambda if args.use_guided_attn_loss else 0.0,
        guided_attention_sigma=args.guided_attn_loss_sigma,
        guided_attention_layers=args.num_layers_applied_guided_attn,
        guided_attention_heads=args.num_heads_applied_guided_attn,
        sentence_avg=args.sentence_avg,
    )


def _pretrain_criterion(args: Namespace, task: Any) -> PretrainCriterion:
    return PretrainCriterion(
        task,
        masked_weight=args.pred_masked_weight,
        unmasked_weight=args.pred_nomask_weight,
        feature_penalty_weight=args.loss_weights[0],
        diversity_weight=args.loss_weights[-1],
        reconstruction_weight=args.dec_weight,
        text_weight=args.bart_weight,
    )


CRITERIONS: dict[str, Callable[[Namespace, Any], FairseqCriterion]] = {
    "pretrain": _pretrain_criterion,
    "s2t": _s2t_criterion,
    "t2s": _speech_criterion,
    "s2s": _speech_criterion,
    "s2c": lambda args, task: ReleasedS2CCriterion(task),
}


@register_criterion("speecht5")
class ReleasedCriterion(FairseqCriterion):
    """One of this code's criterions, chosen by ``--t5-task`` and set up from the published flags."""

    @classmethod
    def add_args(cls, parser: ArgumentParser) -> None:
        """fairseq's entry."""
        add_flags(parser, CRITERION_FLAGS, FIXED_CRITERION, IDLE_CRITERION)

    @classmethod
    def build_criterion(cls, cfg: Namespace, task: Any) -> FairseqCriterion:
        """fairseq's entry: the job's criterion.

        Raises:
            ValueError: a flag with a value that is not built, or that cannot be read.
        """
        check_flags(cfg, FIXED_CRITERION, IDLE_CRITERION)
        return CRITERIONS[cfg.t5_task](read_flags(cfg, CRITERION_FLAGS, cfg.t5_task), task)

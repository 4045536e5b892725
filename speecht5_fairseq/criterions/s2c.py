"""Criterion of speech to class: cross-entropy of the classes, with the margin that the model was built for."""

from dataclasses import dataclass

from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass

from ..losses.speaker import class_loss
from .logging import LOG2, log_ratio


@dataclass
class S2CCriterionConfig(FairseqDataclass):
    """No options: the loss is the model's ``--speaker-loss``, which the checkpoint keeps."""


@register_criterion("speecht5_s2c", dataclass=S2CCriterionConfig)
class S2CCriterion(FairseqCriterion):
    """The model's loss summed over the utterances; the margin counts in training only, and never for the accuracy."""

    def forward(self, model, sample, reduce: bool = True):
        """Loss, sample size and what to log; ``reduce`` is part of fairseq's interface, sums are always returned."""
        if sample["classes"] is None:
            raise ValueError("the batch has no classes, and a loss needs them: drop --unlabelled")
        output, head = model(**sample["net_input"]), model.speaker_head
        margin = head.margin if model.training else 0.0
        found = class_loss(output.speaker.logits, sample["classes"], kind=head.loss, margin=margin, scale=head.scale)
        size = sample["nsentences"]
        logging = {
            "loss": found.loss.detach(),
            "correct": found.correct,
            "sample_size": size,
            "nsentences": size,
            "ntokens": sample["ntokens"],
        }
        return found.loss, size, logging

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        log_ratio(logging_outputs, "loss", "loss", "sample_size", scale=1 / LOG2)
        log_ratio(logging_outputs, "accuracy", "correct", "nsentences", scale=100)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True

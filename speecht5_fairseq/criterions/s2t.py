"""Criterion of speech to text: cross-entropy of the decoder and CTC of the encoder.

Shapes: B batch, T encoder frames, L tokens, V vocabulary.
"""

import logging
from dataclasses import dataclass, field
from types import SimpleNamespace

import editdistance
import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.data.data_utils import post_process
from fairseq.dataclass import FairseqDataclass
from omegaconf import II
from torch import Tensor, nn

from ..generation.ctc_greedy import ctc_greedy
from ..generation.symbols import text_symbols
from ..losses.text import ctc_loss, ctc_needs_frames, token_loss
from ..models.options import warn_without_effect
from ..outputs import ModelOutput
from ..ranges import BELOW_ONE, WEIGHT, check_ranges, ranged
from .logging import LOG2, log_ratio

logger = logging.getLogger(__name__)

POST_PROCESS = ("sentencepiece", "wordpiece", "letter", "silence", "_EOW", "subword_nmt", "@@", "none")


@dataclass
class S2TCriterionConfig(FairseqDataclass):
    ce_weight: float = ranged(0.5, "weight of the decoder's cross-entropy", WEIGHT)
    ctc_weight: float = ranged(0.5, "weight of the encoder's CTC loss; 0 for none", WEIGHT)
    label_smoothing: float = ranged(0.1, "label smoothing of the cross-entropy", BELOW_ONE)
    keep_infinite_ctc: bool = field(
        default=False,
        metadata={"help": "an utterance with more symbols than frames makes CTC infinite (default: it counts 0)"},
    )
    wer_post_process: str = field(
        default="sentencepiece", metadata={"help": "how pieces become words for the validation WER, as --post-process"}
    )
    sentence_avg: bool = II("optimization.sentence_avg")


@register_criterion("speecht5_s2t", dataclass=S2TCriterionConfig)
class S2TCriterion(FairseqCriterion):
    """ce_weight x label-smoothed cross-entropy + ctc_weight x CTC, both summed, divided by tokens or utterances.

    Validation also reports the unit (piece) and word error rate of greedy CTC.

    Raises:
        ValueError: an option out of its range, no such way to make words, or no loss at all.
    """

    def __init__(
        self,
        task,
        ce_weight: float,
        ctc_weight: float,
        label_smoothing: float,
        keep_infinite_ctc: bool,
        wer_post_process: str,
        sentence_avg: bool,
    ) -> None:
        super().__init__(task)
        self.ce_weight, self.ctc_weight = ce_weight, ctc_weight
        self.label_smoothing = label_smoothing
        check_ranges(self, S2TCriterionConfig)
        _check_post_process(wer_post_process)
        if not (ce_weight or ctc_weight):
            raise ValueError("--ce-weight 0 and --ctc-weight 0: nothing would be learned; give one of them above 0")
        if ce_weight == 0:
            options = SimpleNamespace(label_smoothing=label_smoothing)
            warn_without_effect(options, S2TCriterionConfig, vars(options), "it needs --ce-weight above 0")
        self.told_of_head = False
        self.zero_infinity = not keep_infinite_ctc
        self.wer_post_process = wer_post_process
        self.sentence_avg = sentence_avg
        self.dictionary = task.target_dictionary
        self.blank = task.ctc_blank
        self.symbols = text_symbols(self.dictionary)

    def forward(self, model, sample, reduce: bool = True):
        """Loss, sample size and what to log; ``reduce`` is part of fairseq's interface, sums are always returned."""
        if sample["target"] is None:
            raise ValueError("the batch has no transcripts, and a loss needs them: drop --unlabelled")
        output = model(**sample["net_input"])
        self._check_head(model, output)
        ce = token_loss(
            output.text_logits, sample["target"], padding=self.dictionary.pad(), smoothing=self.label_smoothing
        )
        loss = self.ce_weight * ce.loss
        log = {
            "ntokens": sample["ntokens"],
            "nsentences": sample["nsentences"],
            "ce": ce.loss.detach(),
            "nll": ce.nll.detach(),
            "correct": ce.correct,
            "tokens": ce.tokens,
        }
        if output.ctc_logits is not None and (self.ctc_weight > 0 or not model.training):
            ctc = self._ctc(output, sample, log)
            loss = loss if self.ctc_weight == 0 else loss + self.ctc_weight * ctc
            if not model.training:
                self._count_errors(output, sample, log)
        sample_size = sample["nsentences"] if self.sentence_avg else sample["ntokens"]
        log |= {"loss": loss.detach(), "sample_size": sample_size}
        return loss, sample_size, log

    def _check_head(self, model: nn.Module, output: ModelOutput) -> None:
        if self.ctc_weight > 0 and output.ctc_logits is None:
            raise ValueError(
                f"--ctc-weight {self.ctc_weight} needs the CTC head that --no-ctc-head left out; "
                "give --ctc-weight 0 or drop --no-ctc-head"
            )
        if self.ctc_weight == 0 and output.ctc_logits is not None and model.training and not self.told_of_head:
            logger.warning(
                "--ctc-weight 0 never trains the CTC head, which is computed and saved all the same (and torch's own "
                "data parallel wants its gradients): add --no-ctc-head"
            )
            self.told_of_head = True

    def _ctc(self, output: ModelOutput, sample: dict, log: dict) -> Tensor:
        """Sum of the utterances' CTC losses; the closing </s> is no symbol of CTC."""
        target, lengths = sample["target"][:, :-1], sample["target_lengths"] - 1
        frames = output.encoded.lengths
        losses = ctc_loss(
            output.ctc_logits, frames, target, lengths, blank=self.blank, zero_infinity=self.zero_infinity
        )
        log["ctc"] = losses.sum().detach()
        log["ctc_too_long"] = (ctc_needs_frames(target, lengths) > frames).sum()
        return losses.sum()

    @torch.no_grad()
    def _count_errors(self, output: ModelOutput, sample: dict, log: dict) -> None:
        eos, never = self.symbols.eos, self.symbols.never  # as decoding has it
        greedy = ctc_greedy(output.ctc_logits.float(), output.encoded.lengths, self.blank, eos, forbidden=never)
        guesses = [row[:length] for row, length in zip(greedy.tokens, greedy.lengths.tolist(), strict=True)]
        counts = dict.fromkeys(("unit_errors", "units", "word_errors", "words"), 0)
        for guess, target, length in zip(guesses, sample["target"], sample["target_lengths"].tolist(), strict=True):
            wanted = target[: length - 1]
            counts["unit_errors"] += editdistance.eval(guess.tolist(), wanted.tolist())
            counts["units"] += len(wanted)
            words = self._words(wanted)
            counts["word_errors"] += editdistance.eval(self._words(guess), words)
            counts["words"] += len(words)
        log |= counts

    def _words(self, tokens: Tensor) -> list[str]:
        return post_process(self.dictionary.string(tokens), self.wer_post_process).split()

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        log_ratio(logging_outputs, "loss", "loss", "sample_size", scale=1 / LOG2)
        log_ratio(logging_outputs, "ce_loss", "ce", "tokens", scale=1 / LOG2)
        log_ratio(logging_outputs, "nll_loss", "nll", "tokens", scale=1 / LOG2)
        log_ratio(logging_outputs, "ctc_loss", "ctc", "tokens", scale=1 / LOG2)
        log_ratio(logging_outputs, "accuracy", "correct", "tokens", scale=100)
        log_ratio(logging_outputs, "ctc_too_long", "ctc_too_long", "nsentences")
        log_ratio(logging_outputs, "uer", "unit_errors", "units", scale=100)
        log_ratio(logging_outputs, "wer", "word_errors", "words", scale=100)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True


def _check_post_process(name: str) -> None:
    """fairseq's function itself would refuse only at the first validation.

    Raises:
        ValueError: names the choices.
    """
    if name not in (*POST_PROCESS, "@@ "):  # the last as fairseq spells it too
        raise ValueError(f"--wer-post-process is {name!r}; choose one of {', '.join(POST_PROCESS)}")

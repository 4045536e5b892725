"""Criterion of joint pre-training: masked units and speech reconstruction on speech, infilling on text, and the
diversity of the codebook that both share (SpeechT5, sections 2.2 and 2.3).

Shapes: B batch, T encoder frames, P masked frames, L tokens, G groups, C entries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from ..losses.speech import speech_loss
from ..losses.text import token_loss
from ..losses.units import diversity_loss, unit_loss
from ..models.options import warn_without_effect
from ..modules.masks import valid_mask
from ..modules.quantizer import perplexity
from ..outputs import ModelOutput, QuantizerOutput
from ..ranges import WEIGHT, check_ranges, ranged
from .logging import LOG2, log_ratio, log_sum, summed, total

SIZES = {"speech": "masked_frames", "text": "text_tokens"}  # modality -> what its sums are divided by
MODALITIES = tuple(SIZES)
# Sums that a batch without the modality reports as zero: workers add their logs name by name.
SUMS = ("masked_units", "masked_correct", "frames", "feature_penalty", "l1", "stop", "infilling", "text_correct")
UNMASKED_SUMS = ("unmasked_frames", "unmasked_correct")


@dataclass
class PretrainCriterionConfig(FairseqDataclass):
    masked_weight: float = ranged(1.0, "weight of the units of masked frames", WEIGHT)
    unmasked_weight: float = ranged(
        0.0, "weight of the units of the other frames (not in the sample size); at 0 they are not computed", WEIGHT
    )
    feature_penalty_weight: float = ranged(10.0, "weight of the mean squared conv feature, a masked frame", WEIGHT)
    diversity_weight: float = ranged(0.1, "weight of the codebook's diversity loss, a masked frame or token", WEIGHT)
    reconstruction_weight: float = ranged(
        1.0, "weight of the L1 and stop losses of the speech decoder, a masked frame", WEIGHT
    )
    text_weight: float = ranged(1.0, "weight of text infilling", WEIGHT)


@register_criterion("speecht5_pretrain", dataclass=PretrainCriterionConfig)
class PretrainCriterion(FairseqCriterion):
    """The mean over a batch's masked frames (speech) plus that over its tokens (text); the sample size is how many of
    the two there are.

    As in the published code, both modalities count alike in an update, however many frames and tokens they have.
    Metrics are means over all frames and tokens of an interval, and its loss is the mean of the two.

    Frames that are not masked are not counted at an ``unmasked_weight`` either: it is the weight of their sum for each
    masked frame, and the scale of all other terms does not change with it.

    Raises:
        RangeError: a weight below 0.
    """

    def __init__(
        self,
        task,
        masked_weight: float,
        unmasked_weight: float,
        feature_penalty_weight: float,
        diversity_weight: float,
        reconstruction_weight: float,
        text_weight: float,
    ) -> None:
        super().__init__(task)
        self.masked_weight, self.unmasked_weight = masked_weight, unmasked_weight
        self.feature_penalty_weight = feature_penalty_weight
        self.diversity_weight = diversity_weight
        self.reconstruction_weight = reconstruction_weight
        self.text_weight = text_weight
        check_ranges(self, PretrainCriterionConfig)
        self.padding = None
        if task.text_dictionary is None:
            warn_without_effect(self, PretrainCriterionConfig, ["text_weight"], "it needs --text-data")
        else:
            self.padding = task.text_dictionary.pad()
        self.warned_of_diversity = False

    def forward(self, model, sample, reduce: bool = True):
        """The parts of a joint sample, "speech" and "text", added; a sample may hold either alone."""
        if model.quantizer is None and not self.warned_of_diversity:
            self.warned_of_diversity = True
            warn_without_effect(self, PretrainCriterionConfig, ["diversity_weight"], "it needs --codebook-prob above 0")
        compute = {"speech": self._speech, "text": self._text}
        kinds = [kind for kind in MODALITIES if kind in sample]
        sums, logs = zip(*(compute[kind](model, sample[kind]) for kind in kinds), strict=True)
        logging = self._zeros(model, sums[0])
        for kind, part, log in zip(kinds, sums, logs, strict=True):
            logging |= log | {f"{kind}_loss": part.detach()}
        loss = sum(part / max(logging[SIZES[kind]], 1) for kind, part in zip(kinds, sums, strict=True))
        sample_size = sum(logging[SIZES[kind]] > 0 for kind in kinds)
        logging |= {
            "loss": loss.detach(),
            "sample_size": sample_size,
            "ntokens": sum(sample[kind]["ntokens"] for kind in MODALITIES if kind in sample),
            "nsentences": sample["nsentences"],
        }
        if model.quantizer is not None:
            logging["temperature"] = sample_size * model.quantizer.temperature
        return loss, sample_size, logging

    def _zeros(self, model, loss: Tensor) -> dict:
        """Every name that a batch may log, with the shape that it has there; fairseq sums them in float64."""
        names = [*SUMS, *(f"{kind}_loss" for kind in MODALITIES), *(UNMASKED_SUMS if self.unmasked_weight > 0 else ())]
        log: dict = dict.fromkeys(SIZES.values(), 0)
        if model.quantizer is not None:
            table = torch.zeros(model.quantizer.groups, model.quantizer.entries, device=loss.device)
            log |= {f"{part}_{kind}": table for kind in MODALITIES for part in ("codes", "probs")}
        return log | {name: loss.new_zeros(()) for name in names}

    def _speech(self, model, batch: dict) -> tuple[Tensor, dict]:
        """The sum over masked frames, and what to log."""
        output = model(**batch["net_input"], predict_unmasked=self.unmasked_weight > 0)
        loss, log = self._units(output, batch["target"]["units"])
        size = log["masked_frames"]
        penalty = output.encoded.feature_penalty
        speech = speech_loss(output.speech, batch["net_input"]["target_frames"])
        loss = loss + size * self.feature_penalty_weight * penalty
        loss = loss + size * self.reconstruction_weight * (speech.l1 + speech.stop)
        if output.quantized is not None:
            loss = loss + size * self._diversity(output.quantized, "speech", log)
        log |= {
            "feature_penalty": size * penalty.detach(),
            "l1": size * speech.l1.detach(),
            "stop": size * speech.stop.detach(),
        }
        return loss, log

    def _units(self, output: ModelOutput, units: Tensor) -> tuple[Tensor, dict]:
        units = units[:, : output.encoded.states.size(1)]
        masked = output.encoded.masked
        valid = valid_mask(output.encoded.lengths, masked.size(1))
        inside = unit_loss(output.unit_logits, units[valid & masked])
        loss = self.masked_weight * inside.loss
        log = {
            "masked_frames": int(inside.frames),
            "masked_units": inside.loss.detach(),
            "masked_correct": inside.correct,
            "frames": valid.sum(),
        }
        if output.unmasked_unit_logits is not None:
            outside = unit_loss(output.unmasked_unit_logits, units[valid & ~masked])
            loss = loss + self.unmasked_weight * outside.loss
            log |= {"unmasked_frames": outside.frames, "unmasked_correct": outside.correct}
        return loss, log

    def _text(self, model, batch: dict) -> tuple[Tensor, dict]:
        """The sum over tokens, and what to log."""
        output = model(**batch["net_input"])
        infilling = token_loss(output.text_logits, batch["target"], padding=self.padding, smoothing=0.0)
        size = batch["ntokens"]
        log = {"infilling": infilling.nll.detach(), "text_correct": infilling.correct, "text_tokens": size}
        loss = self.text_weight * infilling.loss
        if output.quantized is not None:
            loss = loss + size * self._diversity(output.quantized, "text", log)
        return loss, log

    def _diversity(self, quantized: QuantizerOutput, kind: str, log: dict) -> Tensor:
        """Weighted diversity loss of this batch; logs the codes of this modality."""
        diversity = diversity_loss(quantized.prob_perplexity, quantized.code_counts)
        log[f"codes_{kind}"] = quantized.code_counts
        log[f"probs_{kind}"] = quantized.prob_sums
        return self.diversity_weight * diversity

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        metrics.log_derived("loss", _mean_loss, priority=10)
        for kind, size in SIZES.items():
            log_ratio(logging_outputs, f"{kind}_loss", f"{kind}_loss", size, scale=1 / LOG2)
        log_ratio(logging_outputs, "unit_loss", "masked_units", "masked_frames", scale=1 / LOG2)
        log_ratio(logging_outputs, "unit_accuracy", "masked_correct", "masked_frames", scale=100)
        log_ratio(logging_outputs, "unmasked_unit_accuracy", "unmasked_correct", "unmasked_frames", scale=100)
        log_ratio(logging_outputs, "l1_loss", "l1", "masked_frames")
        log_ratio(logging_outputs, "stop_loss", "stop", "masked_frames")
        log_ratio(logging_outputs, "feature_penalty", "feature_penalty", "masked_frames", round=5)
        log_ratio(logging_outputs, "infilling_loss", "infilling", "text_tokens", scale=1 / LOG2)
        log_ratio(logging_outputs, "infilling_accuracy", "text_correct", "text_tokens", scale=100)
        log_ratio(logging_outputs, "gumbel_temperature", "temperature", "sample_size", round=4)
        _log_codes(logging_outputs)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True


def _mean_loss(meters: Mapping) -> float:
    """Of the modalities that have been heard or read since these meters began, each the mean over its own."""
    found = [meters[name] for name in map("{}_loss".format, MODALITIES) if name in meters]
    present = [meter.avg for meter in found if meter.count > 0]
    return round(float(sum(present) / len(present)), 3) if present else 0.0


def _log_codes(outputs: list[dict]) -> None:
    """Perplexity of the codes and shares of the codebook in use, of all workers' and steps' frames together."""
    present = [kind for kind, size in SIZES.items() if total(outputs, size) > 0 and f"codes_{kind}" in outputs[0]]
    for kind in present:
        log_sum(outputs, f"codes_{kind}")
        log_sum(outputs, f"probs_{kind}")
        metrics.log_derived(f"{kind}_code_perplexity", partial(_perplexity, name=f"codes_{kind}"))
        metrics.log_derived(f"{kind}_prob_perplexity", partial(_perplexity, name=f"probs_{kind}"))
        metrics.log_derived(f"codes_{kind}", partial(_used, kinds=[kind]))
    if len(present) == len(MODALITIES):
        metrics.log_derived("codes_shared", partial(_used, kinds=MODALITIES))


def _perplexity(meters: Mapping, name: str) -> float:
    sums = summed(meters, name)  # (G, C)
    return round(perplexity(sums / sums.sum(-1, keepdim=True)).item(), 3)


def _used(meters: Mapping, kinds: Sequence[str]) -> float:
    """Percentage of the entries that each of the modalities has chosen."""
    chosen = [summed(meters, f"codes_{kind}") > 0 for kind in kinds]
    return round(100 * reduce(torch.logical_and, chosen).double().mean().item(), 1)

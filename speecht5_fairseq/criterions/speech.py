"""Criterion of the jobs that produce speech: synthesis, voice conversion, enhancement.

Shapes: B batch, N mel frames, L decoder steps, T encoder positions.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Optional

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from omegaconf import II
from torch import Tensor

from ..losses.speech import STOP_WEIGHT, SpeechLoss, focus_rate, guided_attention_loss, speech_loss
from ..models.options import warn_without_effect
from ..modules.decoder import Watch
from ..outputs import ModelOutput
from ..ranges import POSITIVE, SIZE, WEIGHT, check_ranges, optional, ranged
from .logging import log_ratio

MEL_LOSS_NAMES = ("l1", "l2", "l1+l2")
MEL_LOSSES = ChoiceEnum(list(MEL_LOSS_NAMES))


@dataclass
class SpeechCriterionConfig(FairseqDataclass):
    mel_loss: MEL_LOSSES = field(
        default="l1", metadata={"help": "error of the mel frames before and after the post-net"}
    )
    stop_weight: float = ranged(STOP_WEIGHT, "weight of the last frame in the stop loss", WEIGHT)
    guided_attention_weight: float = ranged(10.0, "weight of the guided attention loss; 0 for none", WEIGHT)
    guided_attention_sigma: float = ranged(0.4, "width of the diagonal, as a share of the utterance", POSITIVE)
    guided_attention_layers: Optional[int] = ranged(
        None, "the last N decoder layers are guided (default: all)", optional(SIZE)
    )
    guided_attention_heads: int = ranged(2, "the first N heads of these layers are guided", SIZE)
    sentence_avg: bool = II("optimization.sentence_avg")


@register_criterion("speecht5_speech", dataclass=SpeechCriterionConfig)
class SpeechCriterion(FairseqCriterion):
    """Mel error + stop loss + guided attention, each a mean over the valid frames (or cells) of the batch.

    The sample size is the batch's mel frames, or its utterances with ``--sentence-avg``: batches of an update, on any
    number of workers, count by their size.

    Raises:
        ValueError: an option out of its range, or no such error of the mel frames.
    """

    def __init__(
        self,
        task,
        mel_loss: str,
        stop_weight: float,
        guided_attention_weight: float,
        guided_attention_sigma: float,
        guided_attention_layers: Optional[int],
        guided_attention_heads: int,
        sentence_avg: bool,
    ) -> None:
        super().__init__(task)
        if str(mel_loss) not in MEL_LOSS_NAMES:
            raise ValueError(f"--mel-loss is {str(mel_loss)!r}; choose one of {', '.join(MEL_LOSS_NAMES)}")
        options = SimpleNamespace(
            guided_attention_sigma=guided_attention_sigma,
            guided_attention_layers=guided_attention_layers,
            guided_attention_heads=guided_attention_heads,
        )
        weights = {"stop_weight": stop_weight, "guided_attention_weight": guided_attention_weight}
        check_ranges(SimpleNamespace(**vars(options), **weights), SpeechCriterionConfig)
        if guided_attention_weight == 0:
            why = "it needs --guided-attention-weight above 0"
            warn_without_effect(options, SpeechCriterionConfig, vars(options), why)
        self.parts = str(mel_loss).split("+")
        self.stop_weight = stop_weight
        self.guided_weight = guided_attention_weight
        self.sigma = guided_attention_sigma
        self.layers, self.heads = guided_attention_layers, guided_attention_heads
        self.sentence_avg = sentence_avg

    def forward(self, model, sample, reduce: bool = True):
        """Loss, sample size and what to log; ``reduce`` is part of fairseq's interface, sums are always returned."""
        output = model(**sample["net_input"], watch=self._watch(model))
        losses = speech_loss(output.speech, sample["net_input"]["target_frames"], stop_weight=self.stop_weight)
        loss = sum(getattr(losses, part) for part in self.parts) + losses.stop
        frames = int(output.speech.lengths.sum())
        size = sample["nsentences"] if self.sentence_avg else frames
        logging = {"frames": frames, "sample_size": size, "ntokens": frames, "nsentences": sample["nsentences"]}
        if self.guided_weight > 0:
            loss = loss + self.guided_weight * self._guided(model, output, logging)
        logging |= {name: frames * value.detach() for name, value in self._shown(losses).items()}
        logging["loss"] = size * loss.detach()
        return size * loss, size, logging

    def _watch(self, model) -> Watch | None:
        """The guided heads.

        Raises:
            ValueError: more layers or heads than the decoder has.
        """
        if self.guided_weight <= 0:
            return None
        every = model.decoder.everything
        watch = Watch(every.layers if self.layers is None else self.layers, self.heads)
        for name, asked, there in zip(watch._fields, watch, every, strict=True):
            if not 1 <= asked <= there:
                raise ValueError(
                    f"--guided-attention-{name} is {asked}, the decoder has {there}; give 1 to {there}, or "
                    "--guided-attention-weight 0"
                )
        return watch

    def _guided(self, model, output: ModelOutput, logging: dict) -> Tensor:
        steps = output.speech.lengths // model.reduction_factor
        guided = guided_attention_loss(output.speech.attention, steps, output.encoded.lengths, sigma=self.sigma)
        logging |= {"guided": logging["frames"] * guided.detach(), "focus": torch.zeros_like(guided), "focused": 0}
        if output.speech.attention:  # layerdrop may have skipped every guided layer
            focus = focus_rate([part.detach() for part in output.speech.attention], steps)
            logging |= {"focus": focus.sum(), "focused": len(focus)}
        return guided

    def _shown(self, losses: SpeechLoss) -> dict[str, Tensor]:
        return {"l1": losses.l1, "l2": losses.l2, "stop": losses.stop}

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        log_ratio(logging_outputs, "loss", "loss", "sample_size")
        log_ratio(logging_outputs, "l1_loss", "l1", "frames")
        log_ratio(logging_outputs, "l2_loss", "l2", "frames")
        log_ratio(logging_outputs, "stop_loss", "stop", "frames")
        log_ratio(logging_outputs, "guided_loss", "guided", "frames", round=5)
        log_ratio(logging_outputs, "focus_rate", "focus", "focused")

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True

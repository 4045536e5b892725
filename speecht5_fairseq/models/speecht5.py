"""SpeechT5: one encoder and one decoder for speech and text, with the nets of one job around them.

Shapes: B batch, S samples, T encoder frames, L tokens, N mel frames, M mel bins, D model width, V vocabulary, K beam,
C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from fairseq.models import BaseFairseqModel, register_model
from torch import Tensor

from ..data.mel import log_mel
from ..modules.decoder import Watch
from ..modules.masks import valid_mask
from ..modules.randomness import fresh_seeds
from ..modules.speech_decoder_prenet import previous_frames
from ..outputs import EncoderOutput, ModelOutput, QuantizerOutput, SpeakerOutput, SpeechDecoderOutput
from ..ranges import check_ranges
from . import builder
from .base_checkpoint import Base, lay_beneath
from .checkpoint import UNNAMED_FILES, DictionaryFiles, Start
from .config import SpeechT5Config, SpeechT5LargeConfig, SpeechT5SmallConfig
from .decoding import Decoding
from .encoding import Encoding
from .freezing import Freezing
from .jobs import Job
from .options import check_options, check_prediction
from .partial import BaseReference
from .rates import LearningRates
from .saving import Saving
from .vocabulary import Vocabulary


@register_model("speecht5", dataclass=SpeechT5Config)
class SpeechT5Model(Encoding, Decoding, Saving, BaseFairseqModel):
    """The unified model with the nets of one job; nets that the job does not need are None.

    Training passes through ``forward``. ``encode`` stands in encoding.py, the steps of decoding in decoding.py, what a
    checkpoint has and how it is loaded in saving.py.

    Raises:
        RangeError: an option out of its range.
    """

    def __init__(
        self,
        cfg: SpeechT5Config,
        job: Job,
        *,
        symbols: list[str],
        padding: int,
        units: int,
        classes: Sequence[str] = (),
        base: Base | None = None,
        dictionary_files: DictionaryFiles = UNNAMED_FILES,
    ) -> None:
        """Build the nets of ``job``.

        Args:
            cfg: the model's options.
            job: from ``jobs.JOBS``.
            symbols: the V symbols of the text dictionary in order; empty where the job has no text.
            padding: index of ``<pad>``.
            units: number of k-means units (pre-training), else 0.
            classes: the C speakers (identification) in order.
            base: checkpoint whose tensors are taken and left as they are; None to train everything.
            dictionary_files: where symbols and units were read, for messages.
        """
        super().__init__()
        check_ranges(cfg, SpeechT5Config)
        check_prediction(cfg, job)
        embedding = builder.build_embedding(cfg, len(symbols), padding) if job.has_text else None
        nets = {
            **builder.build_prenets(cfg, job, embedding),
            **builder.build_postnets(cfg, job, embedding),
            **builder.build_heads(cfg, job, len(symbols), units, len(classes)),
        }
        self.speech_encoder_prenet = nets.get("speech_encoder_prenet")
        self.text_encoder_prenet = nets.get("text_encoder_prenet")
        self.encoder = builder.build_encoder(cfg)
        self.quantizer = nets.get("quantizer")
        self.speech_decoder_prenet = nets.get("speech_decoder_prenet")
        self.text_decoder_prenet = nets.get("text_decoder_prenet")
        self.decoder = builder.build_decoder(cfg, job)
        self.speech_decoder_postnet = nets.get("speech_decoder_postnet")
        self.text_decoder_postnet = nets.get("text_decoder_postnet")
        self.ctc_head = nets.get("ctc_head")
        self.unit_head = nets.get("unit_head")
        self.speaker_head = nets.get("speaker_head")
        self.vocabulary = Vocabulary(symbols) if job.has_text else None
        self.classes = Vocabulary(classes) if classes else None
        self.reduction_factor = cfg.reduction_factor
        self.dictionary_files = dictionary_files
        self.whole = False
        self.start: Start | None = None  # what fine-tuning asks of the checkpoint that it starts from
        builder.initialize(self)
        self.base: BaseReference | None = None
        if base is not None:
            self.base = lay_beneath(self, base, train=builder.trained_nets(cfg), files=dictionary_files)
        builder.add_adapters(cfg, self)
        self.freezing = Freezing(
            self, encoder=cfg.freeze_encoder_updates, decoder=cfg.freeze_decoder_updates, parts=cfg.freeze
        )
        self.rates = LearningRates(self, decay=cfg.layer_lr_decay, factors=cfg.lr_factors)

    @classmethod
    def build_model(cls, cfg: SpeechT5Config, task) -> SpeechT5Model:
        """fairseq's entry: the task tells the job, the dictionary and the units."""
        # fairseq's register_model sets the options' class under this name
        return cls.build_from(cfg, task, defaults=getattr(cls, "__dataclass"))  # noqa: B009

    @classmethod
    def build_from(cls, cfg: SpeechT5Config, task, *, defaults: type[SpeechT5Config]) -> SpeechT5Model:
        """The task's model; of options that differ from ``defaults``, those without effect are warned of."""
        dictionary = task.text_dictionary
        symbols = list(dictionary.symbols) if dictionary is not None else []
        padding = dictionary.pad() if dictionary is not None else 0
        model = cls(
            cfg,
            task.job,
            symbols=symbols,
            padding=padding,
            units=task.units,
            classes=task.classes,
            base=builder.read_base(cfg, task.bases, task.checkpoint_folders),
            dictionary_files=task.dictionary_files,
        )
        model.whole = task.from_checkpoint
        check_options(cfg, defaults, task.job, model)
        return model

    def forward(
        self,
        *,
        waveform: Tensor | None = None,
        sample_lengths: Tensor | None = None,
        source_tokens: Tensor | None = None,
        seeds: Tensor | None = None,
        prev_output_tokens: Tensor | None = None,
        target_frames: Tensor | None = None,
        frame_lengths: Tensor | None = None,
        speaker: Tensor | None = None,
        predict_unmasked: bool = False,
        watch: Watch | None = None,
    ) -> ModelOutput:
        """One pass from a speech or text source to a speech or text target, teacher forced.

        Args:
            waveform, sample_lengths: speech source (B, S) and (B,).
            source_tokens: text source (B, L).
            seeds: (B,) for masks and codebook noise; drawn afresh when None.
            prev_output_tokens: text target shifted right (B, L).
            target_frames, frame_lengths: speech target (B, N, M) and (B,).
            speaker: (B, E) of the speech target, or None.
            predict_unmasked: also give the unit logits of the frames that were not masked.
            watch: cross-attention of the speech decoder to give as well.
        """
        batch = waveform if waveform is not None else source_tokens
        seeds = fresh_seeds(len(batch), batch.device) if seeds is None else seeds
        mask = self.training or self.unit_head is not None
        encoded = self.encode(
            waveform=waveform, sample_lengths=sample_lengths, source_tokens=source_tokens, seeds=seeds, mask=mask
        )
        quantized = self.quantize(encoded, seeds)
        memory = encoded.states if quantized is None else quantized.mixed
        return ModelOutput(
            encoded=encoded,
            quantized=quantized,
            text_logits=self.decode_text(memory, encoded.padding_mask, prev_output_tokens),
            speech=self.decode_speech(
                memory,
                encoded.padding_mask,
                target_frames,
                frame_lengths,
                speaker,
                source=self.source_mel(waveform, sample_lengths, frame_lengths),
                watch=watch,
            ),
            ctc_logits=None if self.ctc_head is None else self.ctc_head(encoded.states),
            speaker=self.classify(encoded),
            unit_logits=self._unit_logits(encoded, masked=True),
            unmasked_unit_logits=self._unit_logits(encoded, masked=False) if predict_unmasked else None,
        )

    def quantize(self, encoded: EncoderOutput, seeds: Tensor) -> QuantizerOutput | None:
        """Replace a share of the frames by their codes, where the job has a quantizer."""
        return None if self.quantizer is None else self.quantizer(encoded.states, encoded.lengths, seeds)

    def decode_text(self, memory: Tensor, padding_mask: Tensor | None, tokens: Tensor | None) -> Tensor | None:
        """Previous tokens (B, L) -> logits (B, L, V); None without tokens."""
        if tokens is None:
            return None
        decoded = self.decoder(self.text_decoder_prenet(tokens), memory, padding_mask)
        return self.text_decoder_postnet(decoded.states)

    def decode_speech(
        self,
        memory: Tensor,
        padding_mask: Tensor | None,
        frames: Tensor | None,
        frame_lengths: Tensor | None,
        speaker: Tensor | None,
        *,
        source: Tensor | None = None,
        watch: Watch | None = None,
    ) -> SpeechDecoderOutput | None:
        """Target frames (B, N, M), trimmed to a multiple of r -> frames and stop logits; None without frames.

        The decoder hears the frames before each step, or for a prediction from the source the ``source`` (B, N, M)
        itself: what it is to make a mask or a residual of, with nothing to fall behind or run ahead of.

        Raises:
            ValueError: every target is shorter than one step.
        """
        if frames is None:
            return None
        lengths = frame_lengths - frame_lengths % self.reduction_factor
        if not int(lengths.max()):
            raise ValueError(
                f"--reduction-factor {self.reduction_factor} predicts so many mel frames a step; the longest target of "
                f"the batch has {int(frame_lengths.max())}; leave short ones out with --min-speech-samples"
            )
        frames = frames[:, : int(lengths.max())]
        condition = self.speech_decoder_prenet.condition(speaker)
        heard = previous_frames(frames, self.reduction_factor) if source is None else source
        states = self.speech_decoder_prenet(heard, condition)
        decoded = self.decoder(states, memory, padding_mask, watch)
        output = self.speech_decoder_postnet(decoded.states, lengths, source)
        return output._replace(attention=decoded.attention)

    def classify(self, encoded: EncoderOutput) -> SpeakerOutput | None:
        """One decoder step on a zero vector, or without decoder the encoder's frames, through the speaker head.

        None where the job has no such head.
        """
        if self.speaker_head is None:
            return None
        states, lengths = encoded.states, encoded.lengths
        if self.decoder is not None:
            states = self.decoder(states.new_zeros(len(states), 1, states.size(2)), states, encoded.padding_mask).states
            lengths = torch.ones_like(lengths)
        return self.speaker_head(states, lengths)

    def source_mel(
        self, waveform: Tensor | None, sample_lengths: Tensor | None, frame_lengths: Tensor | None = None
    ) -> Tensor | None:
        """Log-mel (B, N, M) of a speech source where the prediction starts from it, else None.

        Raises:
            ValueError: targets (``frame_lengths``) of other lengths than their sources.
        """
        if self.speech_decoder_postnet is None or self.speech_decoder_postnet.prediction == "mel":
            return None
        frames, lengths = log_mel(waveform.float(), sample_lengths)
        if frame_lengths is not None and not torch.equal(lengths, frame_lengths):
            raise ValueError(
                f"--speech-prediction {self.speech_decoder_postnet.prediction} needs sources and targets of one "
                f"length; the sources of a batch have {lengths.tolist()} mel frames, their targets "
                f"{frame_lengths.tolist()}"
            )
        return frames.to(self.speech_decoder_postnet.feat_out.weight.dtype)

    def _unit_logits(self, encoded: EncoderOutput, *, masked: bool) -> Tensor | None:
        if self.unit_head is None or encoded.masked is None:
            return None
        valid = valid_mask(encoded.lengths, encoded.states.size(1))
        return self.unit_head(encoded.states[valid & (encoded.masked == masked)])

    def set_num_updates(self, num_updates: int) -> None:
        """Called by the task before every update: the quantizer's temperature and what is frozen follow from it."""
        super().set_num_updates(num_updates)  # reaches every module that has the method
        self.freezing.apply(num_updates)

    def max_positions(self) -> None:
        """No limit of the model's own."""
        return None


@register_model("speecht5_large", dataclass=SpeechT5LargeConfig)
class SpeechT5Large(SpeechT5Model):
    """The large size."""


@register_model("speecht5_small", dataclass=SpeechT5SmallConfig)
class SpeechT5Small(SpeechT5Model):
    """A size for two CPU cores."""

"""What decoding asks of the model: scores and frames one step at a time.

Shapes: B utterances, K hypotheses of each, T encoder frames, N mel frames, M mel bins, D model width, V vocabulary, E
speaker entries.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..modules.decoder_steps import DecoderState, DecoderSteps
from ..modules.speech_steps import SpeechState, SpeechSteps
from ..outputs import EncoderOutput, SpeechStep


class Decoding:
    """The methods of ``SpeechT5Model`` that beam search and the generation of speech call; they need no gradient."""

    decoder_steps: DecoderSteps | None = None  # of ``prepare_decoding``
    speech_steps: SpeechSteps | None = None  # of ``prepare_decoding``
    products: torch.dtype | None = None  # of ``prepare_decoding``: of the encoder's products in evaluation

    @property
    def has_ctc(self) -> bool:
        return self.ctc_head is not None

    def ctc_log_probs(self, encoded: EncoderOutput) -> Tensor:
        """(B, T, V) float32 log-probabilities of the CTC head."""
        return self.ctc_head(encoded.states).float().log_softmax(-1)

    def start_decoding(self, encoded: EncoderOutput) -> DecoderState:
        """State for ``next_token_log_probs``; it serves any number of hypotheses an utterance."""
        steps = DecoderSteps(self.decoder) if self.decoder_steps is None else self.decoder_steps
        return steps.start(encoded.states, encoded.padding_mask)

    def start_speech(self, encoded: EncoderOutput, speaker: Tensor | None) -> SpeechState:
        """State for ``next_frames``, in the voice of speaker vectors (B, E), or of None."""
        prenet, postnet = self.speech_decoder_prenet, self.speech_decoder_postnet
        nets = SpeechSteps(prenet, postnet) if self.speech_steps is None else self.speech_steps
        condition = prenet.condition(speaker).expand(len(encoded.lengths), -1, -1)
        return SpeechState(nets, self.start_decoding(encoded), condition)

    def prepare_decoding(self, dtype: torch.dtype | None = None) -> None:
        """Lay the decoder's weights out for steps once, not for every batch: for a model that learns no more.

        Loading other weights takes that back, and so do ``train()`` and a move to another device or precision: the
        model then decodes as well, in its own precision, and lays its weights out for every batch.

        Args:
            dtype: of the products of the encoder and the decoder; None for the model's own. What they give, sums,
                norms, the decoder's attention and the nets around it stay in the model's own. On a CPU float16 is
                that of the decoder's weights alone (see ``RowProduct``).
        """
        of_weights = dtype == torch.float16 and next(self.parameters()).device.type == "cpu"
        self.products = None if of_weights else dtype
        self.decoder_steps = DecoderSteps(self.decoder, dtype)
        if self.speech_decoder_prenet is not None:
            self.speech_steps = SpeechSteps(self.speech_decoder_prenet, self.speech_decoder_postnet)

    def forget_preparation(self) -> None:
        """Undo ``prepare_decoding``: its copies are those of the weights so far."""
        self.decoder_steps = self.speech_steps = self.products = None

    def train(self, mode: bool = True) -> Decoding:
        """torch's entry; what learns on must not decode with the copies of before."""
        if mode:
            self.forget_preparation()
        return super().train(mode)

    def _apply(self, *arguments: Any, **options: Any) -> Decoding:
        """torch's entry of ``to``, ``half``, ``double`` and their like."""
        self.forget_preparation()
        return super()._apply(*arguments, **options)

    def next_token_log_probs(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Newest token of each row (B x K,) -> float32 log-probabilities of the next (B x K, V); ``state`` advances."""
        inputs = self.text_decoder_prenet(tokens[:, None], offset=state.steps)
        logits = self.text_decoder_postnet(state.decoder.step(inputs, state).states)
        return logits[:, 0].float().log_softmax(-1)

    def next_frames(
        self,
        heard: Tensor,
        state: SpeechState,
        *,
        kept: Tensor | None = None,
        source: Tensor | None = None,
    ) -> SpeechStep:
        """One decoder step of each row; ``state`` advances.

        Args:
            heard: (B, M) last frame of the step before, zeros before the first; for a prediction from the source the
                source's frame of this step.
            kept: (B, layers, hidden) what the pre-net's dropout keeps, or None for no dropout.
            source: (B, 1, M) log-mel frame of the source, for a prediction from it.
        """
        inputs = state.nets.inputs(heard, state.condition, state.steps, kept)
        decoded = state.decoder.decoder.step(inputs, state.decoder, self.decoder.everything)
        coarse, stop_logits = state.nets.outputs(decoded.states, source)
        return SpeechStep(coarse, stop_logits, torch.cat(decoded.attention, dim=1)[:, :, 0])

    def refine_frames(self, coarse: Tensor, lengths: Tensor) -> Tensor:
        """Whole utterances (B, N, M) with (B,) valid frames through the convolutions of the post-net."""
        return self.speech_decoder_postnet.refine(coarse, lengths)

"""The decoder one position at a time.

The numbers are those of ``TransformerDecoder`` over whole sequences; the products are those of few rows.

Shapes: B utterances, K hypotheses of each, N = B x K rows (those of an utterance side by side), H heads, d width of a
head, T encoder frames, D model width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..outputs import DecoderOutput
from .attention import KeyValue, padding_bias
from .decoder import TransformerDecoder, Watch
from .decoder_state import DecoderState, SelfMemory
from .row_products import RowProduct
from .transformer_layer import DecoderLayer


class DecoderSteps:
    """A decoder in evaluation, laid out for steps: for weights that stay as they are, since its products hold copies.

    Args:
        decoder: whose weights and norms are used.
        dtype: of the products with weights; attention, sums and norms stay in the model's own (None: all).
    """

    def __init__(self, decoder: TransformerDecoder, dtype: torch.dtype | None = None) -> None:
        self.decoder = decoder
        self.layers = [_LayerSteps(layer, dtype) for layer in decoder.layers]

    def start(self, memory: Tensor, padding_mask: Tensor | None) -> DecoderState:
        """State before the first step, for encoder states (B, T, D) and their padding (B, T) or None."""
        memories = [layer.encoder_attn.remember(memory) for layer in self.decoder.layers]
        # Every step multiplies by them head by head: a view across heads would be copied each time.
        memories = [KeyValue(*(part.contiguous() for part in memory)) for memory in memories]
        return DecoderState(self, memories, padding_bias(padding_mask, memory.dtype))

    def step(self, states: Tensor, state: DecoderState, watch: Watch | None = None) -> DecoderOutput:
        """Decode the newest position of each row, states (N, 1, D) -> (N, 1, D); ``state`` advances."""
        attention, states = [], state.stored_order(states)
        for number, layer in enumerate(self.layers):
            heads = self.decoder.watched_heads(number, watch)
            states, weights = layer(states, state.memories[number], state.bias, state.seen[number], heads)
            attention += [] if weights is None else [weights]
        state.steps += 1
        return state.callers_order(DecoderOutput(self.decoder.layer_norm(states), tuple(attention)))


class _LayerSteps:
    """One decoder layer; the query, key and value of a position are one product."""

    def __init__(self, layer: DecoderLayer, dtype: torch.dtype | None) -> None:
        own, cross, feed_forward = layer.self_attn, layer.encoder_attn, layer.feed_forward
        self.layer = layer
        self.heads = own.heads
        self.own_in = RowProduct([own.q_proj, own.k_proj, own.v_proj], dtype)
        self.own_out = RowProduct([own.out_proj], dtype)
        self.cross_in = RowProduct([cross.q_proj], dtype)
        self.cross_out = RowProduct([cross.out_proj], dtype)
        self.widen = RowProduct([feed_forward.fc1], dtype)
        self.narrow = RowProduct([feed_forward.fc2], dtype)

    def __call__(
        self, states: Tensor, memory: KeyValue, bias: Tensor | None, seen: SelfMemory, watch: int
    ) -> tuple[Tensor, Tensor | None]:
        """states (N, 1, D) -> (N, 1, D), and the cross-attention (B, watch, K, T) where ``watch`` asks for it."""
        layer, weights = self.layer, None

        def attend_self(inputs: Tensor) -> Tensor:
            query, key, value = self.own_in(inputs).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(query, *seen.extend(KeyValue(key, value)))
            return self.own_out(mixed.transpose(1, 2).flatten(2))

        def attend_encoder(inputs: Tensor) -> Tensor:
            # The hypotheses of an utterance are so many queries to one memory: nothing is copied per hypothesis.
            nonlocal weights
            folded = self.cross_in(inputs).view(memory.key.size(0), -1, inputs.size(-1))
            mixed, weights = layer.encoder_attn.attend(folded, memory, bias=bias, watch=watch)
            return self.cross_out(mixed).view_as(inputs)

        states = layer.residual(states, layer.self_attn_layer_norm, attend_self)
        states = layer.residual(states, layer.encoder_attn_layer_norm, attend_encoder)
        return layer.residual(states, layer.final_layer_norm, self._feed_forward), weights

    def _feed_forward(self, inputs: Tensor) -> Tensor:
        return self.narrow(F.gelu(self.widen(inputs)))

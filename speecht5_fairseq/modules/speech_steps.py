"""The nets around the speech decoder one step at a time.

The numbers are those of ``SpeechDecoderPrenet`` and ``SpeechDecoderPostnet.coarse`` over whole sequences; the products
are those of few rows.

Shapes: B utterances, r mel frames a step, M mel bins, D model width, H width of the pre-net's layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .decoder_state import DecoderState
from .positions import interleaved_sinusoid
from .row_products import RowProduct
from .speech_decoder_postnet import SpeechDecoderPostnet
from .speech_decoder_prenet import SpeechDecoderPrenet


class SpeechSteps:
    """A pre-net and the Linears of a post-net in evaluation, laid out for steps: for weights that stay as they are.

    From the pre-net's last hidden numbers to what goes into the decoder, its sum with the positions and the mixing in
    of the speaker are linear: one product, and one vector a position.
    """

    CHUNK = 64  # positions computed at a time: products of one shape, so that a position's numbers are always the same

    def __init__(self, prenet: SpeechDecoderPrenet, postnet: SpeechDecoderPostnet) -> None:
        self.prenet, self.postnet = prenet, postnet
        self.hidden = [RowProduct([layer]) for layer in prenet.layers]
        self.mixed = RowProduct([_projected_and_mixed(prenet)])
        self.coarse = RowProduct([postnet.feat_out, postnet.prob_out])
        self.positions = prenet.projection.weight.new_empty(0, prenet.projection.out_features)  # (positions so far, D)

    def inputs(self, heard: Tensor, condition: Tensor, step: int, kept: Tensor | None) -> Tensor:
        """What goes into the decoder at a step.

        Args:
            heard: (B, M) frame before it.
            condition: (B, 1, D) of the speaker, from ``SpeechDecoderPrenet.condition``.
            kept: (B, layers, H) True where the layers' dropout keeps a number; None for no dropout.

        Returns:
            (B, 1, D)
        """
        states = heard
        for number, layer in enumerate(self.hidden):
            states = F.relu(layer(states))
            if kept is not None:
                states = states * kept[:, number] / (1.0 - self.prenet.layer_dropout.p)
        return F.relu(self.mixed(states)[:, None] + self._position(step) + condition)

    def outputs(self, states: Tensor, source: Tensor | None) -> tuple[Tensor, Tensor]:
        """Decoder states (B, 1, D) -> mel before the convolutions (B, r, M) and stop logits (B, r).

        ``source`` is the source's log-mel (B, r, M), for a prediction from it.
        """
        widths = [self.postnet.feat_out.out_features, self.postnet.prob_out.out_features]
        predicted, stop_logits = self.coarse(states).split(widths, dim=-1)
        return self.postnet.predicted(predicted, source), stop_logits.flatten(1)

    def _position(self, step: int) -> Tensor:
        """What the position of a step adds before the last ReLU: (D,)."""
        while step >= len(self.positions):
            start, net = len(self.positions), self.prenet
            numbers = torch.arange(start, start + self.CHUNK, device=self.positions.device)
            table = net.positions.alpha.detach().double() * interleaved_sinusoid(numbers, net.positions.dim).double()
            added = F.linear(table, net.mixing_weight.detach().double()).to(self.positions.dtype)
            self.positions = torch.cat([self.positions, added])
        return self.positions[step]


def _projected_and_mixed(prenet: SpeechDecoderPrenet) -> nn.Linear:
    """The pre-net's projection and the half of the speaker's that reads it, as one layer of H -> D."""
    projection, mixing = prenet.projection, prenet.mixing_weight.detach().double()
    weight, bias = mixing @ projection.weight.detach().double(), mixing @ projection.bias.detach().double()
    folded = nn.Linear(weight.size(1), weight.size(0), device="meta")
    folded.weight = nn.Parameter(weight.to(projection.weight.dtype), requires_grad=False)
    folded.bias = nn.Parameter(bias.to(projection.weight.dtype), requires_grad=False)
    return folded


class SpeechState:
    """What the generation of speech keeps between steps.

    Attributes:
        nets: the pre-net and the post-net.
        decoder: the decoder's memories.
        condition: (B, 1, D) of the speakers.
    """

    def __init__(self, nets: SpeechSteps, decoder: DecoderState, condition: Tensor) -> None:
        self.nets = nets
        self.decoder = decoder
        self.condition = condition

    @property
    def steps(self) -> int:
        """Steps that are done."""
        return self.decoder.steps

    def keep(self, rows: Tensor) -> None:
        """Go on with the utterances ``rows`` (B',) alone."""
        self.condition = self.condition[rows]
        self.decoder.keep_utterances(rows)
        self.decoder.reorder(rows)

"""Cross-modal quantizer: the Gumbel vector quantizer of wav2vec 2.0 (arXiv 2006.11477) on encoder states.

Speech and text share the codebook, and a share of the frames reaches the decoder as codes: that is what pulls both
modalities into one space (SpeechT5, section 2.3).

Shapes: B batch, T frames, D model width, G groups, C entries of a group.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..outputs import QuantizerOutput
from .masks import valid_mask
from .randomness import utterance_uniform


class Quantizer(nn.Module):
    """Straight-through Gumbel softmax over G groups of C entries of width D / G.

    Args:
        dim: D.
        groups: G.
        entries: C.
        mix_probability: share of the valid frames that are replaced by their codes.
        start_temperature, end_temperature, decay: temperature = max(start x decay^update, end).
    """

    def __init__(
        self,
        *,
        dim: int,
        groups: int,
        entries: int,
        mix_probability: float,
        start_temperature: float,
        end_temperature: float,
        decay: float,
    ) -> None:
        super().__init__()
        if dim % groups:
            raise ValueError(
                f"embed_dim {dim} is no multiple of codebook_groups {groups}; choose groups that divide it"
            )
        self.groups, self.entries = groups, entries
        self.mix_probability = mix_probability
        self.start_temperature, self.end_temperature, self.decay = start_temperature, end_temperature, decay
        self.temperature = start_temperature
        self.codebook = nn.Parameter(torch.empty(groups, entries, dim // groups).uniform_())
        self.projection = nn.Linear(dim, groups * entries)
        self.reset_projection()

    def reset_projection(self) -> None:
        """wav2vec 2.0's initialisation: wide, so that the frames start on different codes."""
        nn.init.normal_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def set_num_updates(self, updates: int) -> None:
        self.temperature = max(self.start_temperature * self.decay**updates, self.end_temperature)

    def forward(self, states: Tensor, lengths: Tensor, seeds: Tensor) -> QuantizerOutput:
        """Quantize states (B, T, D) of the given lengths (B,), drawing noise from the seeds (B,).

        In evaluation the most probable code is taken and the frames to replace are drawn all the same.
        """
        size = states.size(1)
        logits = self.projection(states).float().unflatten(-1, (self.groups, self.entries))  # (B, T, G, C)
        choice = self._choose(logits, lengths, seeds)
        codes = torch.einsum("btgc,gcd->btgd", choice.to(states.dtype), self.codebook.to(states.dtype)).flatten(2)
        replaced = utterance_uniform(seeds, lengths, (size,), stream="mix") < self.mix_probability
        valid = valid_mask(lengths, size)
        mixed = torch.where((replaced & valid)[:, :, None], codes, states)
        chosen = choice.detach()[valid]  # (frames, G, C), one-hot
        probabilities = logits[valid].softmax(-1)
        return QuantizerOutput(
            mixed=mixed,
            prob_perplexity=perplexity(probabilities.mean(0)),
            code_counts=chosen.sum(0).round().long(),
            prob_sums=probabilities.detach().sum(0),
            temperature=self.temperature,
        )

    def _choose(self, logits: Tensor, lengths: Tensor, seeds: Tensor) -> Tensor:
        """One-hot (B, T, G, C) in the forward pass, the Gumbel softmax's gradient in the backward pass."""
        if self.training:
            tiny = torch.finfo(logits.dtype).tiny
            uniform = utterance_uniform(seeds, lengths, tuple(logits.shape[1:]), stream="gumbel")
            noise = -torch.log(-torch.log(uniform.clamp(min=tiny, max=1 - 2**-24)))
            soft = ((logits + noise) / self.temperature).softmax(-1)
        else:
            soft = logits.softmax(-1)
        hard = F.one_hot(soft.argmax(-1), self.entries).to(soft.dtype)
        return hard + (soft - soft.detach()) if self.training else hard


def perplexity(probabilities: Tensor) -> Tensor:
    """Distributions (G, C) -> sum over the groups of exp(entropy)."""
    entropy = -(probabilities * (probabilities + 1e-7).log()).sum(-1)
    return entropy.exp().sum()

"""Cross-modal quantizer: the Gumbel vector quantizer of wav2vec 2.0 (arXiv 2006.11477) on encoder states.

Speech and text share the codebook, and a share of the frames reaches the decoder as codes: that is what pulls both
modalities into one space (SpeechT5, section 2.3).

Shapes: B batch, T frames, D model width, G groups, C entries of a group.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..outputs import QuantizerOutput
from .masks import valid_mask
from .randomness import utterance_uniform

RECENT_BATCHES = 8
SPLIT = 2.0  # nats by which a revived entry is ahead of the one it splits, at the state that it was made of


class Quantizer(nn.Module):
    """Straight-through Gumbel softmax over G groups of C entries of width D / G.

    Args:
        dim: D.
        groups: G.
        entries: C.
        mix_probability: share of the valid frames that are replaced by their codes.
        start_temperature, end_temperature, decay: temperature = max(start x decay^update, end).

    Attributes:
        kept_states: how many states of each training batch ``recent`` keeps, for ``revive``.
        recent: such states, (kept_states, D) float32 at equal distances over the valid frames; whoever reads clears it.
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
        self.kept_states = 0
        self.recent: deque[Tensor] = deque(maxlen=RECENT_BATCHES)
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
        logits = self.logits(states)  # (B, T, G, C)
        choice = self._choose(logits, lengths, seeds)
        codes = torch.einsum("btgc,gcd->btgd", choice.to(states.dtype), self.codebook.to(states.dtype)).flatten(2)
        replaced = utterance_uniform(seeds, lengths, (size,), stream="mix") < self.mix_probability
        valid = valid_mask(lengths, size)
        mixed = torch.where((replaced & valid)[:, :, None], codes, states)
        if self.training and self.kept_states:
            self.recent.append(spread(states.detach()[valid], self.kept_states).float())
        chosen = choice.detach()[valid]  # (frames, G, C), one-hot
        probabilities = logits[valid].softmax(-1)
        return QuantizerOutput(
            mixed=mixed,
            prob_perplexity=perplexity(probabilities.mean(0)),
            code_counts=chosen.sum(0).round().long(),
            prob_sums=probabilities.detach().sum(0),
            temperature=self.temperature,
        )

    def logits(self, states: Tensor) -> Tensor:
        """Of each entry at states (..., D): float32 (..., G, C)."""
        return self.projection(states).float().unflatten(-1, (self.groups, self.entries))

    def codes(self, states: Tensor) -> Tensor:
        """The most probable entry of each group at states (..., D), as evaluation takes it: int64 (..., G)."""
        return self.logits(states).argmax(-1)

    def vectors(self, codes: Tensor) -> Tensor:
        """What the decoder is given in place of states with the codes (..., G): (..., D)."""
        return self.codebook[torch.arange(self.groups, device=codes.device), codes].flatten(-2)

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

    @torch.no_grad()
    def revive(self, dead: Tensor, states: Tensor, generator: torch.Generator) -> None:
        """Seed the entries ``dead`` (G, C) anew, each from one of the states (N, D) that is drawn for it.

        The entry's vector becomes the state's own part. Its logit becomes that of the living entry which the state
        chooses, and ``SPLIT`` more at the state itself but nothing more at the mean of the states: of the frames that
        chose the living entry those near the state change over, and of the others about half.

        Args:
            generator: on the CPU.
        """
        dead, states = dead.to(states.device), states.double()
        mean = states.mean(0)
        logits = F.linear(states, self.projection.weight.double(), self.projection.bias.double())
        living = logits.unflatten(-1, dead.shape).masked_fill(dead, -torch.inf).argmax(-1)  # (N, G)
        weight, bias = self.projection.weight.unflatten(0, dead.shape), self.projection.bias.unflatten(0, dead.shape)
        for group, entry in dead.nonzero().tolist():
            drawn = int(torch.randint(len(states), (), generator=generator))
            away = states[drawn] - mean
            slope = SPLIT * away / away.square().sum().clamp(min=1e-6)
            split = int(living[drawn, group])
            weight[group, entry] = weight[group, split] + slope
            bias[group, entry] = bias[group, split] - slope @ mean
            self.codebook[group, entry] = states[drawn].unflatten(0, (self.groups, -1))[group]


def spread(rows: Tensor, count: int) -> Tensor:
    """``count`` of the rows (N, D) at equal distances, the same ones again where there are fewer; none of none."""
    places = torch.arange(count if len(rows) else 0, device=rows.device) * len(rows) // count
    return rows[places]


def perplexity(probabilities: Tensor) -> Tensor:
    """Distributions (G, C) -> sum over the groups of exp(entropy)."""
    entropy = -(probabilities * (probabilities + 1e-7).log()).sum(-1)
    return entropy.exp().sum()

"""Speaker head: states of an utterance -> one vector -> scores of the classes.

Shapes: B batch, L positions (decoder steps or encoder frames), D model width, P width of the pooled vector, E width of
the embedding, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..outputs import SpeakerOutput
from .masks import valid_mask

LEAST_VARIANCE = 1e-6  # of weighted frames, below which their deviation and its gradient are not told apart


class MeanPooling(nn.Module):
    """The mean of the valid positions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """states (B, L, D) with (B,) valid positions -> (B, D)."""
        valid = valid_mask(lengths, states.size(1))
        total = _precise(states).masked_fill(~valid[:, :, None], 0.0).sum(1)
        return total / lengths[:, None]


class AttentiveStatistics(nn.Module):
    """Mean and deviation of the valid positions, each weighted by attention (Okabe et al. 2018, arXiv 1803.10963)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.width = 2 * dim
        self.hidden = nn.Linear(dim, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)  # a bias would shift all scores of an utterance alike

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """states (B, L, D) with (B,) valid positions -> (B, 2 D); padding takes no part."""
        valid = valid_mask(lengths, states.size(1))[:, :, None]
        states = states.masked_fill(~valid, 0.0)
        scores = self.score(torch.tanh(self.hidden(states)))
        weights = _precise(scores).masked_fill(~valid, -torch.inf).softmax(1)
        states = _precise(states)
        mean = (weights * states).sum(1)
        variance = (weights * (states - mean[:, None]).square()).sum(1)
        return torch.cat([mean, variance.clamp(min=LEAST_VARIANCE).sqrt()], dim=-1)


class UtteranceNorm(nn.BatchNorm1d):
    """BatchNorm of one vector an utterance. A training batch of one utterance has no variance of its own: it is
    normalised by the running statistics and leaves them as they are."""

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, E) -> (B, E)."""
        if self.training and len(vectors) == 1:
            return F.batch_norm(vectors, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(vectors)


class SpeakerHead(nn.Module):
    """Pooling, perhaps a narrower embedding (BatchNorm, Linear, BatchNorm), then one score a class.

    Args:
        dim: D.
        classes: C; specials of a dictionary are no classes.
        attentive: pool by attentive statistics instead of the mean.
        attention_dim: width inside the attention.
        embedding_dim: E; 0 takes the pooled vector itself.
        loss: "softmax": the scores are products of embedding and class; "am", "aam": their cosines times ``scale``.
        margin: of the loss, which is not applied here.
        scale: see ``loss``.
    """

    def __init__(
        self,
        *,
        dim: int,
        classes: int,
        attentive: bool,
        attention_dim: int,
        embedding_dim: int,
        loss: str,
        margin: float,
        scale: float,
    ) -> None:
        super().__init__()
        self.pooling = AttentiveStatistics(dim, attention_dim) if attentive else MeanPooling(dim)
        width = self.pooling.width
        self.embedding = nn.Identity()
        if embedding_dim:
            layers = (UtteranceNorm(width), nn.Linear(width, embedding_dim), UtteranceNorm(embedding_dim))
            self.embedding = nn.Sequential(*layers)
        self.projection = nn.Linear(embedding_dim or width, classes, bias=False)
        self.loss, self.margin, self.scale = loss, margin, scale

    def forward(self, states: Tensor, lengths: Tensor) -> SpeakerOutput:
        """states (B, L, D) with (B,) valid positions -> embedding (B, E) and logits (B, C)."""
        pooled = self.pooling(states, lengths)
        embedding = self.embedding(pooled.to(self.projection.weight.dtype))
        return SpeakerOutput(embedding, self._logits(embedding))

    def _logits(self, embedding: Tensor) -> Tensor:
        """(B, E) -> (B, C)."""
        with torch.autocast(embedding.device.type, enabled=False):
            embedding, classes = _precise(embedding), _precise(self.projection.weight)
            if self.loss == "softmax":
                return F.linear(embedding, classes)
            return self.scale * F.linear(F.normalize(embedding, dim=-1), F.normalize(classes, dim=-1))


def _precise(values: Tensor) -> Tensor:
    """In float32 at least: sums over seconds of frames, and logits, are more than half precision holds."""
    return values.to(torch.promote_types(values.dtype, torch.float32))

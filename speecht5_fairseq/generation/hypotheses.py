"""Hypotheses of a batch as tensors: those still growing and those finished.

Shapes: B utterances still searched, A all utterances of the batch, K beam, L output tokens so far.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class LiveHypotheses(NamedTuple):
    """Hypotheses that may still grow. A row with a joint score of -inf is dead: it only fills the beam."""

    utterance: Tensor  # (B,) int64, place in the batch (0 <= utterance < A)
    tokens: Tensor  # (B, K, L + 1) int64, </s> first: what decoder and language model have read
    partial: Tensor  # (B, K) float64, weighted decoder + language model scores so far
    joint: Tensor  # (B, K) float64, `partial` plus the weighted CTC prefix score, by which hypotheses compete
    history: Tensor  # (B, K, L) float64, `joint` after each token

    @classmethod
    def start(cls, utterances: int, beam: int, eos: int, device: torch.device) -> "LiveHypotheses":
        """One live empty hypothesis an utterance; the rest of the beam is dead."""
        scores = torch.full((utterances, beam), -torch.inf, dtype=torch.float64, device=device)
        scores[:, 0] = 0.0
        return cls(
            utterance=torch.arange(utterances, device=device),
            tokens=torch.full((utterances, beam, 1), eos, device=device),
            partial=scores,
            joint=scores,
            history=scores.new_zeros(utterances, beam, 0),
        )

    def grow(self, kept: Tensor, chosen: "Candidates", partial: Tensor) -> "LiveHypotheses":
        """The next generation.

        Args:
            kept: (B',) int64, the utterances that go on.
            chosen: the candidates (B', K) that they go on with.
            partial: (B, K, V) float64, scores without the CTC prefix of all candidates.
        """
        rows = kept[:, None] * partial.size(1) + chosen.parent
        tokens, history = self.tokens.flatten(0, 1)[rows], self.history.flatten(0, 1)[rows]
        scores = partial.flatten()[rows * partial.size(2) + chosen.token]
        return LiveHypotheses(
            utterance=self.utterance[kept],
            tokens=torch.cat([tokens, chosen.token[:, :, None]], 2),
            partial=scores.masked_fill(chosen.joint.isinf(), -torch.inf),
            joint=chosen.joint,
            history=torch.cat([history, chosen.joint[:, :, None]], 2),
        )


class Candidates(NamedTuple):
    """One-token extensions of live hypotheses, best first; C of them an utterance. A score of -inf: not possible."""

    joint: Tensor  # (B, C) float64
    parent: Tensor  # (B, C) int64, the hypothesis (0 <= parent < K) that is extended
    token: Tensor  # (B, C) int64

    @classmethod
    def best_of(cls, joint: Tensor, count: int) -> "Candidates":
        """The best `count` of all extensions (B, K, V)."""
        best, index = joint.flatten(1).topk(count)
        return cls(best, index // joint.size(2), index % joint.size(2))

    def growing(self, eos: int, beam: int) -> "Candidates":
        """The best `beam` that do not end; impossible ones only fill up, and hold the harmless token </s>."""
        order = (self.token == eos).byte().sort(dim=1, stable=True).indices[:, :beam]
        joint, parent, token = (tensor.gather(1, order) for tensor in self)
        ruled_out = ~joint.isfinite() | (token == eos)
        return Candidates(joint.masked_fill(ruled_out, -torch.inf), parent, token.masked_fill(ruled_out, eos))

    def keep_utterances(self, index: Tensor) -> "Candidates":
        """Select the utterances `index` (B',) int64."""
        return Candidates(*(tensor.index_select(0, index) for tensor in self))


class FinishedHypotheses:
    """Up to K finished hypotheses an utterance, in the order in which they ended.

    Args:
        utterances: A.
        beam: K.
        longest: most tokens that a hypothesis may have, </s> included.
        pad, eos: indices of the padding and end-of-sentence symbols.
    """

    def __init__(self, utterances: int, beam: int, longest: int, pad: int, eos: int, device: torch.device) -> None:
        self.count = torch.zeros(utterances, dtype=torch.int64, device=device)
        self._eos = eos
        self._tokens = torch.full((utterances, beam, longest), pad, device=device)
        self._history = torch.zeros((utterances, beam, longest), dtype=torch.float64, device=device)
        self._length = torch.zeros((utterances, beam), dtype=torch.int64, device=device)

    def add(self, live: LiveHypotheses, best: Candidates) -> None:
        """Store the live hypotheses that end: fairseq's rule is that </s> must be among the best K candidates.

        Args:
            best: all candidates, best first. Hypotheses past the K-th of an utterance are dropped.
        """
        beam = self._length.size(1)
        joint, parent, token = (tensor[:, :beam] for tensor in best)
        ended = (token == self._eos) & joint.isfinite()
        slot = self.count[live.utterance][:, None] + ended.cumsum(1) - 1
        row, rank = (ended & (slot < beam)).nonzero(as_tuple=True)
        if len(row) == 0:
            return
        utterance, slot, parent = live.utterance[row], slot[row, rank], parent[row, rank]
        length = live.tokens.size(2)
        self._tokens[utterance, slot, : length - 1] = live.tokens[row, parent, 1:]
        self._tokens[utterance, slot, length - 1] = self._eos
        self._history[utterance, slot, : length - 1] = live.history[row, parent]
        self._history[utterance, slot, length - 1] = joint[row, rank]
        self._length[utterance, slot] = length
        self.count.index_add_(0, utterance, torch.ones_like(utterance))

    def results(self, len_penalty: float) -> list[list[dict]]:
        """The hypotheses as fairseq-generate reads them, best first, on the CPU.

        A score is the joint score divided by (tokens, </s> included) ** `len_penalty`.
        """
        length = self._length
        total = self._history.gather(2, (length - 1).clamp(min=0)[:, :, None]).squeeze(2)
        score = (total / length.clamp(min=1) ** len_penalty).masked_fill(length == 0, -torch.inf)
        score, order = score.sort(dim=1, descending=True, stable=True)
        steps = self._history.diff(dim=2, prepend=torch.zeros_like(self._history[:, :, :1]))
        ranked = [_of_parents(tensor, order).cpu() for tensor in (self._tokens, steps.float())]
        columns = (*ranked, score.float().cpu(), length.gather(1, order).tolist(), self.count.tolist())
        return [
            [hypothesis(tokens[k, : lengths[k]], scores[k], steps[k, : lengths[k]]) for k in range(count)]
            for tokens, steps, scores, lengths, count in zip(*columns, strict=True)
        ]


def hypothesis(tokens: Tensor, score: Tensor, positional_scores: Tensor) -> dict:
    """One hypothesis in fairseq's form; no attention weights are kept, so `attention` and `alignment` are empty.

    Args:
        tokens: (L,) int64, the last is </s>.
        score: (), natural logarithm, as hypotheses are ranked.
        positional_scores: (L,) natural logarithm, share of each token in the score before length normalisation.
    """
    return {
        "tokens": tokens,
        "score": score,
        "attention": torch.empty(0),
        "alignment": torch.empty(0),
        "positional_scores": positional_scores,
    }


def _of_parents(tensor: Tensor, parent: Tensor) -> Tensor:
    """(B, K, X) and (B, K') -> (B, K', X): the row of each one's parent."""
    return tensor.gather(1, parent[:, :, None].expand(-1, -1, tensor.size(2)))

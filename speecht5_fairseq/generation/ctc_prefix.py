"""CTC prefix probabilities of all hypotheses of a batch at once, as tensors.

Source: Watanabe et al., "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition", 2017, algorithm 2.
Shapes: B utterances, K hypotheses (beam), T encoder frames, V vocabulary. Logarithms are natural, float64 inside.

For a hypothesis h, r_n[t] and r_b[t] are the log-probabilities that the first t frames spell h and end in a
non-blank (n) or a blank (b) frame; they have T + 1 entries, entry 0 stands before the first frame.

Padding: a padded frame has log-probability -inf for every symbol, so that no path enters it. Nothing else in this
file needs to know about utterances of different lengths.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

IMPOSSIBLE = -1e4  # log-probabilities below this count as -inf: e**-1e4 is zero in any float format
SMALLEST_EXACT_MASS = 1e-280  # a float64 sum below this may have lost terms to underflow (float64 ends near 1e-308)
LOWEST_SAFE_LOG_PROB = -600.0  # e**-600 is above SMALLEST_EXACT_MASS
FLOOR_MARGIN = 50.0  # e**-50 is far below float64's relative precision of e**-36
RECOMPUTED_ELEMENTS = 2**22  # float64 elements (32 MiB) held at a time when underflowed scores are recomputed


class CTCPrefixState(NamedTuple):
    """Forward variables of the hypotheses that are kept."""

    nonblank: Tensor  # r_n (B, K, T + 1) float64
    blank: Tensor  # r_b (B, K, T + 1) float64
    last: Tensor  # last symbol of each hypothesis (B, K) int64; the blank's index where the hypothesis is empty

    def keep_utterances(self, index: Tensor) -> "CTCPrefixState":
        """Select the utterances `index` (B',) int64."""
        return CTCPrefixState(*(tensor.index_select(0, index) for tensor in self))


class CTCPrefixScorer:
    """Scores every one-symbol extension of every hypothesis of a batch; no loop over frames or hypotheses.

    Args:
        log_probs: (B, T, V) log-probabilities of the CTC head, any float type; frames past `lengths` are not read.
        lengths: (B,) int64, valid frames of each utterance.
        blank: index of the CTC blank, never a candidate.
        eos: index of end-of-sentence: its column holds the score of the hypothesis as a whole.
        forbidden: further indices that are never candidates (padding, begin of sentence, mask).

    Raises:
        ValueError: shapes or lengths that do not fit each other.
    """

    def __init__(
        self, log_probs: Tensor, lengths: Tensor, blank: int, eos: int, *, forbidden: Iterable[int] = ()
    ) -> None:
        _check_shapes(log_probs, lengths)
        device = log_probs.device
        padded = torch.arange(log_probs.size(1), device=device) >= lengths[:, None]
        never = log_probs < IMPOSSIBLE
        self.log_probs = log_probs.masked_fill(never | padded[:, :, None], -torch.inf)
        self.probs = self.log_probs.double().exp()
        self.lengths = lengths
        self.padded = padded
        self.blank = blank
        self.eos = eos
        self.forbidden = torch.tensor(sorted({blank, *forbidden} - {eos}), device=device)
        self.floor = -FLOOR_MARGIN - _largest_path_cost(self.log_probs)
        self._not_summed = torch.tensor(sorted({blank, eos, *forbidden}), device=device)
        low = (log_probs < LOWEST_SAFE_LOG_PROB) & ~padded[:, :, None]
        self._may_underflow = bool(low.index_fill(2, self._not_summed, False).any())

    def initial_state(self, beam: int) -> CTCPrefixState:
        """State of `beam` copies of the empty hypothesis an utterance: only blanks so far."""
        blanks = self.log_probs[:, None, :, self.blank].double().cumsum(-1)
        blank = pad(blanks, (1, 0)).expand(-1, beam, -1)
        last = torch.full(blank.shape[:2], self.blank, device=blank.device)
        return CTCPrefixState(torch.full_like(blank, -torch.inf), blank, last)

    def extend(self, state: CTCPrefixState) -> Tensor:
        """Cumulative log psi(h.c) of every candidate c: (B, K, V) float64.

        psi(h.c) is the probability of all label sequences that start with h.c; the column of end-of-sentence holds
        the probability of h itself. Forbidden candidates, and those for which too few frames are left, are -inf.
        """
        incoming = torch.logaddexp(state.nonblank, state.blank)
        at_end = self.lengths[:, None, None].expand(-1, incoming.size(1), -1)
        scores = self._sum_over_frames(incoming[..., :-1])
        # A symbol repeats only across a blank: the column of h's last symbol is fed by r_b alone.
        repeated = torch.logsumexp(state.blank[..., :-1] + self._emissions(state.last), -1, keepdim=True)
        scores.scatter_(2, state.last[:, :, None], repeated)
        scores.index_fill_(2, self.forbidden, -torch.inf)
        scores[:, :, self.eos] = incoming.gather(2, at_end).squeeze(2)
        return scores

    def advance(self, state: CTCPrefixState, parent: Tensor, token: Tensor) -> CTCPrefixState:
        """Forward variables of the candidates that are kept.

        Args:
            parent: (B, K') int64, the hypothesis (0 <= parent < K) that each kept candidate extends.
            token: (B, K') int64, the symbol it was extended by.
        """
        frames = parent[:, :, None].expand(-1, -1, state.blank.size(2))
        nonblank, blank = state.nonblank.gather(1, frames), state.blank.gather(1, frames)
        repeats = token == state.last.gather(1, parent)
        incoming = torch.where(repeats[:, :, None], blank, torch.logaddexp(nonblank, blank))
        nonblank = self._accumulate(incoming[..., :-1], self._emissions(token))
        blank = self._accumulate(nonblank[..., :-1], self.log_probs[:, None, :, self.blank].double())
        return CTCPrefixState(nonblank, blank, token)

    def keep_utterances(self, index: Tensor) -> None:
        """Drop all utterances but `index` (B',) int64; select the state with its own `keep_utterances`."""
        for name in ("log_probs", "probs", "lengths", "padded", "floor"):
            setattr(self, name, getattr(self, name).index_select(0, index))

    def _emissions(self, token: Tensor) -> Tensor:
        """log p_t(token): (B, K) -> (B, K, T) float64."""
        frames = token[:, None, :].expand(-1, self.log_probs.size(1), -1)
        return self.log_probs.gather(2, frames).transpose(1, 2).double()

    def _accumulate(self, incoming: Tensor, emissions: Tensor) -> Tensor:
        """Solve r[t+1] = log(exp r[t] + exp incoming[t]) + emissions[t], r[0] = -inf, for all t at once.

        With X_t = emissions[0] + ... + emissions[t], the quantity a_t = r[t+1] - X_t only accumulates:
        a_t = log(exp a_(t-1) + exp(incoming[t] - X_(t-1))), a scan. An emission of -inf would make X useless ever
        after, so it is replaced by `floor`: less by FLOOR_MARGIN than any whole path over possible frames. Beside
        such a path, one that passed an impossible frame is lost in rounding; alone, it is recognised and -inf again.

        Args: incoming (B, K, T) and emissions (B, K or 1, T) float64. Returns: r (B, K, T + 1).
        """
        floor = self.floor[:, None, None]
        total = torch.where(emissions.isinf(), floor, emissions).cumsum(-1)
        before = pad(total[..., :-1], (1, 0))
        reached = torch.logcumsumexp(incoming - before, -1) + total
        reached = reached.masked_fill(reached < floor + FLOOR_MARGIN / 2, -torch.inf)
        return pad(reached, (1, 0), value=-torch.inf)

    def _sum_over_frames(self, incoming: Tensor) -> Tensor:
        """log sum_t exp(incoming[t]) p_t(c): (B, K, T) -> (B, K, V), a matrix product in the probability domain."""
        incoming = incoming.masked_fill(self.padded[:, None, :], -torch.inf)
        peak = incoming.amax(-1, keepdim=True)
        peak = torch.where(peak.isinf(), 0.0, peak)
        mass = torch.bmm((incoming - peak).exp(), self.probs)
        scores = mass.log() + peak
        if self._may_underflow:
            self._recompute_underflowed(scores, mass, incoming)
        return scores

    def _recompute_underflowed(self, scores: Tensor, mass: Tensor, incoming: Tensor) -> None:
        """Put exact values where the product underflowed, in place.

        The frame of the largest incoming mass contributes p_t(c) itself, so this happens only to candidates with
        p_t(c) below e**-600 or zero, and is skipped altogether (without a device synchronisation) elsewhere.
        """
        doubtful = mass < SMALLEST_EXACT_MASS
        doubtful &= incoming.isfinite().any(-1, keepdim=True) & self.log_probs.isfinite().any(1)[:, None, :]
        doubtful.index_fill_(2, self._not_summed, False)
        for entries in doubtful.nonzero().split(max(1, RECOMPUTED_ELEMENTS // incoming.size(2))):
            utterance, hypothesis, symbol = entries.unbind(1)
            terms = incoming[utterance, hypothesis] + self.log_probs[utterance, :, symbol].double()
            scores[utterance, hypothesis, symbol] = terms.logsumexp(-1)


def _check_shapes(log_probs: Tensor, lengths: Tensor) -> None:
    if log_probs.dim() != 3 or lengths.shape != log_probs.shape[:1]:
        raise ValueError(
            f"CTC prefix scores need log_probs (B, T, V) and lengths (B,), got {tuple(log_probs.shape)} and "
            f"{tuple(lengths.shape)}"
        )
    if log_probs.size(1) == 0 or bool((lengths > log_probs.size(1)).any()):
        raise ValueError(f"lengths {lengths.tolist()} do not fit log_probs with {log_probs.size(1)} frames")


def _largest_path_cost(log_probs: Tensor) -> Tensor:
    """Upper bound of -log p over all paths of possible frames: (B, T, V) with -inf -> (B,) float64."""
    costs = torch.where(log_probs.isinf(), 0.0, log_probs).abs()
    return costs.amax(-1).double().sum(-1)

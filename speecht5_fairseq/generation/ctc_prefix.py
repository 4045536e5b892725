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
    """Forward variables of the hypotheses that are kept, and what both the next scores and the next state read."""

    either: Tensor  # log(exp r_n + exp r_b) (B, K, T + 1) float64
    blank: Tensor  # r_b (B, K, T + 1) float64
    emissions: Tensor  # log p_t(last) (B, K, T) float64
    last: Tensor  # last symbol of each hypothesis (B, K) int64; the blank's index where the hypothesis is empty

    def keep_utterances(self, index: Tensor, frames: int) -> "CTCPrefixState":
        """Select the utterances `index` (B',) int64, none of which has more than `frames` frames."""
        return CTCPrefixState(
            self.either[..., : frames + 1].index_select(0, index),
            self.blank[..., : frames + 1].index_select(0, index),
            self.emissions[..., :frames].index_select(0, index),
            self.last.index_select(0, index),
        )


class CTCPrefixScorer:
    """Scores every one-symbol extension of every hypothesis of a batch; no loop over frames or hypotheses.

    Every frame of an utterance is read at every step; `ctc_window.WindowedCTCPrefixScorer` reads fewer.

    Args:
        log_probs: (B, T, V) log-probabilities of the CTC head, any float type; frames past `lengths` are not read.
        lengths: (B,) int64, valid frames of each utterance.
        blank: index of the CTC blank, never a candidate.
        eos: index of end-of-sentence: its column holds the score of the hypothesis as a whole.
        forbidden: further indices that are never candidates (padding, begin of sentence, mask).

    Raises:
        ValueError: shapes or lengths that do not fit each other.
    """

    spare_frames = 0  # padding behind the longest utterance

    def __init__(
        self, log_probs: Tensor, lengths: Tensor, blank: int, eos: int, *, forbidden: Iterable[int] = ()
    ) -> None:
        check_shapes(log_probs, lengths)
        device = log_probs.device
        padded = torch.arange(log_probs.size(1), device=device) >= lengths[:, None]
        never = log_probs < IMPOSSIBLE
        possible = log_probs.masked_fill(never | padded[:, :, None], -torch.inf)
        self.log_probs = possible.transpose(1, 2).contiguous()  # (B, V, T): a symbol's frames are copied as one piece
        self.probs = possible.double().exp()  # (B, T, V)
        self.lengths = lengths
        self.padded = padded
        self.blank = blank
        self.eos = eos
        self.forbidden = torch.tensor(sorted({blank, *forbidden} - {eos}), device=device)
        self.floor = -FLOOR_MARGIN - _largest_path_cost(possible)
        self._not_summed = torch.tensor(sorted({blank, eos, *forbidden}), device=device)
        low = (log_probs < LOWEST_SAFE_LOG_PROB) & ~padded[:, :, None]
        self._may_underflow = bool(low.index_fill(2, self._not_summed, False).any())
        self._spellable = possible.isfinite().any(1)  # (B, V)

    @property
    def frames(self) -> int:
        """T, of the longest utterance that is left, and spare frames."""
        return self.probs.size(1)

    def initial_state(self, beam: int) -> CTCPrefixState:
        """State of `beam` copies of the empty hypothesis an utterance: only blanks so far."""
        blanks = self.log_probs[:, None, self.blank].double()
        blank = pad(blanks.cumsum(-1), (1, 0)).expand(-1, beam, -1)
        last = torch.full(blank.shape[:2], self.blank, device=blank.device)
        return CTCPrefixState(blank, blank, blanks.expand(-1, beam, -1), last)

    def extend(self, state: CTCPrefixState) -> Tensor:
        """Cumulative log psi(h.c) of every candidate c: (B, K, V) float64.

        psi(h.c) is the probability of all label sequences that start with h.c; the column of end-of-sentence holds
        the probability of h itself. Forbidden candidates, and those for which too few frames are left, are -inf.
        """
        scores = self._sum_over_frames(state)
        # A symbol repeats only across a blank: the column of h's last symbol is fed by r_b alone.
        repeated = torch.logsumexp(state.blank[..., :-1] + state.emissions, -1, keepdim=True)
        scores.scatter_(2, state.last[:, :, None], repeated)
        scores.index_fill_(2, self.forbidden, -torch.inf)
        scores[:, :, self.eos] = self._whole(state)
        return scores

    def advance(self, state: CTCPrefixState, parent: Tensor, token: Tensor) -> CTCPrefixState:
        """Forward variables of the candidates that are kept, and of no others.

        Args:
            parent: (B, K') int64, the hypothesis (0 <= parent < K) that each kept candidate extends.
            token: (B, K') int64, the symbol it was extended by.
        """
        repeats = token == state.last.gather(1, parent)
        fed = torch.cat([state.either, state.blank], 1)  # (B, 2 K, T + 1)
        incoming = select_rows(fed, parent + repeats * state.last.size(1))
        emissions = self._emissions(token)
        nonblank = self._accumulate(incoming[..., :-1], emissions)
        blank = self._accumulate(nonblank[..., :-1], self.log_probs[:, None, self.blank].double())
        return CTCPrefixState(torch.logaddexp(nonblank, blank), blank, emissions, token)

    def keep_utterances(self, index: Tensor) -> None:
        """Drop all utterances but `index` (B',) int64, and the frames that only dropped ones had; then select the
        state with its own `keep_utterances` and `frames`."""
        self.lengths = self.lengths.index_select(0, index)
        frames = int(self.lengths.max()) + self.spare_frames
        self.log_probs = self.log_probs[:, :, :frames].index_select(0, index)
        self.probs = self.probs[:, :frames].index_select(0, index)
        self.padded = self.padded[:, :frames].index_select(0, index)
        self.floor = self.floor.index_select(0, index)
        self._spellable = self._spellable.index_select(0, index)

    def _emissions(self, token: Tensor) -> Tensor:
        """log p_t(token): (B, K) -> (B, K, T) float64."""
        return select_rows(self.log_probs, token).double()

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

    def _sum_over_frames(self, state: CTCPrefixState) -> Tensor:
        """log sum_t exp(incoming[t]) p_t(c): (B, K, V), a matrix product in the probability domain."""
        incoming = state.either[..., :-1].masked_fill(self._padded_of(state)[:, None, :], -torch.inf)
        peak = incoming.amax(-1, keepdim=True)
        peak = torch.where(peak.isinf(), 0.0, peak)
        mass = torch.bmm((incoming - peak).exp_(), self._probs_of(state))
        scores = mass.log() + peak
        if self._may_underflow:
            self._recompute_underflowed(state, scores, mass, incoming)
        return scores

    def _recompute_underflowed(self, state: CTCPrefixState, scores: Tensor, mass: Tensor, incoming: Tensor) -> None:
        """Put exact values where the product underflowed, in place.

        The frame of the largest incoming mass contributes p_t(c) itself, so this happens only to candidates with
        p_t(c) below e**-600 or zero, and is skipped altogether (without a device synchronisation) elsewhere.
        """
        doubtful = mass < SMALLEST_EXACT_MASS
        doubtful &= incoming.isfinite().any(-1, keepdim=True) & self._spellable[:, None, :]
        doubtful.index_fill_(2, self._not_summed, False)
        for entries in doubtful.nonzero().split(max(1, RECOMPUTED_ELEMENTS // incoming.size(2))):
            utterance, hypothesis, symbol = entries.unbind(1)
            terms = incoming[utterance, hypothesis] + self._log_probs_of(state, utterance, symbol).double()
            scores[utterance, hypothesis, symbol] = terms.logsumexp(-1)

    # What a state reads of the utterances: here, all frames.

    def _padded_of(self, state: CTCPrefixState) -> Tensor:
        """True at the frames past an utterance's end (B, T)."""
        return self.padded

    def _probs_of(self, state: CTCPrefixState) -> Tensor:
        """p_t(c) (B, T, V) float64."""
        return self.probs

    def _log_probs_of(self, state: CTCPrefixState, utterance: Tensor, symbol: Tensor) -> Tensor:
        """log p_t of N utterances and symbols, both (N,): (N, T)."""
        return self.log_probs[utterance, symbol]

    def _whole(self, state: CTCPrefixState) -> Tensor:
        """log p(h) (B, K) float64."""
        at_end = self.lengths[:, None, None].expand(-1, state.either.size(1), -1)
        return state.either.gather(2, at_end).squeeze(2)


def check_shapes(log_probs: Tensor, lengths: Tensor) -> None:
    """Hold that `log_probs` is (B, T, V) and `lengths` (B,), of at most T > 0 frames.

    Raises:
        ValueError: they are not.
    """
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


def select_rows(tensor: Tensor, index: Tensor) -> Tensor:
    """(B, R, X) and (B, K) -> (B, K, X): the rows `index` of each utterance, each copied as one piece."""
    first = torch.arange(len(tensor), device=tensor.device)[:, None] * tensor.size(1)
    return tensor.flatten(0, 1).index_select(0, (first + index).flatten()).unflatten(0, index.shape)

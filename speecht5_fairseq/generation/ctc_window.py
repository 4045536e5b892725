"""CTC prefix probabilities over the frames where a hypothesis stands, not over the whole utterance.

A hypothesis ends somewhere: of a trained CTC, the probability that the first t frames spell it is high from its last
symbol to the next one and falls steeply on both sides. Entries t at which it is less than e**-window of what it is at
best count as impossible; what stays is summed as exactly as in `ctc_prefix`. The window follows the model, so that a
pause, over which a blank costs nothing, is inside whole, however long; a width in frames would lose what comes after.

A score is never above the exact one, and what an utterance's hypothesis gets depends on nothing else in the batch or
the beam. Shapes as in `ctc_prefix`, and W frames: of an utterance those from the first to the last that any of its
hypotheses needs, as many as the widest of the batch needs.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from .ctc_prefix import CTCPrefixScorer, CTCPrefixState, check_shapes, select_rows

DWELL = 8  # frames, beyond where blanks alone lead, in which the newest symbol may go on before more are looked at
NO_BLANK = 1e6  # cost of a frame that cannot be blank, above that of any possible path


class CTCWindowState(NamedTuple):
    """As `CTCPrefixState`, of the frames of a window: entry i stands before frame `first` + i."""

    either: Tensor  # (B, K, W + 1) float64
    blank: Tensor  # (B, K, W + 1) float64
    emissions: Tensor  # (B, K, W) float64
    last: Tensor  # (B, K) int64
    first: Tensor  # (B,) int64, the first frame of each utterance's window
    final: Tensor  # (B,) int64, the last entry, counted from the utterance's start, that any hypothesis has

    def keep_utterances(self, index: Tensor, frames: int) -> "CTCWindowState":
        """Select the utterances `index` (B',) int64."""
        return CTCWindowState(*(tensor.index_select(0, index) for tensor in self))


class WindowedCTCPrefixScorer(CTCPrefixScorer):
    """Scores extensions by the frames at which a hypothesis is likely enough.

    Args:
        log_probs, lengths, blank, eos, forbidden: of `CTCPrefixScorer`.
        window: natural logarithm of how many times less likely than at best a hypothesis may be at a frame.

    Raises:
        ValueError: a window that is not above 0; shapes or lengths that do not fit each other.
    """

    spare_frames = 1  # nothing is possible in it: where frames past the end are asked for, it is read

    def __init__(
        self,
        log_probs: Tensor,
        lengths: Tensor,
        blank: int,
        eos: int,
        *,
        window: float,
        forbidden: Iterable[int] = (),
    ) -> None:
        if not window > 0:
            raise ValueError(f"a CTC window of {window} leaves nothing: give a number above 0, or none")
        check_shapes(log_probs, lengths)
        super().__init__(pad(log_probs, (0, 0, 0, 1)), lengths, blank, eos, forbidden=forbidden)
        self.window = window
        self._blank_cost = self._cost_of_blanks()

    def initial_state(self, beam: int) -> CTCWindowState:
        """State of `beam` copies of the empty hypothesis an utterance: only blanks so far."""
        whole = super().initial_state(beam)
        return self._cut(whole, torch.zeros_like(self.lengths), self._likely(whole.either))

    def advance(self, state: CTCWindowState, parent: Tensor, token: Tensor) -> CTCWindowState:
        """Forward variables of the candidates that are kept; arguments as `CTCPrefixScorer.advance`.

        A candidate that ends with </s> is one that only fills the beam: it needs no frames.
        """
        repeats = token == state.last.gather(1, parent)
        incoming = select_rows(torch.cat([state.either, state.blank], 1), parent + repeats * state.last.size(1))
        incoming = incoming.masked_fill((token == self.eos)[:, :, None], -torch.inf)
        width = max(1, int((self._reach(state.final) - state.first).max()))
        while True:
            new = self._forward(state.first, incoming, token, width)
            likely = self._likely(new.either)
            # Past the window's end only the newest symbol and blanks go on: what has become unlikely stays so.
            if not bool((likely[:, :, -1].any(1) & (state.first + width < self.lengths)).any()):
                return self._cut(new, state.first, likely)
            width *= 2

    def keep_utterances(self, index: Tensor) -> None:
        """See `CTCPrefixScorer.keep_utterances`."""
        super().keep_utterances(index)
        self._blank_cost = self._cost_of_blanks()

    def _forward(self, first: Tensor, incoming: Tensor, token: Tensor, width: int) -> CTCPrefixState:
        """Forward variables over `width` frames from `first` (B,) on, of candidates that may begin where `incoming`
        (B, K, W + 1) says."""
        frames = self._frames(first, width)
        incoming = incoming[..., :width]
        incoming = pad(incoming, (0, width - incoming.size(2)), value=-torch.inf)
        emissions = self._log_probs_at(token, frames)
        nonblank = self._accumulate(incoming, emissions)
        blanks = self._log_probs_at(torch.full_like(token[:, :1], self.blank), frames)
        blank = self._accumulate(nonblank[..., :-1], blanks)
        return CTCPrefixState(torch.logaddexp(nonblank, blank), blank, emissions, token)

    def _likely(self, either: Tensor) -> Tensor:
        """The entries that count (B, K, W + 1)."""
        return either.isfinite() & (either >= either.amax(-1, keepdim=True) - self.window)

    def _cut(self, state: CTCPrefixState, first: Tensor, likely: Tensor) -> CTCWindowState:
        """Make what is not likely impossible, and leave out the frames that no hypothesis of an utterance needs.

        Args:
            state: over frames from `first` (B,) on.
            likely: its entries that count (B, K, W + 1).
        """
        needed = likely.any(1).int()
        begin = needed.argmax(1)
        end = torch.where(needed.any(1), needed.size(1) - 1 - needed.flip(1).argmax(1), begin)
        width = int((end - begin).max()) + 1  # the frame after the last entry too: the next symbol may be there
        entries = begin[:, None, None] + torch.arange(width + 1, device=begin.device)
        inside = entries.clamp(max=needed.size(1) - 1).expand(-1, likely.size(1), -1)
        impossible = ~likely.gather(2, inside) | (entries > end[:, None, None])
        either, blank = (part.gather(2, inside).masked_fill_(impossible, -torch.inf) for part in state[:2])
        emissions = pad(state.emissions, (0, 1), value=-torch.inf).gather(2, inside[..., :-1])
        return CTCWindowState(either, blank, emissions, state.last, first + begin, first + end)

    def _cost_of_blanks(self) -> Tensor:
        """-log p of blanks alone over the first t frames, at least 0: (B, T + 1) float64, never falling."""
        cost = self.log_probs[:, self.blank].double().neg().clamp(0, NO_BLANK)
        return pad(cost.cumsum(-1), (1, 0))

    def _reach(self, final: Tensor) -> Tensor:
        """The entry (B,) up to which a hypothesis that begins its newest symbol at `final` may be likely enough, if
        blanks follow; and a few frames more."""
        start = (final + 1)[:, None]
        spent = self._blank_cost.gather(1, start) + self.window
        reach = torch.searchsorted(self._blank_cost, spent, right=True).squeeze(1) - 1
        return torch.minimum(reach + DWELL, self.lengths)

    def _frames(self, first: Tensor, width: int) -> Tensor:
        """Numbers of the frames of the windows, those past the end replaced by the spare one: (B, width)."""
        return (first[:, None] + torch.arange(width, device=first.device)).clamp(max=self.frames - 1)

    def _frames_of(self, state: CTCWindowState) -> Tensor:
        return self._frames(state.first, state.either.size(2) - 1)

    def _log_probs_at(self, token: Tensor, frames: Tensor) -> Tensor:
        """log p_t(token) at the frames (B, W) of tokens (B, K): (B, K, W) float64."""
        utterance = torch.arange(len(token), device=token.device)[:, None]
        start = (utterance * self.log_probs.size(1) + token) * self.frames
        return self.log_probs.flatten()[start[:, :, None] + frames[:, None, :]].double()

    def _padded_of(self, state: CTCWindowState) -> Tensor:
        return self._frames_of(state) >= self.lengths[:, None]

    def _probs_of(self, state: CTCWindowState) -> Tensor:
        return select_rows(self.probs, self._frames_of(state))

    def _log_probs_of(self, state: CTCWindowState, utterance: Tensor, symbol: Tensor) -> Tensor:
        return self.log_probs[utterance[:, None], symbol[:, None], self._frames_of(state)[utterance]]

    def _whole(self, state: CTCWindowState) -> Tensor:
        """log p(h) of a window that reaches the end; else what is left of it if only blanks follow, which is less."""
        entries = state.first[:, None] + torch.arange(state.either.size(2), device=state.first.device)
        ends = self._blank_cost.gather(1, self.lengths[:, None])
        left = ends - self._blank_cost.gather(1, torch.minimum(entries, self.lengths[:, None]))
        whole = (state.either - left[:, None, :]).amax(-1)
        return whole.masked_fill(whole < -NO_BLANK / 2, -torch.inf)

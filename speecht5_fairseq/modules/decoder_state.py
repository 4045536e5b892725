"""What step-by-step decoding keeps between steps, and how it follows the hypotheses of a beam search.

Keys and values of a layer are most of what a step reads, so they are moved as little as can be: a hypothesis goes on
where its parent stands, and only a second child of the same parent takes the place of one that died. Rows are therefore
stored in another order than the caller's; a step takes its inputs there and brings its results back.

Shapes: B utterances, K hypotheses of each, N = B x K rows (those of an utterance side by side), H heads, d width of a
head, T encoder frames, D model width, W watched heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..outputs import DecoderOutput
from .attention import KeyValue

if TYPE_CHECKING:
    from .decoder_steps import DecoderSteps


class Moves(NamedTuple):
    """How rows follow their hypotheses in place."""

    place: list[int]  # where each row of the caller's now stands
    source: list[int]  # stored rows that are copied
    target: list[int]  # over these


def plan_moves(parents: list[int]) -> Moves:
    """The moves after which row n goes on from what stood at ``parents[n]``; as many rows as before."""
    taken: set[int] = set()
    place, second = [], []
    for row, parent in enumerate(parents):
        if parent in taken:
            second.append(row)
        taken.add(parent)
        place.append(parent)
    free = [row for row in range(len(parents)) if row not in taken]
    source = [place[row] for row in second]
    for row, target in zip(second, free, strict=True):
        place[row] = target
    return Moves(place, source, free)


class SelfMemory:
    """Keys and values of the positions a decoder layer has seen, one row a hypothesis.

    They stand in tensors with spare room that doubles when it is used up: a step copies its own position only.
    """

    FIRST_ROOM = 16  # positions

    def __init__(self) -> None:
        self.steps = 0
        self.room: KeyValue | None = None  # (N, H, >= steps, d)

    def extend(self, new: KeyValue) -> KeyValue:
        """Append a position (N, H, 1, d); all seen so far."""
        start, self.steps = self.steps, self.steps + 1
        if self.room is None or self.room.key.size(2) < self.steps:
            self.room = KeyValue(*(self._larger(number, part, start) for number, part in enumerate(new)))
        for room, part in zip(self.room, new, strict=True):
            room[:, :, start : self.steps] = part
        return self._seen()

    def reorder(self, rows: Tensor) -> None:
        """Row n is what row ``rows[n]`` was, rows (N',)."""
        if self.room is not None:
            self.room = KeyValue(*(part.index_select(0, rows) for part in self.room))

    def copy(self, source: Tensor, target: Tensor) -> None:
        """Rows ``target`` (M,) become what the rows ``source`` (M,) are."""
        for part in () if self.room is None else self.room:
            part[target, :, : self.steps] = part[source, :, : self.steps]

    def _seen(self) -> KeyValue:
        return KeyValue(*(part[:, :, : self.steps] for part in self.room))

    def _larger(self, number: int, like: Tensor, steps: int) -> Tensor:
        room = like.new_empty(*like.shape[:2], max(self.FIRST_ROOM, 2 * self.steps), like.size(3))
        if steps:
            room[:, :, :steps] = self.room[number][:, :, :steps]
        return room


class DecoderState:
    """The encoder's keys and values once an utterance, the decoder's once a row."""

    def __init__(self, steps: DecoderSteps, memories: list[KeyValue], bias: Tensor | None) -> None:
        self.decoder = steps
        self.memories = memories  # a layer: (B, H, T, d)
        self.bias = bias  # (B, 1, 1, T) or None
        self.seen = [SelfMemory() for _ in memories]  # a layer: (N, H, steps, d)
        self.steps = 0
        self._place: Tensor | None = None  # (N,) where each row of the caller's stands; None: in its order
        self._order: Tensor | None = None  # (N,) which row of the caller's stands there

    def reorder(self, rows: Tensor) -> None:
        """Row n continues what row ``rows[n]`` was; rows (N',) may repeat or leave out."""
        stored = rows if self._place is None else self._place[rows]
        if self._stays_in_place(stored):
            moves = plan_moves(stored.tolist())
            if moves.source:
                source, target = torch.tensor(moves.source), torch.tensor(moves.target)
                for layer in self.seen:
                    layer.copy(source, target)
            self._place = torch.tensor(moves.place)
            self._order = self._place.argsort()
        else:
            for layer in self.seen:
                layer.reorder(stored)
            self._place = self._order = None

    def _stays_in_place(self, stored: Tensor) -> bool:
        """Whether as many rows as before go on, each in its own utterance, on a device that need not be waited for."""
        room = self.seen[0].room if self.seen else None
        if stored.device.type != "cpu" or room is None or len(stored) != len(room.key):
            return False
        beam = len(stored) // len(self.memories[0].key)
        return bool(torch.equal(stored // beam, torch.arange(len(stored)) // beam))

    def keep_utterances(self, index: Tensor) -> None:
        """Keep the utterances ``index`` (B',) of the encoder side; ``reorder`` does the same for the rows."""
        self.memories = [KeyValue(*(part.index_select(0, index) for part in memory)) for memory in self.memories]
        self.bias = None if self.bias is None else self.bias.index_select(0, index)

    def stored_order(self, states: Tensor) -> Tensor:
        """(N, 1, D) of the caller's order, as the rows are stored."""
        return states if self._order is None else states[self._order]

    def callers_order(self, output: DecoderOutput) -> DecoderOutput:
        """The other way: states (N, 1, D), attention (B, W, K, T) a layer."""
        if self._place is None:
            return output
        attention = tuple(self._rows_of(weights) for weights in output.attention)
        return DecoderOutput(output.states[self._place], attention)

    def _rows_of(self, weights: Tensor) -> Tensor:
        rows = weights.transpose(1, 2).flatten(0, 1)[self._place]  # (N, W, T)
        return rows.unflatten(0, (weights.size(0), -1)).transpose(1, 2)

"""Rows follow their hypotheses, in place where they can."""

import itertools

import pytest
import torch
from helpers import tiny_model

from speecht5_fairseq.modules.decoder_state import plan_moves
from speecht5_fairseq.modules.decoder_steps import DecoderSteps


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_moves_bring_every_row_to_what_its_parent_was(rows):
    """All ways in which so many rows can have parents; no row is copied that need not be."""
    for parents in itertools.product(range(rows), repeat=rows):
        moves, stored = plan_moves(list(parents)), list(range(rows))
        for source, target in zip(moves.source, moves.target, strict=True):
            stored[target] = source
        assert [stored[place] for place in moves.place] == list(parents)
        assert sorted(moves.place) == list(range(rows)) and len(moves.source) == rows - len(set(parents))


@torch.no_grad()
def test_many_reorderings_are_those_of_the_whole_sequences():
    """Beams of three over two utterances, random parents at every step, watched attention too."""
    torch.manual_seed(0)
    body, memory = tiny_model("s2t").decoder.eval(), torch.randn(2, 8, 24)
    state, history = DecoderSteps(body).start(memory, None), torch.zeros(6, 0, 24)
    for _ in range(20):
        history = torch.cat([history, torch.randn(6, 1, 24)], 1)
        found = state.decoder.step(history[:, -1:], state, body.everything)
        expected = body(history, memory.repeat_interleave(3, 0), None, body.everything)
        torch.testing.assert_close(found.states, expected.states[:, -1:])
        for step, whole in zip(found.attention, expected.attention, strict=True):
            torch.testing.assert_close(step.transpose(1, 2).flatten(0, 1), whole[:, :, -1])
        rows = torch.cat([torch.randint(3, (3,)), 3 + torch.randint(3, (3,))])
        state.reorder(rows)
        history = history[rows]


@torch.no_grad()
def test_rows_that_stay_are_not_copied():
    body = tiny_model("s2t").decoder.eval()
    state = DecoderSteps(body).start(torch.randn(2, 8, 24), None)
    state.decoder.step(torch.randn(6, 1, 24), state)
    rooms = [part.data_ptr() for layer in state.seen for part in layer.room]
    state.reorder(torch.tensor([2, 0, 0, 5, 4, 3]))
    assert [part.data_ptr() for layer in state.seen for part in layer.room] == rooms

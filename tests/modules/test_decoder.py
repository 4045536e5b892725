"""Step-by-step decoding equals whole sequences; the state follows its hypotheses."""

import pytest
import torch
from helpers import tiny_model

from speecht5_fairseq.modules.decoder import Watch

LENGTHS = (5, 8, 3)
PADDING = torch.arange(8) >= torch.tensor(LENGTHS)[:, None]


def decoder(**options):
    return tiny_model("s2t", **options).decoder.eval()


def memory():
    return torch.randn(3, 8, 24, generator=torch.Generator().manual_seed(4))


@torch.no_grad()
@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("beam", [1, 3])
def test_steps_are_the_whole_sequence(pre_norm, beam):
    body, states = decoder(pre_norm=pre_norm), torch.randn(3 * beam, 6, 24)
    expected = body(states, memory().repeat_interleave(beam, 0), PADDING.repeat_interleave(beam, 0)).states
    state = body.start(memory(), PADDING)
    steps = [body.step(states[:, step : step + 1], state).states for step in range(6)]
    torch.testing.assert_close(torch.cat(steps, 1), expected)
    assert state.steps == 6


@torch.no_grad()
def test_reordered_rows_go_on_from_what_they_were():
    """Beams 2; after two steps rows are exchanged, one of an utterance twice, and each goes on as its source row."""
    body, states = decoder(), torch.randn(6, 4, 24)
    rows = torch.tensor([1, 1, 2, 3, 5, 4])
    state = body.start(memory(), PADDING)
    for step in range(2):
        body.step(states[:, step : step + 1], state)
    state.reorder(rows)
    latest = [body.step(states[:, step : step + 1], state).states for step in (2, 3)]
    sequence = torch.cat([states[rows, :2], states[:, 2:]], 1)
    expected = body(sequence, memory().repeat_interleave(2, 0), PADDING.repeat_interleave(2, 0)).states
    torch.testing.assert_close(torch.cat(latest, 1), expected[:, 2:])


@torch.no_grad()
def test_kept_utterances_go_on_alone():
    body, states = decoder(), torch.randn(6, 3, 24)
    state = body.start(memory(), PADDING)
    body.step(states[:, :1], state)
    kept = torch.tensor([0, 2])
    rows = torch.tensor([0, 1, 4, 5])
    state.keep_utterances(kept)
    state.reorder(rows)
    latest = body.step(states[rows, 1:2], state).states
    expected = body(
        states[rows, :2], memory()[kept].repeat_interleave(2, 0), PADDING[kept].repeat_interleave(2, 0)
    ).states
    torch.testing.assert_close(latest, expected[:, 1:])


@torch.no_grad()
def test_encoder_memory_is_stored_once_an_utterance():
    body = decoder()
    state = body.start(memory(), PADDING)
    body.step(torch.randn(12, 1, 24), state)
    assert all(part.size(0) == 3 for layer in state.memories for part in layer)
    state.keep_utterances(torch.tensor([1]))
    assert all(part.size(0) == 1 for layer in state.memories for part in layer) and state.bias.size(0) == 1


@torch.no_grad()
def test_no_position_sees_a_later_one_or_padding():
    body, states = decoder(), torch.randn(3, 6, 24)
    output = body(states, memory(), PADDING).states
    later, filled = states.clone(), memory().masked_fill(PADDING[:, :, None], 9.0)
    later[:, 4:] = 5.0
    torch.testing.assert_close(body(later, filled, PADDING).states[:, :4], output[:, :4])


@torch.no_grad()
def test_layerdrop_skips_layers_in_training_only():
    body, states = decoder(decoder_layerdrop=0.999), torch.randn(3, 6, 24)
    assert (body(states, memory(), PADDING).states - states).abs().max() > 0.1
    torch.testing.assert_close(body.train()(states, memory(), PADDING).states, states)


@torch.no_grad()
def test_watched_attention_is_that_of_the_last_layers():
    body, states = decoder(decoder_layers=3), torch.randn(3, 6, 24)
    plain = body(states, memory(), PADDING)
    assert plain.attention == ()
    found = body(states, memory(), PADDING, Watch(layers=2, heads=2))
    torch.testing.assert_close(found.states, plain.states)
    assert [weights.shape for weights in found.attention] == [(3, 2, 6, 8)] * 2
    everything = body(states, memory(), PADDING, body.everything)
    assert len(everything.attention) == 3 and everything.attention[0].size(1) == 3
    for some, whole in zip(found.attention, everything.attention[1:], strict=True):
        torch.testing.assert_close(some, whole[:, :2])
        torch.testing.assert_close(some.sum(-1), torch.ones(3, 2, 6))
        assert (some[0, :, :, 5:] == 0).all()


@torch.no_grad()
def test_attention_of_steps_is_that_of_the_whole_sequence():
    """More steps than the first room of the decoder's memory holds."""
    body, states = decoder(), torch.randn(3, 40, 24)
    expected = body(states, memory(), PADDING, body.everything)
    state = body.start(memory(), PADDING)
    steps = [body.step(states[:, step : step + 1], state, body.everything) for step in range(40)]
    torch.testing.assert_close(torch.cat([step.states for step in steps], 1), expected.states)
    for layer, whole in enumerate(expected.attention):
        torch.testing.assert_close(torch.cat([step.attention[layer] for step in steps], 2), whole)


def test_a_skipped_layer_has_no_attention():
    body, states = decoder(decoder_layerdrop=0.999).train(), torch.randn(3, 6, 24)
    assert body(states, memory(), PADDING, body.everything).attention == ()

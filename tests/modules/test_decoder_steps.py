"""Step-by-step decoding equals whole sequences; the state follows its hypotheses."""

import pytest
import torch
from helpers import tiny_model

from speecht5_fairseq.modules.adapters import TARGETS, add_bottlenecks, add_low_rank
from speecht5_fairseq.modules.decoder_steps import DecoderSteps

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
    state = DecoderSteps(body).start(memory(), PADDING)
    steps = [state.decoder.step(states[:, step : step + 1], state).states for step in range(6)]
    torch.testing.assert_close(torch.cat(steps, 1), expected)
    assert state.steps == 6


@torch.no_grad()
def test_reordered_rows_go_on_from_what_they_were():
    """Beams 2; after two steps rows are exchanged, one of an utterance twice, and each goes on as its source row."""
    body, states = decoder(), torch.randn(6, 4, 24)
    rows = torch.tensor([1, 1, 2, 3, 5, 4])
    state = DecoderSteps(body).start(memory(), PADDING)
    for step in range(2):
        state.decoder.step(states[:, step : step + 1], state)
    state.reorder(rows)
    latest = [state.decoder.step(states[:, step : step + 1], state).states for step in (2, 3)]
    sequence = torch.cat([states[rows, :2], states[:, 2:]], 1)
    expected = body(sequence, memory().repeat_interleave(2, 0), PADDING.repeat_interleave(2, 0)).states
    torch.testing.assert_close(torch.cat(latest, 1), expected[:, 2:])


@torch.no_grad()
def test_kept_utterances_go_on_alone():
    body, states = decoder(), torch.randn(6, 3, 24)
    state = DecoderSteps(body).start(memory(), PADDING)
    state.decoder.step(states[:, :1], state)
    kept = torch.tensor([0, 2])
    rows = torch.tensor([0, 1, 4, 5])
    state.keep_utterances(kept)
    state.reorder(rows)
    latest = state.decoder.step(states[rows, 1:2], state).states
    expected = body(
        states[rows, :2], memory()[kept].repeat_interleave(2, 0), PADDING[kept].repeat_interleave(2, 0)
    ).states
    torch.testing.assert_close(latest, expected[:, 1:])


@torch.no_grad()
def test_encoder_memory_is_stored_once_an_utterance():
    body = decoder()
    state = DecoderSteps(body).start(memory(), PADDING)
    state.decoder.step(torch.randn(12, 1, 24), state)
    assert all(part.size(0) == 3 for layer in state.memories for part in layer)
    state.keep_utterances(torch.tensor([1]))
    assert all(part.size(0) == 1 for layer in state.memories for part in layer) and state.bias.size(0) == 1


@torch.no_grad()
def test_attention_of_steps_is_that_of_the_whole_sequence():
    """More steps than the first room of the decoder's memory holds."""
    body, states = decoder(), torch.randn(3, 40, 24)
    expected = body(states, memory(), PADDING, body.everything)
    state = DecoderSteps(body).start(memory(), PADDING)
    steps = [state.decoder.step(states[:, step : step + 1], state, body.everything) for step in range(40)]
    torch.testing.assert_close(torch.cat([step.states for step in steps], 1), expected.states)
    for layer, whole in enumerate(expected.attention):
        torch.testing.assert_close(torch.cat([step.attention[layer] for step in steps], 2), whole)


@torch.no_grad()
def test_steps_with_low_rank_updates_and_bottlenecks():
    """Random additions, no zeros: the folded products and what stands behind them are the whole sequence's."""
    body, states = decoder(), torch.randn(3, 6, 24)
    plain = body(states, memory(), PADDING).states
    add_low_rank(body, targets=list(TARGETS), rank=3, alpha=6.0, dropout=0.0)
    add_bottlenecks(body, width=5)
    for name, parameter in body.named_parameters():
        if "lora" in name or "adapter" in name:
            parameter.copy_(0.3 * torch.randn_like(parameter))
    expected = body(states, memory(), PADDING).states
    assert (expected - plain).abs().max() > 0.1
    state = DecoderSteps(body).start(memory(), PADDING)
    steps = [state.decoder.step(states[:, step : step + 1], state).states for step in range(6)]
    torch.testing.assert_close(torch.cat(steps, 1), expected)


@torch.no_grad()
def test_bfloat16_products_are_near_and_nothing_else_is_rounded():
    """Twelve steps: states stay within bfloat16's 8 bits of the float32 ones, keys and values are float32."""
    body, states = decoder(), torch.randn(3, 12, 24)
    expected = body(states, memory(), PADDING).states
    state = DecoderSteps(body, torch.bfloat16).start(memory(), PADDING)
    steps = [state.decoder.step(states[:, step : step + 1], state).states for step in range(12)]
    difference = (torch.cat(steps, 1) - expected).abs().max()
    assert 0 < difference < 0.03
    assert steps[0].dtype == state.seen[0].room.key.dtype == torch.float32


@torch.no_grad()
def test_prepared_steps_keep_the_weights_they_were_made_of():
    model = tiny_model("s2t").eval()
    encoded = model.encode(waveform=torch.randn(1, 4000), sample_lengths=torch.tensor([4000]))

    def first_scores():
        return model.next_token_log_probs(torch.tensor([2]), model.start_decoding(encoded))

    before = first_scores()
    model.prepare_decoding()
    torch.testing.assert_close(first_scores(), before)
    model.decoder.layers[0].self_attn.v_proj.weight.mul_(-1)
    torch.testing.assert_close(first_scores(), before)
    model.prepare_decoding()
    assert (first_scores() - before).abs().max() > 1e-3
    model.load_state_dict(tiny_model("s2t").state_dict())  # as it was first: no copies of the turned weights
    torch.testing.assert_close(first_scores(), before)

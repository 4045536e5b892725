"""Multi-head attention against torch's own, and its rules on masks."""

import pytest
import torch
from torch import nn

from speecht5_fairseq.modules import attention, precision
from speecht5_fairseq.modules.attention import MultiheadAttention, padding_bias
from speecht5_fairseq.modules.positions import relative

DIM, HEADS = 12, 3


def reference(ours: MultiheadAttention) -> nn.MultiheadAttention:
    """torch's attention with the same weights."""
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True, dtype=torch.float64)
    parts = (ours.q_proj, ours.k_proj, ours.v_proj)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())
    return theirs


def build(dropout=0.0):
    return MultiheadAttention(dim=DIM, heads=HEADS, dropout=dropout).double()


def test_without_positions_it_is_torch_attention():
    ours = build()
    states, memory = torch.randn(2, 4, DIM).double(), torch.randn(2, 6, DIM).double()
    padding = torch.arange(6) >= torch.tensor([6, 3])[:, None]
    expected, _ = reference(ours)(states, memory, memory, key_padding_mask=padding)
    output = ours(states, ours.remember(memory), bias=padding_bias(padding, states.dtype)).states
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("watch", [1, 2, HEADS])
@pytest.mark.parametrize("training", [True, False])
def test_watched_probabilities_are_torchs_and_change_nothing(watch, training):
    ours = build(dropout=0.4 if training else 0.0).train(training)
    states, memory = torch.randn(2, 4, DIM).double(), torch.randn(2, 6, DIM).double()
    padding = torch.arange(6) >= torch.tensor([6, 3])[:, None]
    theirs = reference(ours)
    expected, weights = theirs(states, memory, memory, key_padding_mask=padding, average_attn_weights=False)
    found = ours(states, ours.remember(memory), bias=padding_bias(padding, states.dtype), watch=watch)
    torch.testing.assert_close(found.weights, weights[:, :watch])  # before dropout
    if not training:
        torch.testing.assert_close(found.states, expected)
    assert ours(states, ours.remember(memory)).weights is None


def test_causal_queries_see_no_later_key():
    ours, states = build(), torch.randn(2, 5, DIM).double()
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    expected, _ = reference(ours)(states, states, states, attn_mask=later)
    torch.testing.assert_close(ours(states, ours.remember(states), causal=True).states, expected)


def test_a_zero_table_changes_nothing_and_another_does():
    ours, states = build(), torch.randn(2, 5, DIM).double()
    memory = ours.remember(states)
    plain = ours(states, memory).states
    zeros = torch.zeros(6, DIM // HEADS, dtype=torch.float64)
    torch.testing.assert_close(ours(states, memory, relative=relative(zeros, 5, 5)).states, plain)
    table = torch.randn(6, DIM // HEADS, dtype=torch.float64)
    assert (ours(states, memory, relative=relative(table, 5, 5)).states - plain).abs().max() > 1e-3


@pytest.mark.parametrize("positions", [False, True])
def test_dropout_is_for_training_only(positions):
    ours, states = build(dropout=0.5), torch.randn(1, 5, DIM).double()
    table = torch.randn(6, DIM // HEADS, dtype=torch.float64)
    given = relative(table, 5, 5) if positions else None

    def run():
        return ours(states, ours.remember(states), relative=given).states

    assert not torch.equal(run(), run())
    ours.eval()
    torch.testing.assert_close(run(), run(), rtol=0, atol=0)


def test_padding_bias_is_absent_without_padding():
    assert padding_bias(None, torch.float32) is None
    bias = padding_bias(torch.tensor([[False, True]]), torch.float32)
    assert bias.shape == (1, 1, 1, 2) and bias.flatten().tolist() == [0.0, float("-inf")]


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="embed_dim 10 .*attention_heads 3"):
        MultiheadAttention(dim=10, heads=3, dropout=0.0)


@pytest.mark.parametrize("positions", [True, False])
def test_what_the_compiler_looks_into_gives_the_same_numbers(positions, monkeypatch):
    """torch's operations in place of the chunked ones, which torch.compile cannot look into."""
    ours, states = build(), torch.randn(2, 5, DIM).double()
    table = torch.randn(6, DIM // HEADS).double().requires_grad_() if positions else None
    bias = padding_bias(torch.arange(5) >= torch.tensor([5, 3])[:, None], states.dtype)
    learning = [*ours.parameters(), *([table] if positions else [])]

    def both():
        given = relative(table, 5, 5) if positions else None
        found = ours(states, ours.remember(states), bias=bias, relative=given).states
        return found, torch.autograd.grad(found.square().sum(), learning)

    calls = []
    monkeypatch.setattr(attention, "apply", lambda *inputs: calls.append(1) or precision.apply(*inputs))
    expected = both()
    assert len(calls) == positions
    monkeypatch.setattr(attention, "fused_by_compiler", lambda: True)
    torch.testing.assert_close(both(), expected)
    ours.dropout = 0.5
    both()
    assert len(calls) == positions

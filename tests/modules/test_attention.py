"""Multi-head attention against torch's own, and its rules on masks."""

import pytest
import torch
from torch import nn

from speecht5_fairseq.modules.attention import MultiheadAttention, padding_bias

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
    output = ours(states, ours.remember(memory), bias=padding_bias(padding, states.dtype))
    torch.testing.assert_close(output, expected)


def test_causal_queries_see_no_later_key():
    ours, states = build(), torch.randn(2, 5, DIM).double()
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    expected, _ = reference(ours)(states, states, states, attn_mask=later)
    torch.testing.assert_close(ours(states, ours.remember(states), causal=True), expected)


def test_a_zero_table_changes_nothing_and_another_does():
    ours, states = build(), torch.randn(2, 5, DIM).double()
    memory = ours.remember(states)
    plain = ours(states, memory)
    zeros = torch.zeros(6, DIM // HEADS, dtype=torch.float64)
    torch.testing.assert_close(ours(states, memory, relative_table=zeros), plain)
    table = torch.randn(6, DIM // HEADS, dtype=torch.float64)
    assert (ours(states, memory, relative_table=table) - plain).abs().max() > 1e-3


@pytest.mark.parametrize("relative", [False, True])
def test_dropout_is_for_training_only(relative):
    ours, states = build(dropout=0.5), torch.randn(1, 5, DIM).double()
    table = torch.randn(6, DIM // HEADS, dtype=torch.float64) if relative else None

    def run():
        return ours(states, ours.remember(states), relative_table=table)

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

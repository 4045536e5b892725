"""Additions to a Linear: nothing at the start, the published formulas afterwards, and in GELU's fused product too."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from speecht5_fairseq.modules.adapters import (
    TARGETS,
    AdaptedLinear,
    Bottleneck,
    add_bottlenecks,
    add_low_rank,
    fold,
    linear_of_gelu,
)
from speecht5_fairseq.modules.encoder import TransformerEncoder
from speecht5_fairseq.modules.row_products import RowProduct
from speecht5_fairseq.modules.transformer_layer import FeedForward

EVERYTHING = tuple(TARGETS)


def scrambled(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)
    return module


def adapted(*, rank: int = 3, dropout: float = 0.0, width: int = 0, random: bool = True) -> AdaptedLinear:
    """(..., 7) -> (..., 5)."""
    linear = AdaptedLinear(nn.Linear(7, 5))
    if rank:
        linear.add_low_rank(rank=rank, alpha=6.0, dropout=dropout)
    if width:
        linear.add_bottleneck(width)
    return scrambled(linear) if random else linear


def tiny_encoder() -> TransformerEncoder:
    return TransformerEncoder(
        layers=2, dim=12, hidden=20, heads=3, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, layerdrop=0.0,
        max_distance=4, pre_norm=False,
    )  # fmt: skip


@pytest.mark.parametrize("rank, width", [(3, 0), (0, 4), (3, 4)])
def test_additions_start_as_nothing(rank, width):
    plain, inputs = nn.Linear(7, 5), torch.randn(2, 3, 7)
    linear = AdaptedLinear(plain)
    if rank:
        linear.add_low_rank(rank=rank, alpha=6.0, dropout=0.0)
    if width:
        linear.add_bottleneck(width)
    assert linear.weight is plain.weight and linear.bias is plain.bias
    assert torch.equal(linear(inputs), plain(inputs))
    names = {"weight", "bias"} | ({"lora_a", "lora_b"} if rank else set())
    bottleneck = {f"adapter.{name}" for name in Bottleneck(dim=5, width=1).state_dict()} if width else set()
    assert set(linear.state_dict()) == names | bottleneck


def test_the_low_rank_update_is_lora():
    linear, inputs = adapted(), torch.randn(2, 3, 7)
    weight = linear.weight + 6.0 / 3 * linear.lora_b @ linear.lora_a
    torch.testing.assert_close(linear(inputs), F.linear(inputs, weight, linear.bias))


def test_the_first_step_moves_the_second_factor_only():
    linear = adapted(random=False)
    linear(torch.randn(4, 7)).square().sum().backward()
    assert linear.lora_b.grad.abs().sum() > 0 and not linear.lora_a.grad.any()
    assert linear.lora_a.abs().max() <= 1 / math.sqrt(7) and linear.lora_a.std() > 0.1


def test_dropout_acts_on_the_update_alone():
    linear, inputs = adapted(dropout=0.5).train(), torch.randn(1, 7)
    product = F.linear(inputs, linear.weight, linear.bias)
    means = torch.stack([linear(inputs) - product for _ in range(4000)]).mean(0)
    torch.testing.assert_close(means, linear.eval()(inputs) - product, atol=0.15, rtol=0)
    assert not torch.equal(linear.train()(inputs), linear(inputs))
    with torch.no_grad():
        linear.lora_b.zero_()
    assert torch.equal(linear(inputs), product)


def test_the_bottleneck_normalises_narrows_and_adds():
    bottleneck, states = scrambled(Bottleneck(dim=6, width=4)), torch.randn(2, 3, 6)
    norm = bottleneck.layer_norm
    normed = (states - states.mean(-1, keepdim=True)) / (states.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    inner = (normed * norm.weight + norm.bias) @ bottleneck.down.weight.T + bottleneck.down.bias
    expected = states + inner.clamp(min=0) @ bottleneck.up.weight.T + bottleneck.up.bias
    torch.testing.assert_close(bottleneck(states), expected)


@pytest.mark.parametrize("rank, width", [(3, 0), (0, 4), (3, 4)])
def test_behind_gelu_it_is_the_same_and_so_are_its_gradients(rank, width):
    linear, states = adapted(rank=rank, width=width).double(), torch.randn(2, 3, 7, dtype=torch.float64)
    states.requires_grad_(True)
    probe = torch.randn(2, 3, 5, dtype=torch.float64)
    results = []
    for output in (linear_of_gelu(linear, states), linear(F.gelu(states))):
        grads = torch.autograd.grad((output * probe).sum(), [states, *linear.parameters()])
        results.append([output, *grads])
    for fused, plain in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain)
        assert plain.abs().sum() > 0


def test_behind_gelu_dropout_is_that_of_the_plain_product():
    linear, states = adapted(dropout=0.4).train(), torch.randn(2, 3, 7)
    torch.manual_seed(3)
    fused = linear_of_gelu(linear, states)
    torch.manual_seed(3)
    assert torch.equal(fused, linear(F.gelu(states)))
    assert not torch.equal(fused, linear.eval()(F.gelu(states)))


def test_a_frozen_weight_behind_gelu_gets_no_gradient():
    linear = adapted()
    linear.weight.requires_grad_(False)
    linear.bias.requires_grad_(False)
    linear_of_gelu(linear, torch.randn(4, 7)).square().sum().backward()
    assert linear.weight.grad is None and linear.bias.grad is None
    assert linear.lora_a.grad.abs().sum() > 0 and linear.lora_b.grad.abs().sum() > 0


@pytest.mark.parametrize("target", ["fc1", "fc2"])
def test_a_feed_forward_net_uses_what_was_added(target):
    """With gradient, where fc2 is part of a fused product, and without."""
    net, states = scrambled(FeedForward(dim=6, hidden=9, activation_dropout=0.0)), torch.randn(2, 3, 6)
    plain = net(states)
    add_low_rank(net, targets=[target], rank=2, alpha=4.0, dropout=0.0)
    with torch.no_grad():
        for factor in (getattr(net, target).lora_a, getattr(net, target).lora_b):
            factor.normal_(std=0.3)
        without_gradient = net(states)
    torch.testing.assert_close(net(states), without_gradient)
    assert (without_gradient - plain).abs().max() > 0.01


@pytest.mark.parametrize("targets", [("q", "v"), ("out", "fc2"), EVERYTHING])
def test_every_layer_gets_its_targets_and_nothing_else(targets):
    encoder = tiny_encoder()
    names = set(encoder.state_dict())
    add_low_rank(encoder, targets=targets, rank=2, alpha=4.0, dropout=0.0)
    holders = {"q": "self_attn", "k": "self_attn", "v": "self_attn", "out": "self_attn"}
    expected = {
        f"layers.{layer}.{holders.get(target, 'feed_forward')}.{TARGETS[target]}.lora_{factor}"
        for layer in (0, 1)
        for target in targets
        for factor in "ab"
    }
    assert set(encoder.state_dict()) - names == expected
    assert names <= set(encoder.state_dict())


def test_bottlenecks_stand_behind_each_part_of_a_layer():
    encoder = tiny_encoder()
    names = set(encoder.state_dict())
    add_bottlenecks(encoder, width=4)
    places = {name.split(".adapter.")[0] for name in set(encoder.state_dict()) - names}
    parts = ("self_attn.out_proj", "feed_forward.fc2")
    assert places == {f"layers.{layer}.{part}" for layer in (0, 1) for part in parts}


def test_folded_updates_are_in_the_weights():
    encoder, states = tiny_encoder().eval(), torch.randn(2, 9, 12)
    plain = encoder(states, None)
    names = set(encoder.state_dict())
    add_low_rank(encoder, targets=EVERYTHING, rank=2, alpha=4.0, dropout=0.0)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3)
    adapted_states = encoder(states, None)
    fold(encoder)
    assert set(encoder.state_dict()) == names
    assert not any(isinstance(module, AdaptedLinear) for module in encoder.modules())
    torch.testing.assert_close(encoder(states, None), adapted_states, rtol=1e-5, atol=1e-5)
    assert (adapted_states - plain).abs().max() > 0.1


def test_folding_leaves_the_weight_that_others_share_alone():
    linear = adapted()
    weight = linear.weight.detach().clone()
    folded = linear.folded()
    assert torch.equal(linear.weight, weight) and not torch.equal(folded.weight, weight)
    assert folded.bias is linear.bias


def test_a_bottleneck_cannot_be_folded():
    with pytest.raises(ValueError, match="bottleneck is no linear map"):
        adapted(width=4).folded()


@pytest.mark.parametrize("rank, width", [(3, 0), (0, 4), (3, 4)])
def test_products_of_few_rows_hold_what_was_added(rank, width):
    """As decoding makes them, from a copy of the weights."""
    linear, rows = adapted(rank=rank, width=width), torch.randn(2, 7)
    torch.testing.assert_close(RowProduct([linear])(rows), linear(rows))


def test_joined_products_of_few_rows_hold_what_was_added():
    linears, rows = [adapted(), nn.Linear(7, 4), adapted()], torch.randn(2, 7)
    torch.testing.assert_close(RowProduct(linears)(rows), torch.cat([linear(rows) for linear in linears], dim=-1))
    with pytest.raises(ValueError, match="not behind the joined product"):
        RowProduct([adapted(width=4), nn.Linear(7, 4)])

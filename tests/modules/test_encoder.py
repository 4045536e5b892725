"""The encoder body: what it does around its layers. Its numbers are held against `transformers` and in float64."""

import pytest
import torch
from helpers import tiny_model

PRE = {"pre_norm": True}


def encoder(**options):
    return tiny_model("s2s", **options).encoder


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, PRE], ids=["post", "pre"])
def test_an_early_layer_is_the_plain_output_of_that_layer(options):
    body, states = encoder(**options).eval(), torch.randn(2, 7, 24)
    relative = body.relative_positions(7)
    first = states if options else body.layer_norm(states)
    torch.testing.assert_close(body(states, None, layer=0), first)
    for number, layer in enumerate(body.layers, start=1):
        first = layer(first, bias=None, relative=relative)
        torch.testing.assert_close(body(states, None, layer=number), first)
    whole = body.layer_norm(first) if options else first
    torch.testing.assert_close(body(states, None), whole)


@torch.no_grad()
def test_layerdrop_skips_layers_in_training_only():
    body, states = encoder(encoder_layerdrop=0.999).train(), torch.randn(2, 7, 24)
    torch.testing.assert_close(body(states, None), body.layer_norm(states))
    body.eval()
    assert (body(states, None) - body.layer_norm(states)).abs().max() > 0.1


@torch.no_grad()
def test_half_of_the_layers_are_dropped():
    body = encoder(encoder_layerdrop=0.5, encoder_layers=6)
    calls = []
    for layer in body.layers:
        layer.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(100):
        body(torch.randn(1, 2, 24), None)
    assert 230 < len(calls) < 370


def test_norm_k_is_only_where_it_is_used():
    assert not any("norm_k" in name for name, _ in encoder().named_parameters())
    assert any("norm_k" in name for name, _ in encoder(**PRE).named_parameters())

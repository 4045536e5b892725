"""GELU with a product behind it, against autograd of the plain operations and against finite differences."""

import pytest
import torch
from torch.nn import functional as F

from speecht5_fairseq.modules import gelu_products
from speecht5_fairseq.modules.gelu_products import GeluConv, GeluLinear, taps


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def gradients(output, tensors):
    weight = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((output * weight).sum(), tensors)


@pytest.fixture(params=[None, 30], ids=["one tile", "many tiles"], autouse=True)
def tiles(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(gelu_products, "TILE", request.param)


def test_linear_is_the_plain_operations():
    tensors = draw(2, 7, 6), draw(4, 6), draw(4)
    ours, plain = GeluLinear.apply(*tensors), F.linear(F.gelu(tensors[0]), *tensors[1:])
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(gradients(ours, tensors), gradients(plain, tensors))
    assert torch.autograd.gradcheck(GeluLinear.apply, tensors)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (2, 2), (4, 2), (7, 5)])
def test_convolution_is_the_plain_operations(kernel, stride):
    rows = 4 * stride
    states, weight = draw(3, rows, 5), draw(6, 5, kernel)
    ours = GeluConv.apply(states, *taps(weight, stride))
    plain = F.conv1d(F.gelu(states).transpose(1, 2), weight, stride=stride).transpose(1, 2)
    assert ours.shape == (3, 4, 6)
    ours = ours[:, : plain.size(1)]  # the row behind reads the next utterance
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(gradients(ours, (states, weight)), gradients(plain, (states, weight)))


def test_a_frozen_weight_gets_no_gradient():
    states, weight, bias = draw(3, 6), draw(4, 6).detach(), draw(4).detach()
    GeluLinear.apply(states, weight, bias).sum().backward()
    assert weight.grad is None and states.grad.abs().sum() > 0

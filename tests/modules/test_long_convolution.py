"""Convolution by Fourier transforms against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from speecht5_fairseq.modules import long_convolution as module
from speecht5_fairseq.modules.long_convolution import long_convolution, takes_less
from speecht5_fairseq.modules.speech_encoder_prenet import PositionConv


@pytest.mark.parametrize("kernel", [4, 5, 16])
@pytest.mark.parametrize("steps", [1, 16, 17, 18, 60])
@pytest.mark.parametrize("channels", [1, 192], ids=["a group at a time", "all groups at once"])
def test_results_and_gradients_are_torchs(monkeypatch, kernel, steps, channels):
    """At lengths around a block's end, too."""
    monkeypatch.setattr(module, "CHANNELS", channels)
    torch.manual_seed(0)
    shapes = (2, 6, steps), (6, 2, kernel), (6,)
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    how = {"padding": kernel // 2, "groups": 3}
    ours, expected = long_convolution(*tensors, **how), F.conv1d(*tensors, **how)
    torch.testing.assert_close(ours, expected)
    weight = torch.randn_like(expected)
    gradients = [torch.autograd.grad((output * weight).sum(), tensors) for output in (ours, expected)]
    torch.testing.assert_close(*gradients)


def test_in_float32_it_is_as_near_to_float64_as_torchs():
    torch.manual_seed(0)
    states, weight, bias = torch.randn(1, 96, 700), 0.02 * torch.randn(96, 48, 128), torch.randn(96)
    how = {"padding": 64, "groups": 2}
    exact = F.conv1d(states.double(), weight.double(), bias.double(), **how)
    ours = (long_convolution(states, weight, bias, **how) - exact).abs().max()
    torchs = (F.conv1d(states, weight, bias, **how) - exact).abs().max()
    assert ours < 2 * torchs + 1e-6


def test_the_position_convolution_takes_it_where_it_pays(monkeypatch):
    conv, used = PositionConv(dim=6, kernel=40, groups=2).double(), []
    states = torch.randn(2, 130, 6, dtype=torch.float64)
    expected = conv(states[:, :120])  # 240 time steps: torch's own
    monkeypatch.setattr(
        "speecht5_fairseq.modules.speech_encoder_prenet.long_convolution",
        lambda *inputs, **shape: used.append(1) or long_convolution(*inputs, **shape),
    )
    monkeypatch.setattr(module, "FEWEST_STEPS", 240)
    torch.testing.assert_close(conv(states[:, :120]), expected)
    assert used == [1]


def test_where_it_does_not_pay():
    states = torch.randn(2, 6, 128)
    assert takes_less(states, 32)
    assert not takes_less(states, 31)
    assert not takes_less(states[..., :127], 32)
    assert not takes_less(states.bfloat16(), 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not takes_less(states, 32)

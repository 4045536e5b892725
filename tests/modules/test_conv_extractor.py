"""The extractor against torch's own convolutions and norms, each utterance alone."""

import pytest
import torch
from torch.nn import functional as F

from speecht5_fairseq.constants import CONV_LAYERS
from speecht5_fairseq.modules import conv_extractor
from speecht5_fairseq.modules.conv_extractor import ConvExtractor

SAMPLES = (1700, 400, 4001)
LAYERS = [(5, kernel, stride) for _, kernel, stride in CONV_LAYERS]


def build(layer_norm):
    torch.manual_seed(0)
    extractor = ConvExtractor(layers=LAYERS, layer_norm=layer_norm).double()
    with torch.no_grad():
        for norm in extractor.norms:
            for parameter in norm.parameters():
                parameter.normal_()
    return extractor


def plain(extractor, waveform):
    """(S,) of one utterance -> (T, C), channels before time as torch has it."""
    states = waveform[None, None]
    for conv, norm in zip(extractor.convs, extractor.norms, strict=True):
        states = conv(states)
        states = norm(states.mT).mT if isinstance(norm, torch.nn.LayerNorm) else norm(states)
        states = F.gelu(states)
    return states[0].T


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_batch_is_torch_on_each_utterance_alone(layer_norm):
    extractor = build(layer_norm)
    waveform = torch.zeros(len(SAMPLES), max(SAMPLES), dtype=torch.float64)
    for row, length in zip(waveform, SAMPLES, strict=True):
        row[:length].normal_()
    batch = extractor(waveform, torch.tensor(SAMPLES))
    singles = [plain(extractor, waveform[row, :length]) for row, length in enumerate(SAMPLES)]
    assert batch.shape == (len(SAMPLES), max(len(single) for single in singles), 5)
    weights = [torch.randn_like(single) for single in singles]
    pairs = [(batch[row, : len(single)], single) for row, single in enumerate(singles)]
    for ours, expected in pairs:
        torch.testing.assert_close(ours, expected)
    sums = [sum((pair[side] * weight).sum() for pair, weight in zip(pairs, weights, strict=True)) for side in (0, 1)]
    ours, expected = (torch.autograd.grad(total, list(extractor.parameters())) for total in sums)
    assert all(gradient.abs().sum() > 0 for gradient in expected)
    torch.testing.assert_close(ours, expected)


@torch.no_grad()
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("frames", [1, 7, 12, 10_000])
def test_without_a_gradient_some_frames_at_a_time(monkeypatch, layer_norm, frames):
    """Whatever the number of frames, whose last kernels reach into the next ones."""
    monkeypatch.setattr(conv_extractor, "FRAMES", frames)
    extractor = build(layer_norm)
    waveform = torch.zeros(len(SAMPLES), max(SAMPLES), dtype=torch.float64)
    for row, length in zip(waveform, SAMPLES, strict=True):
        row[:length].normal_()
    batch = extractor(waveform, torch.tensor(SAMPLES))
    for row, length in enumerate(SAMPLES):
        expected = plain(extractor, waveform[row, :length])
        torch.testing.assert_close(batch[row, : len(expected)], expected)
    with torch.enable_grad():
        torch.testing.assert_close(extractor(waveform, torch.tensor(SAMPLES)).detach(), batch)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_stays_near_float64(dtype):
    extractor, waveform = build(layer_norm=False), torch.randn(1, 4000, dtype=torch.float64)
    expected = extractor(waveform, torch.tensor([4000]))
    ours = extractor.to(dtype)(waveform.to(dtype), torch.tensor([4000]))
    assert ours.dtype == dtype
    assert (ours.double() - expected).norm() / expected.norm() < 0.03


def test_a_kernel_that_jumps_over_samples_is_refused():
    with pytest.raises(ValueError, match="layer 1: kernel 1 must be 2 to 4"):
        ConvExtractor(layers=[(4, 2, 2), (4, 1, 2)], layer_norm=False)

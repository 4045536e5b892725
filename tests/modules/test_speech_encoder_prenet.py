"""From a waveform to frames, without the encoder body."""

import pytest
import torch
from helpers import alone, speech_source, tiny_config, tiny_model
from torch import nn

from speecht5_fairseq.modules.speech_encoder_prenet import PositionConv, _normalize

SAMPLES = (4000, 9117, 6400)
LAYOUTS = {"base": {}, "large": {"extractor_norm": "layer", "normalize_waveform": True}}


def prenet(**options):
    return tiny_model("s2s", **options).speech_encoder_prenet.eval()


def run(net, source, mask=False):
    return net(source["waveform"], source["sample_lengths"], seeds=source["seeds"], mask=mask)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("mask", [False, True])
def test_an_utterance_is_the_same_alone_and_in_a_batch(layout, mask):
    net = prenet(mask_channel_prob=0.3, mask_channel_length=4, **layout)
    source = speech_source(*SAMPLES, garbage=3.0)
    batch = run(net, source, mask)
    for row in range(len(SAMPLES)):
        single = run(net, alone(source, row), mask)
        frames = int(batch.lengths[row])
        assert single.padding_mask is None and int(single.lengths) == frames == single.states.size(1)
        torch.testing.assert_close(batch.states[row, :frames], single.states[0], rtol=1e-5, atol=1e-5)
        if mask:
            assert torch.equal(batch.masked[row, :frames], single.masked[0])
            assert not batch.masked[row, frames:].any()
    assert torch.equal(batch.padding_mask.sum(1), batch.states.size(1) - batch.lengths)


def test_feature_penalty_is_over_valid_frames():
    net, source = prenet(), speech_source(*SAMPLES)
    singles = [run(net, alone(source, row)) for row in range(len(SAMPLES))]
    frames = torch.tensor([int(single.lengths) for single in singles])
    expected = (torch.stack([single.feature_penalty for single in singles]) * frames).sum() / frames.sum()
    torch.testing.assert_close(run(net, source).feature_penalty, expected)


def test_loudness_and_offset_do_not_matter_when_normalised():
    net, source = prenet(normalize_waveform=True), speech_source(4000)
    other = {**source, "waveform": 3 * source["waveform"] + 0.5}
    torch.testing.assert_close(run(net, source).states, run(net, other).states, rtol=1e-3, atol=1e-3)


def test_masked_frames_are_the_learned_vector():
    """Seen before the positions: without the position convolution the difference of two embeddings comes through."""
    net, source = prenet(), speech_source(16_000)
    net.position_conv.conv.parametrizations.weight.original0.data.zero_()  # the weight's norm
    net.position_conv.conv.bias.data.zero_()
    before = run(net, source, mask=True)
    with torch.no_grad():
        net.mask_embedding.add_(1.0)
    after = run(net, source, mask=True)
    moved = (after.states - before.states)[0]
    torch.testing.assert_close(moved[before.masked[0]], torch.ones_like(moved[before.masked[0]]))
    assert (moved[~before.masked[0]] == 0).all()


def test_masked_channels_are_zero_in_every_frame():
    net, source = prenet(mask_prob=0.0, mask_channel_prob=0.5, mask_channel_length=4), speech_source(4000)
    states, masked = net._mask(torch.ones(1, 12, 24), torch.tensor([12]), source["seeds"])
    assert not masked.any()
    zeros = (states[0] == 0).all(0)
    assert 4 <= int(zeros.sum()) < 24 and ((states[0] == 0).any(0) == zeros).all()


def test_an_utterance_without_a_frame_is_refused():
    with pytest.raises(ValueError, match="399 samples gives no encoder frame.*400 samples.*--min-speech-samples"):
        run(prenet(), speech_source(4000, 399))


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
def test_gradient_of_the_extractor_is_scaled(scale):
    """Against the gradient of a model of the same weights whose scale is 1."""
    grads = {}
    for mult in (1.0, scale):
        net, source = prenet(feature_grad_mult=mult), speech_source(*SAMPLES)
        run(net, source).states.square().sum().backward()
        grads[mult] = [conv.weight.grad for conv in net.extractor.convs], net.projection.weight.grad
    torch.testing.assert_close(grads[scale][1], grads[1.0][1])
    for ours, full in zip(grads[scale][0], grads[1.0][0], strict=True):
        assert full.abs().sum() > 0
        if scale == 0:
            assert ours is None
        else:
            torch.testing.assert_close(ours, scale * full, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kernel", [8, 7])
def test_position_convolution_keeps_the_length(kernel):
    conv, states = PositionConv(dim=8, kernel=kernel, groups=2), torch.randn(1, 5, 8)
    assert conv(states).shape == states.shape
    plain = nn.functional.conv1d(
        states.transpose(1, 2), conv.conv.weight, conv.conv.bias, padding=kernel // 2, groups=2
    )
    expected = nn.functional.gelu(plain[..., :5]).transpose(1, 2)
    torch.testing.assert_close(conv(states), expected)


def test_default_extractor_is_the_released_one():
    sizes = [tuple(conv.weight.shape) for conv in prenet(conv_channels=tiny_config().conv_channels).extractor.convs]
    assert [shape[2] for shape in sizes] == [10, 3, 3, 3, 3, 2, 2]


def test_loud_minutes_are_normalised_in_half_precision():
    waveform = torch.randn(2, 100_000).half() * 3 + 1
    lengths = torch.tensor([100_000, 90_000])
    for row, length in zip(_normalize(waveform, lengths), lengths, strict=True):
        assert abs(row[:length].mean()) < 1e-3 and abs(row[:length].std() - 1) < 1e-2

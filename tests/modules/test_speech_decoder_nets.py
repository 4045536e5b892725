"""The pre-net and the post-net of speech."""

import pytest
import torch
from torch.nn import functional as F

from speecht5_fairseq.constants import MEL_BINS, SPEAKER_DIM
from speecht5_fairseq.modules.speech_decoder_postnet import SpeechDecoderPostnet, ValidBatchNorm
from speecht5_fairseq.modules.speech_decoder_prenet import SpeechDecoderPrenet, previous_frames


def test_the_decoder_hears_the_last_of_every_r_frames_one_step_late():
    frames = torch.arange(6.0).view(1, 6, 1)
    assert previous_frames(frames, 1).flatten().tolist() == [0, 0, 1, 2, 3, 4]
    assert previous_frames(frames, 2).flatten().tolist() == [0, 1, 3]
    assert previous_frames(frames, 3).flatten().tolist() == [0, 2]


def prenet(dropout=0.0):
    return SpeechDecoderPrenet(dim=12, hidden=10, layer_dropout=dropout, dropout=0.0)


def test_only_the_direction_of_the_speaker_vector_counts():
    net, frames = prenet(), torch.randn(2, 3, MEL_BINS)
    speaker = torch.randn(2, SPEAKER_DIM)
    ones = net.condition(speaker)
    torch.testing.assert_close(net(frames, ones), net(frames, net.condition(7 * speaker)))
    assert (net(frames, ones) - net(frames, net.condition(-speaker))).abs().max() > 1e-3
    nobody = net.condition(torch.zeros(2, SPEAKER_DIM))
    torch.testing.assert_close(net(frames, net.condition(None)), net(frames, nobody))


def test_the_speaker_vector_is_a_part_of_the_last_layers_input():
    """`condition` spares the product at every step: the sum is that of the vectors side by side."""
    net, frames, speaker = prenet().eval(), torch.randn(2, 3, MEL_BINS), torch.randn(2, SPEAKER_DIM)
    states = F.relu(net.layers[1](F.relu(net.layers[0](frames))))
    states = net.positions(net.projection(states))
    vector = F.normalize(speaker)[:, None].expand(-1, 3, -1)
    expected = F.relu(net.speaker_projection(torch.cat([states, vector], dim=-1)))
    torch.testing.assert_close(net(frames, net.condition(speaker)), expected)


def test_prenet_dropout_is_for_training():
    net, frames = prenet(dropout=0.5), torch.randn(1, 5, MEL_BINS)
    nobody = net.condition(None)
    assert not torch.equal(net(frames, nobody), net(frames, nobody))
    net.eval()
    assert torch.equal(net(frames, nobody), net(frames, nobody))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_torch_batch_norm_of_the_valid_frames(training):
    ours, theirs = ValidBatchNorm(3).train(training), torch.nn.BatchNorm1d(3).train(training)
    states, lengths = torch.randn(2, 3, 6), torch.tensor([6, 2])
    valid = torch.arange(6) < lengths[:, None]
    output = ours(states, valid)
    expected = theirs(torch.cat([states[0], states[1, :, :2]], dim=1).T)
    torch.testing.assert_close(output.transpose(1, 2)[valid], expected)
    assert (output[1, :, 2:] == 0).all()
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    assert ours.num_batches_tracked == theirs.num_batches_tracked == int(training)


def postnet(reduction=2, dropout=0.0):
    return SpeechDecoderPostnet(dim=12, reduction=reduction, channels=7, layers=3, dropout=dropout)


@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_shapes_and_order_of_the_r_frames(reduction):
    net, states = postnet(reduction).eval(), torch.randn(2, 4, 12)
    output = net(states, torch.tensor([4, 3]) * reduction)
    assert output.coarse.shape == output.refined.shape == (2, 4 * reduction, MEL_BINS)
    assert output.stop_logits.shape == (2, 4 * reduction)
    step = F.linear(states[0, 1], net.feat_out.weight, net.feat_out.bias).view(reduction, MEL_BINS)
    torch.testing.assert_close(output.coarse[0, reduction : 2 * reduction], step)


@pytest.mark.parametrize("training", [True, False])
def test_padding_reaches_no_valid_frame(training):
    net, coarse = postnet().train(training), torch.randn(2, 9, MEL_BINS)
    lengths = torch.tensor([9, 4])
    garbage = coarse.clone()
    garbage[1, 4:] = 50.0
    first, second = net.refine(coarse, lengths), net.refine(garbage, lengths)
    torch.testing.assert_close(first[0], second[0])
    torch.testing.assert_close(first[1, :4], second[1, :4])
    if not training:
        torch.testing.assert_close(first[1:, :4], net.refine(coarse[1:, :4], lengths[1:]))


@pytest.mark.parametrize("prediction", ["residual", "mask"])
def test_predictions_from_the_source(prediction):
    """In magnitudes: a residual in the logarithm multiplies them by 10 ** residual, a mask by a number in (0, 1)."""
    net = SpeechDecoderPostnet(dim=12, reduction=1, channels=7, layers=3, dropout=0.0, prediction=prediction).eval()
    states, source = 5 * torch.randn(2, 4, 12), torch.randn(2, 4, MEL_BINS) - 2
    raw = F.linear(states, net.feat_out.weight, net.feat_out.bias)
    factor = 10**raw if prediction == "residual" else torch.sigmoid(raw)
    coarse, _ = net.coarse(states, source)
    torch.testing.assert_close(10**coarse, 10**source * factor)
    if prediction == "mask":
        assert (coarse < source).all()
        silent, _ = net.coarse(states, torch.full_like(source, -9.9))
        assert silent.min() >= -10


def test_a_prediction_from_the_source_works_frame_by_frame():
    with pytest.raises(ValueError, match="--speech-prediction mask .*--reduction-factor 2.*give --reduction-factor 1"):
        SpeechDecoderPostnet(dim=12, reduction=2, channels=7, layers=3, dropout=0.0, prediction="mask")


def test_last_convolution_has_no_tanh():
    net = postnet().eval()
    with torch.no_grad():
        net.norms[-1].bias.fill_(5.0)
    coarse = torch.zeros(1, 4, MEL_BINS)
    assert net.refine(coarse, torch.tensor([4])).min() > 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_no_speaker_is_finite_in_low_precision(dtype):
    net = prenet().to(dtype)
    condition = net.condition(torch.randn(2, SPEAKER_DIM))
    assert net(torch.randn(2, 3, MEL_BINS, dtype=dtype), condition).isfinite().all()

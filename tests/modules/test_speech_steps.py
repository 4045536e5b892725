"""The speech decoder's nets step by step are those over whole sequences."""

import pytest
import torch
from helpers import tiny_model
from torch.nn import functional as F

from speecht5_fairseq.constants import MEL_BINS, SPEAKER_DIM
from speecht5_fairseq.modules.speech_decoder_postnet import SpeechDecoderPostnet
from speecht5_fairseq.modules.speech_decoder_prenet import SpeechDecoderPrenet
from speecht5_fairseq.modules.speech_steps import SpeechSteps

STEPS = SpeechSteps.CHUNK + 3


def nets(prediction="mel", reduction=1):
    prenet = SpeechDecoderPrenet(dim=12, hidden=10, layer_dropout=0.5, dropout=0.0)
    torch.nn.init.constant_(prenet.positions.alpha, 0.7)
    postnet = SpeechDecoderPostnet(
        dim=12, reduction=reduction, channels=7, layers=3, dropout=0.0, prediction=prediction
    )
    return prenet.eval(), postnet.eval()


def steps_of(steps, frames, condition, kept=None):
    rows = range(frames.size(1))
    drawn = [None if kept is None else kept[:, step] for step in rows]
    return torch.cat([steps.inputs(frames[:, step], condition, step, drawn[step]) for step in rows], 1)


@torch.no_grad()
@pytest.mark.parametrize("speaker", [None, torch.randn(2, SPEAKER_DIM, generator=torch.Generator().manual_seed(1))])
def test_what_goes_into_the_decoder_is_the_prenets(speaker):
    prenet, postnet = nets()
    frames, condition = torch.randn(2, STEPS, MEL_BINS), prenet.condition(speaker)
    found = steps_of(SpeechSteps(prenet, postnet), frames, condition)
    torch.testing.assert_close(found, prenet(frames, condition))


@torch.no_grad()
def test_dropout_that_the_caller_draws():
    """It acts in evaluation too, on both layers, and keeps the expected size."""
    prenet, postnet = nets()
    steps, frames, nobody = SpeechSteps(prenet, postnet), torch.randn(1, 4, MEL_BINS), prenet.condition(None)
    kept = torch.rand(1, 4, *prenet.drawn) < 0.5
    states = frames
    for number, layer in enumerate(prenet.layers):
        states = F.relu(layer(states)) * kept[:, :, number] * 2
    expected = F.relu(F.linear(prenet.positions(prenet.projection(states)), prenet.mixing_weight) + nobody)
    torch.testing.assert_close(steps_of(steps, frames, nobody, kept), expected)
    assert not torch.equal(steps_of(steps, frames, nobody, kept), steps_of(steps, frames, nobody))


@torch.no_grad()
def test_a_position_has_the_same_numbers_however_many_came_before():
    steps, heard, condition = SpeechSteps(*nets()), torch.randn(1, MEL_BINS), torch.zeros(1, 1, 12)
    early = steps.inputs(heard, condition, 1, None)
    steps.inputs(heard, condition, STEPS, None)
    assert torch.equal(steps.inputs(heard, condition, 1, None), early)


@torch.no_grad()
@pytest.mark.parametrize("prediction, reduction", [("mel", 1), ("mel", 3), ("residual", 1), ("mask", 1)])
def test_what_comes_out_of_the_decoder_is_the_postnets(prediction, reduction):
    prenet, postnet = nets(prediction, reduction)
    states = torch.randn(2, 1, 12)
    source = None if prediction == "mel" else torch.randn(2, 1, MEL_BINS)
    found = SpeechSteps(prenet, postnet).outputs(states, source)
    for ours, expected in zip(found, postnet.coarse(states, source), strict=True):
        torch.testing.assert_close(ours, expected)


def test_other_weights_are_heard_after_a_preparation():
    model, other = (tiny_model("t2s").eval() for _ in range(2))
    model.prepare_decoding()
    assert model.speech_steps is not None
    model.load_state_dict(other.state_dict())
    assert model.speech_steps is None

"""Losses of mel prediction against sums written out."""

import math

import pytest
import torch

from speecht5_fairseq.constants import MEL_BINS
from speecht5_fairseq.losses.speech import STOP_WEIGHT, speech_loss
from speecht5_fairseq.outputs import SpeechDecoderOutput

LENGTHS = torch.tensor([6, 4])


def output(**changes):
    generator = torch.Generator().manual_seed(0)
    coarse, refined = (torch.randn(2, 6, MEL_BINS, generator=generator) for _ in range(2))
    parts = {"coarse": coarse, "refined": refined, "stop_logits": torch.randn(2, 6, generator=generator)}
    return SpeechDecoderOutput(**{**parts, "lengths": LENGTHS, **changes})


def target(frames=7):
    return torch.randn(2, frames, MEL_BINS, generator=torch.Generator().manual_seed(1))


def test_l1_is_the_mean_over_valid_frames_before_and_after_the_post_net():
    result, wanted, total = output(), target(), 0.0
    for mel in (result.coarse, result.refined):
        differences = [(mel[row, :n] - wanted[row, :n]).abs() for row, n in enumerate(LENGTHS)]
        total += torch.cat(differences).sum() / (10 * MEL_BINS)
    torch.testing.assert_close(speech_loss(result, wanted).l1, total)


def test_stop_is_one_at_the_last_valid_frame_with_weight():
    result, total = output(), 0.0
    for row, length in enumerate(LENGTHS.tolist()):
        for frame in range(length):
            chance = 1 / (1 + math.exp(-result.stop_logits[row, frame].item()))
            last = frame == length - 1
            total -= STOP_WEIGHT * math.log(chance) if last else math.log(1 - chance)
    assert speech_loss(result, target()).stop.item() == pytest.approx(total / 10, rel=1e-5)


def test_padding_counts_for_nothing():
    result, wanted = output(), target()
    garbage = result.coarse.clone()
    garbage[1, 4:] = 1e6
    stop = result.stop_logits.clone()
    stop[1, 4:] = 1e6
    filled = wanted.clone()
    filled[1, 4:], filled[0, 6:] = 1e6, 1e6
    first = speech_loss(result, wanted)
    second = speech_loss(output(coarse=garbage, refined=result.refined, stop_logits=stop), filled)
    assert first == second


def test_gradients_stay_inside():
    coarse = output().coarse.requires_grad_()
    speech_loss(output(coarse=coarse), target()).l1.backward()
    assert (coarse.grad[1, 4:] == 0).all() and (coarse.grad[1, :4] != 0).all()

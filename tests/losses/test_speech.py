"""Losses of mel prediction against sums written out."""

import math

import pytest
import torch

from speecht5_fairseq.constants import MEL_BINS
from speecht5_fairseq.losses.speech import STOP_WEIGHT, focus_rate, guided_attention_loss, speech_loss
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


def test_l2_is_the_mean_square_before_and_after_the_post_net():
    result, wanted, total = output(), target(), 0.0
    for mel in (result.coarse, result.refined):
        squares = [(mel[row, :n] - wanted[row, :n]) ** 2 for row, n in enumerate(LENGTHS)]
        total += torch.cat(squares).sum() / (10 * MEL_BINS)
    torch.testing.assert_close(speech_loss(result, wanted).l2, total)


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


STEPS, POSITIONS = torch.tensor([5, 3]), torch.tensor([4, 2])


def attention(layers=2, heads=3):
    """Probabilities over each utterance's own positions, garbage after its last step."""
    generator, found = torch.Generator().manual_seed(2), []
    for _ in range(layers):
        weights = torch.randn(2, heads, 5, 4, generator=generator).softmax(-1)
        weights[1, :, :, 2:] = 0.0
        found.append(weights / weights.sum(-1, keepdim=True))
        found[-1][1, :, 3:] = 7.0
    return found


@pytest.mark.parametrize("sigma", [0.2, 0.4])
@pytest.mark.parametrize("layers", [1, 2])
def test_guided_attention_is_the_formula_over_the_valid_cells(sigma, layers):
    weights, total, cells = attention(layers), 0.0, 0
    for row, (steps, positions) in enumerate(zip(STEPS.tolist(), POSITIONS.tolist(), strict=True)):
        for i in range(steps):
            for j in range(positions):
                off = 1 - math.exp(-((i / steps - j / positions) ** 2) / (2 * sigma**2))
                total += sum(off * layer[row, head, i, j].item() for layer in weights for head in range(3))
                cells += layers * 3
    found = guided_attention_loss(weights, STEPS, POSITIONS, sigma=sigma)
    assert found.item() == pytest.approx(total / cells, rel=1e-5)


def test_guided_attention_of_no_layer_is_nothing():
    assert guided_attention_loss((), STEPS, POSITIONS, sigma=0.4).item() == 0.0


def test_the_diagonal_costs_least():
    diagonal = torch.eye(6)[None, None]
    costs = [guided_attention_loss([w], torch.tensor([6]), torch.tensor([6]), sigma=0.4) for w in
             (diagonal, torch.full_like(diagonal, 1 / 6), diagonal.flip(-1))]  # fmt: skip
    assert costs[0] == 0 and costs[0] < costs[1] < costs[2]


def test_focus_rate_is_the_mean_peak_of_the_best_head():
    weights = attention()
    expected = [
        max(layer[row, head, :steps].amax(-1).mean().item() for layer in weights for head in range(3))
        for row, steps in enumerate(STEPS.tolist())
    ]
    assert focus_rate(weights, STEPS).tolist() == pytest.approx(expected, rel=1e-6)


def test_a_target_shorter_than_a_step_counts_for_nothing():
    weights, steps = attention(), torch.tensor([5, 0])
    alone = [layer[:1] for layer in weights]
    found = guided_attention_loss(weights, steps, POSITIONS, sigma=0.4)
    torch.testing.assert_close(found, guided_attention_loss(alone, steps[:1], POSITIONS[:1], sigma=0.4))
    assert focus_rate(weights, steps)[1] == 0

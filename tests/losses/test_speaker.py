"""Losses of identification: each formula by hand in float64, and gradients where angles end."""

import math

import pytest
import torch
from torch.nn import functional as F

from speecht5_fairseq.losses.speaker import add_angle, class_loss

SCALE = 20.0


def cosines(rows=6, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = 2 * torch.rand(rows, classes, generator=generator, dtype=torch.float64) - 1
    values[0] = -0.999  # beyond pi with any margin
    return values, torch.randint(classes, (rows,), generator=generator)


def by_hand(cosine, target, kind, margin):
    """Sum over the rows of -log(softmax), written out with angles."""
    total = 0.0
    for row, wanted in zip(cosine.tolist(), target.tolist(), strict=True):
        theta = math.acos(row[wanted])
        if kind == "am":
            narrowed = row[wanted] - margin
        elif theta + margin < math.pi:
            narrowed = math.cos(theta + margin)
        else:
            narrowed = row[wanted] - margin * math.sin(margin)
        logits = [SCALE * (narrowed if place == wanted else value) for place, value in enumerate(row)]
        total -= logits[wanted] - math.log(sum(math.exp(value) for value in logits))
    return total


def test_softmax_is_cross_entropy():
    logits, target = cosines()
    found = class_loss(logits, target)
    torch.testing.assert_close(found.loss, F.cross_entropy(logits, target, reduction="sum"))
    assert int(found.correct) == int((logits.argmax(1) == target).sum())


@pytest.mark.parametrize("kind", ["am", "aam"])
@pytest.mark.parametrize("margin", [0.1, 0.5, 1.2])
def test_margins_follow_their_formulas(kind, margin):
    cosine, target = cosines(400)
    beyond = torch.acos(cosine.gather(1, target[:, None])) + margin > math.pi
    assert beyond.any() and not beyond.all()
    found = class_loss(SCALE * cosine, target, kind=kind, margin=margin, scale=SCALE)
    assert found.loss.item() == pytest.approx(by_hand(cosine, target, kind, margin), rel=1e-9)
    assert int(found.correct) == int((cosine.argmax(1) == target).sum())  # without the margin
    assert found.loss > class_loss(SCALE * cosine, target, kind=kind, margin=0.0, scale=SCALE).loss


@pytest.mark.parametrize("kind", ["softmax", "am", "aam"])
def test_without_margin_all_are_cross_entropy(kind):
    cosine, target = cosines()
    plain = F.cross_entropy(SCALE * cosine, target, reduction="sum")
    torch.testing.assert_close(class_loss(SCALE * cosine, target, kind=kind, margin=0.0, scale=SCALE).loss, plain)


def test_the_angle_is_added_and_never_helps():
    theta = torch.linspace(0.01, math.pi - 0.01, 300, dtype=torch.float64)
    for margin in (0.2, 0.5, 1.0):
        found = add_angle(theta.cos(), margin)
        inside = theta + margin < math.pi
        torch.testing.assert_close(found[inside], (theta + margin).cos()[inside])
        assert (found < theta.cos()).all()
        assert (found[inside].diff() < 0).all() and (found[~inside].diff() < 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cosine", [1.0, 1.0 + 1e-7, 1 - 1e-7, -1.0, -1.0 - 1e-7, -1 + 1e-7, 0.0])
def test_gradients_are_finite_where_angles_end(cosine, dtype):
    logits = torch.tensor([[SCALE * cosine, 0.0, 3.0]], dtype=dtype, requires_grad=True)
    found = class_loss(logits, torch.tensor([0]), kind="aam", margin=0.3, scale=SCALE)
    (gradient,) = torch.autograd.grad(found.loss, logits)
    assert found.loss.isfinite() and gradient.isfinite().all()
    assert gradient[0, 0] <= 0  # more cosine to the right class is never worse


@pytest.mark.parametrize("margin", [0.2, 0.7])
def test_gradients_are_those_of_differences(margin):
    """Inside, on both sides of theta + margin = pi."""
    edge = math.cos(math.pi - margin)
    values = [-0.99, edge - 0.01, edge + 0.01, -0.3, 0.0, 0.5, 0.99]
    cosine = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: add_angle(x, margin), (cosine,), eps=1e-7, atol=1e-5)


def test_half_precision_logits_keep_their_type_outside_the_target():
    cosine, target = cosines()
    found = class_loss((SCALE * cosine).float(), target, kind="aam", margin=0.2, scale=SCALE)
    assert found.loss.dtype == torch.float32

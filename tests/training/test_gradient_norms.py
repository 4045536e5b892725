"""Gradient norms of the nets: those before clipping, whatever all gradients were multiplied by."""

import pytest
import torch
from fairseq.logging import metrics
from helpers import mel_target, text_tokens, tiny_model
from torch import nn

from speecht5_fairseq.models.parts import net_of
from speecht5_fairseq.training.gradient_norms import GradientNorms


class Wrapped(nn.Module):
    """As the wrappers of several processes name the model."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def with_gradients():
    model = tiny_model("t2s")
    output = model(source_tokens=text_tokens(7, 5), seeds=torch.tensor([1, 2]), **mel_target(12, 8))
    output.speech.refined.square().sum().backward()
    return model


def logged(norms, whole):
    metrics.reset()
    with metrics.aggregate("update") as found:
        metrics.log_scalar("gnorm", whole)
        norms.log()
    return {name: value for name, value in found.get_smoothed_values().items() if name != "gnorm"}


@pytest.mark.parametrize("factor", [1.0, 1e-3, 4096.0])
def test_they_are_those_before_clipping_and_scaling(factor):
    model = with_gradients()
    expected = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            expected.setdefault(f"gnorm_{net_of(name)}", []).append(parameter.grad.double().flatten().clone())
            parameter.grad.mul_(factor)
    expected = {name: torch.cat(parts).norm() for name, parts in expected.items()}
    whole = torch.stack([*expected.values()]).norm()
    nets = {"text_encoder_prenet", "encoder", "speech_decoder_prenet", "decoder", "speech_decoder_postnet"}
    assert set(expected) == {f"gnorm_{net}" for net in nets}
    for wrapped in (model, Wrapped(Wrapped(model))):
        norms = GradientNorms()
        norms.measure(wrapped)
        found = logged(norms, float(whole))
        assert found == pytest.approx({name: float(norm) for name, norm in expected.items()}, abs=1e-3, rel=1e-3)
        assert not logged(norms, float(whole))  # each update's once


def test_half_precision_does_not_overflow():
    layer = nn.Linear(4, 4).half()
    layer.weight.grad = torch.full((4, 4), 60000.0, dtype=torch.half)
    norms = GradientNorms()
    norms.measure(layer)
    assert norms.shares == {"weight": 1.0}


def test_an_update_without_gradients_has_none_and_one_of_zeros_has_zeros():
    layer, norms = nn.Linear(2, 2), GradientNorms()
    norms.measure(layer)
    assert norms.shares == {}
    layer.weight.grad = torch.zeros(2, 2)
    norms.measure(layer)
    assert logged(norms, 0.0) == {"gnorm_weight": 0.0}

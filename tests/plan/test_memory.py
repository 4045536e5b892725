"""Memory by part, against sums by hand and against the optimizers that fairseq's trainer builds."""

import pytest
import torch
from fairseq.optim import MemoryEfficientFP16Optimizer
from fairseq.optim.fp16_optimizer import FP16Optimizer

from speecht5_fairseq.plan.memory import CONTEXT, FRAGMENTS, state_bytes, weights_of, with_activations
from speecht5_fairseq.plan.step import Trained

TRAINED = [Trained("encoder", 1000, 1000), Trained("extractor", 500, 0)]
CASES = {  # flags: weights, gradients, copies, optimizer
    (): (6000, 4000, 0, 8000),
    ("--fp16",): (3000, 2000, 8000, 8000),
    ("--bf16",): (3000, 2000, 8000, 8000),
    ("--memory-efficient-fp16",): (3000, 2000, 0, 8000),
    ("--amp",): (6000, 4000, 0, 8000),
}


@pytest.mark.parametrize("flags", CASES, ids="".join)
def test_parts_by_hand(config, flags):
    found = weights_of(config("s2t", *flags), TRAINED, processes=1, cpu=False)
    assert found[:4] == CASES[flags] and found.buffers == 0
    assert found.total == sum(CASES[flags]) + CONTEXT
    whole = with_activations(found, 10_000)
    assert whole.total - found.total == 10_000 + round(FRAGMENTS * 10_000)


@pytest.mark.parametrize("backend, buffers", [("legacy_ddp", 6000), ("pytorch_ddp", 4000)])
def test_gradients_are_summed_in_buffers(config, backend, buffers):
    cfg = config("s2t", "--ddp-backend", backend)
    assert weights_of(cfg, TRAINED, processes=2, cpu=True).buffers == buffers


def test_sharded_states_are_divided(config):
    cfg = config("s2t", "--ddp-backend", "legacy_ddp", "--zero-sharding", "os")
    assert weights_of(cfg, TRAINED, processes=4, cpu=True).optimizer == 2000


@pytest.mark.parametrize("name, expected", [("adam", 8), ("speecht5_fused_adam", 8), ("sgd", 0), ("adagrad", 4)])
def test_states_of_optimizers(config, name, expected):
    assert state_bytes(config("s2t", "--optimizer", name), half=False) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "flag, kind", [("--bf16", FP16Optimizer), ("--memory-efficient-bf16", MemoryEfficientFP16Optimizer)]
)
def test_copies_and_states_are_those_of_fairseqs_optimizers(config, flag, kind):
    """All that an optimizer holds after a step, besides the model's own weights and gradients."""
    cfg = config("s2t", flag, "--cpu")
    weight = torch.nn.Parameter(torch.ones(64, 64, dtype=torch.bfloat16))
    optimizer = kind.build_optimizer(cfg, [weight])
    optimizer.backward((weight.float() * 2).sum())
    optimizer.step()
    held = tensors(optimizer.optimizer.state_dict()["state"])
    if kind is FP16Optimizer:
        held += [each for copy in optimizer.fp32_params for each in (copy, copy.grad)]
    found = weights_of(cfg, [Trained("net", weight.numel(), weight.numel())], processes=1, cpu=True)
    expected = sum(each.numel() * each.element_size() for each in held)
    assert found.copies + found.optimizer == pytest.approx(expected, rel=0.01)


def tensors(value):
    """All tensors in nested dicts."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [each for inner in value.values() for each in tensors(inner)] if isinstance(value, dict) else []

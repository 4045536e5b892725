"""Adam with a rate for each part: the steps that parameters take, under every scheduler, and after a resume."""

import copy

import pytest
import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq.optim import MemoryEfficientFP16Optimizer
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from fairseq.optim.fp16_optimizer import FP16Optimizer
from fairseq.optim.lr_scheduler import LR_SCHEDULER_DATACLASS_REGISTRY, LR_SCHEDULER_REGISTRY
from helpers import tiny_model
from omegaconf import OmegaConf

from speecht5_fairseq.optim import SpeechT5Adam

LR = 0.01
RATES = {"layer_lr_decay": 0.5, "lr_factors": "ctc_head:10"}


def config(**options):
    return OmegaConf.structured(FairseqAdamConfig(adam_betas="(0.9, 0.98)", lr=[LR], tpu=False, **options))


def adam_of(model, **options):
    return SpeechT5Adam(config(**options), [p for p in model.parameters() if p.requires_grad])


def learn(model, optimizer, updates=1):
    for _ in range(updates):
        optimizer.zero_grad()
        loss = sum(p.float().square().sum() for p in model.parameters() if p.requires_grad)
        optimizer.backward(loss)
        optimizer.step()


def largest_steps(model, before):
    """Adam's first step is the rate itself wherever there is a gradient."""
    return {name: (p - before[name]).abs().max().item() for name, p in model.named_parameters() if p.requires_grad}


def parameters(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_every_parameter_steps_at_its_own_rate():
    model = tiny_model("s2t", **RATES)
    before = parameters(model)
    learn(model, adam_of(model))
    steps, named = largest_steps(model, before), dict(model.named_parameters())
    assert steps["ctc_head.projection.weight"] == pytest.approx(10 * LR, rel=1e-3)
    assert steps["encoder.layers.0.feed_forward.fc1.weight"] == pytest.approx(0.125 * LR, rel=1e-3)
    for name, step in steps.items():
        assert step == pytest.approx(LR * model.rates.factors[named[name]], rel=1e-3), name


def half_precision(model, **common):
    cfg = OmegaConf.structured(FairseqConfig())
    cfg.common.bf16, cfg.common.cpu = True, True
    for name, value in common.items():
        cfg.common[name] = value
    cfg.optimizer = FairseqAdamConfig(_name="speecht5_adam", adam_betas="(0.9, 0.98)", lr=[LR])
    kind = MemoryEfficientFP16Optimizer if common.get("memory_efficient_bf16") else FP16Optimizer
    return kind.build_optimizer(cfg, [p for p in model.parameters() if p.requires_grad])


def test_the_float32_copies_of_half_precision_step_at_the_rates_of_their_parameters():
    model = tiny_model("s2t", **RATES).bfloat16()
    optimizer = half_precision(model)
    before = [copy.detach().clone() for copy in optimizer.fp32_params]
    learn(model, optimizer)
    for parameter, start, end in zip(optimizer.fp16_params, before, optimizer.fp32_params, strict=True):
        expected = LR * model.rates.factors[parameter]
        assert (end - start).abs().max().item() == pytest.approx(expected, rel=1e-2)


def test_memory_efficient_half_precision_has_the_rates():
    model = tiny_model("s2t", **RATES).bfloat16()
    optimizer = half_precision(model, memory_efficient_bf16=True)
    optimizer.set_lr(0.2)
    for group in optimizer.optimizer.param_groups:
        assert {model.rates.factors[p] * 0.2 for p in group["params"]} == {group["lr"]}
    assert optimizer.get_lr() == pytest.approx(0.2)


NEEDED = {
    "cosine": {"warmup_updates": 2, "lr_period_updates": 8},
    "inverse_sqrt": {"warmup_updates": 2},
    "polynomial_decay": {"warmup_updates": 2, "total_num_update": 10},
    "tri_stage": {"phase_ratio": (0.2, 0.4, 0.4)},
    "triangular": {"max_lr": 0.05, "lr_period_updates": 8.0},
    "step": {"warmup_updates": 2, "lr_deacy_period": 3},
    "reduce_lr_on_plateau": {"warmup_updates": 2, "lr_patience": 0},
    "fixed": {"warmup_updates": 2, "force_anneal": 2},
}


@pytest.mark.parametrize("name", sorted(set(LR_SCHEDULER_DATACLASS_REGISTRY) - {"pass_through"}))
def test_every_scheduler_moves_all_rates_together(name):
    model = tiny_model("s2t", **RATES)
    plain = FairseqAdam(config(), list(tiny_model("s2t").parameters()))
    optimizer = adam_of(model)
    rates = []
    schedulers = [LR_SCHEDULER_REGISTRY[name](scheduler_config(name), each) for each in (optimizer, plain)]
    for update in range(10):
        for scheduler in schedulers:
            scheduler.step_update(update)
            if update % 4 == 3:
                scheduler.step_begin_epoch(update // 4 + 1)
                scheduler.step(update // 4 + 1, val_loss=1.0)
        rates.append(plain.get_lr())
        assert optimizer.get_lr() == pytest.approx(rates[-1])
        for group in optimizer.param_groups:
            assert group["lr"] == pytest.approx(rates[-1] * model.rates.factors[group["params"][0]])
    assert name == "manual" or len({round(rate, 12) for rate in rates}) > 1


def scheduler_config(name):
    found = LR_SCHEDULER_DATACLASS_REGISTRY[name]()
    for key, value in {"lr": [LR], "max_update": 10, **NEEDED.get(name, {})}.items():
        setattr(found, key, value)
    return found


def test_without_factors_it_is_fairseqs_adam():
    models = [tiny_model("s2t") for _ in range(2)]
    optimizers = [
        kind(config(weight_decay=0.1), list(m.parameters()))
        for kind, m in zip((SpeechT5Adam, FairseqAdam), models, strict=True)
    ]
    for model, optimizer in zip(models, optimizers, strict=True):
        learn(model, optimizer, updates=2)
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_a_resumed_run_goes_on_as_a_straight_one():
    straight, stopped = (tiny_model("s2t", **RATES) for _ in range(2))
    first, second = adam_of(straight), adam_of(stopped)
    learn(straight, first, updates=4)
    learn(stopped, second, updates=2)
    resumed = tiny_model("s2t", seed=5, **RATES)
    resumed.load_state_dict(stopped.state_dict())
    third = adam_of(resumed)
    third.load_state_dict(copy.deepcopy(second.state_dict()))
    assert [group["lr"] for group in third.param_groups] == [group["lr"] for group in second.param_groups]
    learn(resumed, third, updates=2)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))


def test_a_resumed_run_may_have_other_factors_and_another_rate():
    model, other = tiny_model("s2t", **RATES), tiny_model("s2t", layer_lr_decay=0.9)
    saved, optimizer = adam_of(model), adam_of(other)
    learn(model, saved)
    optimizer.load_state_dict(copy.deepcopy(saved.state_dict()), {"lr": 0.5, "eps": 1e-3})
    for group in optimizer.param_groups:
        assert group["lr"] == pytest.approx(0.5 * other.rates.factors[group["params"][0]]) and group["eps"] == 1e-3
    ours, theirs = (dict(m.named_parameters())["encoder.layers.1.feed_forward.fc1.weight"] for m in (other, model))
    assert torch.equal(optimizer.optimizer.state[ours]["exp_avg"], saved.optimizer.state[theirs]["exp_avg"])


FROZEN = {**RATES, "freeze": "speech_encoder_prenet:forever"}


@pytest.mark.parametrize("options", [{}, FROZEN], ids=["without", "frozen"])
def test_the_state_of_other_parts_is_refused(options):
    saved = adam_of(tiny_model("s2t", **options)).state_dict()
    with pytest.raises(ValueError, match="the optimizer's state in the checkpoint is of the parts .*--reset-optimizer"):
        adam_of(tiny_model("s2t", **RATES)).load_state_dict(saved)


def test_the_state_of_a_part_that_was_divided_otherwise_is_refused():
    """Query and value weights have one shape: moments that changed places would be noticed by nobody."""
    there, here = (f"encoder.layers.0.self_attn.{name}_proj:0.1" for name in ("q", "v"))
    model, other = tiny_model("s2t", lr_factors=there), tiny_model("s2t", lr_factors=here)
    saved, optimizer = adam_of(model), adam_of(other)
    learn(model, saved)
    parts = [[group["part"] for group in each.param_groups] for each in (saved, optimizer)]
    assert parts[0] == parts[1]
    with pytest.raises(ValueError, match=r"the first difference: encoder.layers.0 \(.*k_proj.*--reset-optimizer"):
        optimizer.load_state_dict(copy.deepcopy(saved.state_dict()))

"""The fused step against fairseq's own: the same numbers, the same state, in every precision and wrapper."""

import copy
import io
from types import SimpleNamespace

import pytest
import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq.optim import MemoryEfficientFP16Optimizer
from fairseq.optim.adam import Adam, FairseqAdam, FairseqAdamConfig
from fairseq.optim.composite import FairseqCompositeOptimizer
from fairseq.optim.fp16_optimizer import FP16Optimizer
from helpers import tiny_model
from omegaconf import OmegaConf

from speecht5_fairseq.optim import SpeechT5Adam, SpeechT5FusedAdam, fused_adam
from speecht5_fairseq.optim.fused_adam import FusedAdam, SpeechT5FusedAdamConfig
from speecht5_fairseq.training.optimizers import check_optimizer

LR = 0.01
OPTIONS = {"adam_betas": "(0.9, 0.98)", "adam_eps": 1e-6, "weight_decay": 0.1, "lr": [LR]}
CONFIGS = {
    FairseqAdam: FairseqAdamConfig(**OPTIONS, tpu=False),
    SpeechT5Adam: FairseqAdamConfig(**OPTIONS, tpu=False),
    SpeechT5FusedAdam: SpeechT5FusedAdamConfig(**OPTIONS),
}
RATES = {"layer_lr_decay": 0.5, "lr_factors": "ctc_head:10"}


def optimizer_of(kind, model):
    return kind(OmegaConf.structured(CONFIGS[kind]), [p for p in model.parameters() if p.requires_grad])


def learn(model, optimizer, updates, first=0):
    """Updates of gradients of many sizes; each time some parameters have none, as with layerdrop."""
    for update in range(first, first + updates):
        optimizer.zero_grad()
        generator = torch.Generator().manual_seed(update)
        wanted = [p for p in model.parameters() if p.requires_grad]
        noise = [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype) for p in wanted]
        terms = [(p * x).sum() * 10.0 ** -(n % 5) for n, (p, x) in enumerate(zip(wanted, noise, strict=True))]
        optimizer.backward(sum(term for n, term in enumerate(terms) if (n + update) % 4))
        if wanted[0].dtype != torch.float64:  # in which fairseq's clipping does not calculate
            optimizer.clip_grad_norm(5.0)
        optimizer.step()


def largest_difference(first, second):
    return max((a.double() - b.double()).abs().max().item() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("dtype, allowed", [(torch.float64, 1e-13), (torch.float32, 1e-5), (torch.bfloat16, 0.0)])
def test_the_steps_are_those_of_fairseqs_adam(dtype, allowed):
    """bfloat16 weights step in float32 and are rounded, as with --memory-efficient-bf16."""
    weights = [torch.nn.Parameter(torch.randn(13, 7).to(dtype)) for _ in range(6)]
    copies = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    settings = {"lr": LR, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.1}
    optimizers = [(weights, Adam(weights, **settings)), (copies, FusedAdam(copies, **settings))]
    start = [weight.detach().clone() for weight in weights]
    for update in range(40):
        grads = [torch.randn(13, 7).to(dtype) * 10.0**-number for number in range(6)]
        for parameters, optimizer in optimizers:
            for number, (parameter, grad) in enumerate(zip(parameters, grads, strict=True)):
                parameter.grad = grad.clone() if (update + number) % 4 else None
            optimizer.step()
    assert largest_difference(weights, copies) <= allowed
    assert largest_difference(weights, start) > 0.1
    assert [optimizers[0][1].state[w]["step"] for w in weights] == [optimizers[1][1].state[w]["step"] for w in copies]


def test_a_step_with_weight_decay_and_a_large_epsilon_by_hand():
    """m / (sqrt(v) + eps) with v before its bias is corrected: fairseq's place of epsilon, not torch's."""
    weight = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    weight.grad = torch.tensor([0.5], dtype=torch.float64)
    FusedAdam([weight], lr=0.1, betas=(0.9, 0.99), eps=0.3, weight_decay=0.2).step()
    first, second = 0.1 * 0.5, 0.01 * 0.25
    expected = 2.0 * (1 - 0.1 * 0.2) - 0.1 * (0.01**0.5 / 0.1) * first / (second**0.5 + 0.3)
    assert weight.item() == pytest.approx(expected, rel=1e-12)


def test_all_parameters_go_in_one_call(monkeypatch):
    calls = count_calls(monkeypatch)
    model = tiny_model("s2t")
    optimizer = optimizer_of(SpeechT5FusedAdam, model)
    for parameter in optimizer.params:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert calls == [len(list(model.parameters()))]


def count_calls(monkeypatch):
    """Parameters of each call of torch's."""
    calls, adamw = [], fused_adam.adamw

    def counted(parameters, *args, **options):
        assert options["fused"] is True
        calls.append(len(parameters))
        adamw(parameters, *args, **options)

    monkeypatch.setattr(fused_adam, "adamw", counted)
    return calls


def test_float32_copies_of_half_precision_are_few_at_a_time(monkeypatch):
    weights = [torch.nn.Parameter(torch.ones(10, dtype=torch.bfloat16)) for _ in range(5)]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    calls = count_calls(monkeypatch)
    monkeypatch.setattr(fused_adam, "TOGETHER", 25)
    FusedAdam(weights, lr=0.5).step()
    assert calls == [2, 2, 1] and all((weight == 0.5).all() for weight in weights)


def in_half_precision(kind, model, **common):
    cfg = OmegaConf.structured(FairseqConfig())
    cfg.common.bf16, cfg.common.cpu = True, True
    for name, value in common.items():
        cfg.common[name] = value
    name = {FairseqAdam: "adam", SpeechT5FusedAdam: "speecht5_fused_adam"}[kind]
    cfg.optimizer = type(CONFIGS[kind])(**vars(CONFIGS[kind]) | {"_name": name})
    wrapper = MemoryEfficientFP16Optimizer if common.get("memory_efficient_bf16") else FP16Optimizer
    return wrapper.build_optimizer(cfg, [p for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize("memory_efficient", [False, True])
def test_half_precision_wrappers_take_it_for_fairseqs_and_its_state_too(memory_efficient):
    common = {"memory_efficient_bf16": True} if memory_efficient else {}
    models = [tiny_model("s2t").bfloat16() for _ in range(3)]
    ours, theirs, after = (
        in_half_precision(kind, model, **common)
        for kind, model in zip((SpeechT5FusedAdam, FairseqAdam, SpeechT5FusedAdam), models, strict=True)
    )
    assert ours.supports_flat_params and theirs.supports_flat_params
    for model, optimizer in zip(models, (ours, theirs), strict=False):
        learn(model, optimizer, 3)
    models[2].load_state_dict(models[1].state_dict())
    if not memory_efficient:
        with torch.no_grad():
            for copied, trained in zip(after.fp32_params, theirs.fp32_params, strict=True):
                copied.copy_(trained)
    after.load_state_dict(saved(theirs))
    for model, optimizer in zip(models, (ours, theirs, after), strict=True):
        learn(model, optimizer, 3, first=3)
    wide = [list(getattr(optimizer, "fp32_params", optimizer.params)) for optimizer in (ours, theirs, after)]
    for other in (0, 2):
        for ours, theirs in zip(wide[other], wide[1], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=2**-7 if memory_efficient else 1e-6, atol=1e-6)
    assert all(state["exp_avg"].dtype == torch.float32 for state in after.optimizer.state.values())


def saved(optimizer):
    """The state through a file, as torch loads it without running anything."""
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("pair", [(FairseqAdam, SpeechT5FusedAdam), (SpeechT5FusedAdam, FairseqAdam)])
def test_a_run_changes_between_fairseqs_adam_and_this_one(pair):
    straight, stopped = (tiny_model("s2t").double() for _ in range(2))
    learn(straight, optimizer_of(pair[0], straight), 6)
    first = optimizer_of(pair[0], stopped)
    learn(stopped, first, 3)
    second = optimizer_of(pair[1], stopped)
    second.load_state_dict(saved(first))
    learn(stopped, second, 3, first=3)
    assert largest_difference(straight.parameters(), stopped.parameters()) < 1e-13
    states = [optimizer.state_dict() for optimizer in (first, second)]
    assert states[0]["param_groups"][0].keys() == states[1]["param_groups"][0].keys()
    assert all(type(state["step"]) is int for state in states[1]["state"].values())


def test_the_trainer_takes_its_state_for_that_of_fairseqs_adam():
    """It compares the names of the classes."""
    assert type(optimizer_of(SpeechT5FusedAdam, tiny_model("s2t"))).__name__ == FairseqAdam.__name__


@pytest.mark.parametrize("options", [{}, RATES], ids=["one rate", "rates"])
def test_a_resumed_run_goes_on_bit_for_bit(options):
    straight, stopped = (tiny_model("s2t", **options) for _ in range(2))
    learn(straight, optimizer_of(SpeechT5FusedAdam, straight), 6)
    first = optimizer_of(SpeechT5FusedAdam, stopped)
    learn(stopped, first, 3)
    resumed = tiny_model("s2t", seed=5, **options)
    resumed.load_state_dict(stopped.state_dict())
    second = optimizer_of(SpeechT5FusedAdam, resumed)
    second.load_state_dict(saved(first))
    learn(resumed, second, 3, first=3)
    assert largest_difference(straight.parameters(), resumed.parameters()) == 0


def test_rates_of_the_parts_are_those_of_speecht5_adam_and_its_state_fits():
    models = [tiny_model("s2t", **RATES).double() for _ in range(2)]
    optimizers = [
        optimizer_of(kind, model) for kind, model in zip((SpeechT5Adam, SpeechT5FusedAdam), models, strict=True)
    ]
    check_optimizer(models[1], optimizers[1])
    for model, optimizer in zip(models, optimizers, strict=True):
        optimizer.set_lr(0.02)
        learn(model, optimizer, 3)
        assert optimizer.get_lr() == pytest.approx(0.02)
    assert largest_difference(*(model.parameters() for model in models)) < 1e-13
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()), {"lr": 0.5})
    assert len({group["lr"] for group in optimizers[1].param_groups}) > 4
    with pytest.raises(ValueError, match="the optimizer's state in the checkpoint is of the parts .*--reset-optimizer"):
        optimizer_of(SpeechT5FusedAdam, tiny_model("s2t")).load_state_dict(optimizers[0].state_dict())


def test_a_group_of_a_composite_optimizer():
    """fairseq's optimizer of several: one for each `param_group`."""
    weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    weights[0].param_group = "fused"
    optimizers = {
        "fused": {"_name": "speecht5_fused_adam", **OPTIONS, "weight_decay": 0.0},
        "default": {"_name": "adam", **OPTIONS, "weight_decay": 0.0, "tpu": False},
    }
    scheduler = {"_name": "fixed", "force_anneal": None, "lr_shrink": 0.1, "warmup_updates": 0, "lr": [LR]}
    groups = {
        name: {"lr": [LR], "lr_float": None, "optimizer": cfg, "lr_scheduler": scheduler}
        for name, cfg in optimizers.items()
    }
    cfg = OmegaConf.create({"_name": "composite", "dynamic_groups": False, "groups": groups})
    optimizer = FairseqCompositeOptimizer(cfg, weights)
    assert type(optimizer.optimizers["fused"]) is SpeechT5FusedAdam and optimizer.supports_memory_efficient_fp16
    for weight in weights:
        weight.grad = torch.ones(3)
    optimizer.step()
    torch.testing.assert_close(weights[0], weights[1])
    assert weights[0].max() < 1
    state = copy.deepcopy(optimizer.state_dict())
    FairseqCompositeOptimizer(cfg, weights).load_state_dict(state)


@pytest.mark.parametrize("betas", ["0.9", "(0.9, 1.0)", "(0.9, 0.98, 0.99)", "print('ran')", "(0.9"])
def test_betas_that_are_none_are_refused(betas, capsys):
    cfg = SimpleNamespace(**OPTIONS | {"adam_betas": betas})
    with pytest.raises(ValueError, match=r"--adam-betas .*: give two numbers from 0 to below 1: '\(0.9, 0.98\)'"):
        SpeechT5FusedAdam(cfg, [torch.nn.Parameter(torch.ones(1))])
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["adam_eps", "weight_decay"])
def test_numbers_below_nothing_are_refused(name):
    cfg = SimpleNamespace(**OPTIONS | {name: -0.1})
    with pytest.raises(ValueError, match=f"^--{name.replace('_', '-')} -0.1: give a number that is not below 0$"):
        SpeechT5FusedAdam(cfg, [torch.nn.Parameter(torch.ones(1))])

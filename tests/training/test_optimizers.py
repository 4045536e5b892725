"""Frozen parameters and learning rates of their own, in the optimizers that fairseq's trainer builds."""

import pytest
import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed import ModuleProxyWrapper
from fairseq.distributed.legacy_distributed_data_parallel import LegacyDistributedDataParallel
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from fairseq.optim.fp16_optimizer import FP16Optimizer
from helpers import tiny_model
from omegaconf import OmegaConf

from speecht5_fairseq.optim import SpeechT5Adam
from speecht5_fairseq.training.optimizers import check_optimizer, spare_frozen


class Flat(FP16Optimizer):
    """Half-precision optimizer whose gradients are one flat tensor, as fairseq's default."""

    def __init__(self, flat):
        self.flat, self.fp16_params, self.fp32_params = flat, [], []

    has_flat_params = property(lambda self: self.flat)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("flat, frozen, refused", [(True, 5, True), (False, 5, False), (True, 0, False)])
def test_freezing_with_flat_half_precision_gradients_is_refused(flat, frozen, refused, wrapped):
    model = tiny_model("s2t", freeze_encoder_updates=frozen)
    if wrapped:  # as fairseq wraps a model for several processes
        model = ModuleProxyWrapper(LegacyDistributedDataParallel(model, process_group=None))
    if refused:
        with pytest.raises(ValueError, match="--freeze-encoder-updates.*add --fp16-no-flatten-grads"):
            spare_frozen(model, Flat(flat))
    else:
        spare_frozen(model, Flat(flat))


def test_weight_decay_spares_what_is_frozen_in_half_precision():
    """Two updates with fairseq's own optimizer: the frozen encoder stays, and learns when it thaws."""
    model = tiny_model("s2t", freeze_encoder_updates=2).bfloat16()
    cfg = OmegaConf.structured(FairseqConfig())
    cfg.common.bf16, cfg.common.fp16_no_flatten_grads, cfg.common.cpu = True, True, True
    cfg.optimizer = FairseqAdamConfig(_name="adam", adam_betas="(0.9, 0.98)", weight_decay=0.5, lr=[0.1])
    optimizer = FP16Optimizer.build_optimizer(cfg, list(model.parameters()))
    weight = model.encoder.layers[0].feed_forward.fc1.weight
    start = weight.detach().clone()
    copies = {id(p): copy for p, copy in zip(optimizer.fp16_params, optimizer.fp32_params, strict=True)}
    for update in range(3):
        model.set_num_updates(update)
        spare_frozen(model, optimizer)
        assert weight.requires_grad == (update == 2) and torch.equal(weight, start)
        assert torch.equal(copies[id(weight)], start.float())
        optimizer.zero_grad()
        loss = sum(p.float().square().sum() for p in model.parameters() if p.requires_grad)
        optimizer.backward(loss)
        optimizer.clip_grad_norm(1.0)
        optimizer.step()
    assert not torch.equal(weight, start)


@pytest.mark.parametrize("options", [{"layer_lr_decay": 0.9}, {"lr_factors": "ctc_head:2"}])
def test_rates_of_their_own_are_refused_where_they_would_have_no_effect(options):
    model = tiny_model("s2t", **options)
    cfg = FairseqAdamConfig(adam_betas="(0.9, 0.98)", lr=[0.1])
    with pytest.raises(ValueError, match="--layer-lr-decay and --lr-factors have no .*give --optimizer speecht5_adam"):
        check_optimizer(model, FairseqAdam(cfg, list(model.parameters())))
    with pytest.raises(ValueError, match="--layer-lr-decay and --lr-factors need .*add --fp16-no-flatten-grads"):
        check_optimizer(model, Flat(True))
    check_optimizer(model, SpeechT5Adam(cfg, list(model.parameters())))
    check_optimizer(tiny_model("s2t"), FairseqAdam(cfg, list(model.parameters())))

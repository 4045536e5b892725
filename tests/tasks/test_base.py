"""What the tasks share: training steps on joint samples, limits of a split, and freezing with flat gradients."""

import os
from pathlib import Path

import pytest
import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed import ModuleProxyWrapper
from fairseq.distributed.legacy_distributed_data_parallel import LegacyDistributedDataParallel
from fairseq.optim.adam import FairseqAdamConfig
from fairseq.optim.fp16_optimizer import FP16Optimizer
from helpers import mel_target, speech_source, text_tokens, tiny_dictionary, tiny_manifest, tiny_model
from omegaconf import OmegaConf

from speecht5_fairseq.criterions.pretrain import PretrainCriterion, PretrainCriterionConfig
from speecht5_fairseq.data.collate import shift_right
from speecht5_fairseq.tasks.base import (
    _spare_frozen,
    checkpoint_folders,
    first_process_first,
    merge_logs,
    split_parts,
)
from speecht5_fairseq.tasks.pretrain import PretrainTask, PretrainTaskConfig
from speecht5_fairseq.tasks.s2t import S2TTask, S2TTaskConfig


def joint_sample():
    dictionary = tiny_dictionary()
    target = text_tokens(7, 5)
    previous = shift_right(target, start=dictionary.eos(), pad=dictionary.pad())
    inputs = {"source_tokens": text_tokens(7, 5, seed=1), "seeds": torch.tensor([1, 2]), "prev_output_tokens": previous}
    speech = {
        "nsentences": 1,
        "ntokens": 49,
        "net_input": speech_source(16_000) | mel_target(30),
        "target": {"units": torch.arange(49)[None] % 20},
    }
    text = {"nsentences": 2, "ntokens": 12, "net_input": inputs, "target": target}
    return {"speech": speech, "text": text, "nsentences": 3}


class PlainOptimizer:
    def backward(self, loss):
        loss.backward()


def pretrain_task():
    task = PretrainTask(PretrainTaskConfig(data="."), "pretrain")
    task.text_dictionary = tiny_dictionary()
    return task


def test_a_joint_sample_is_split_and_others_are_not():
    sample = joint_sample()
    speech, text = split_parts(sample)
    assert speech == {"speech": sample["speech"], "nsentences": 1}
    assert text == {"text": sample["text"], "nsentences": 2}
    plain = {"net_input": {}, "nsentences": 4}
    assert split_parts(plain) == [plain]


def test_logs_of_the_parts_are_added():
    assert merge_logs([{"loss": 1.0, "l1": 2.0}, {"loss": 3.0, "infilling": 4.0}]) == {
        "loss": 4.0, "l1": 2.0, "infilling": 4.0,
    }  # fmt: skip


def test_a_step_in_parts_is_the_step_of_the_whole():
    task, sample = pretrain_task(), joint_sample()
    criterion = PretrainCriterion.build_criterion(PretrainCriterionConfig(), task)
    models = [tiny_model("pretrain").train() for _ in range(2)]
    loss, size, log = task.train_step(sample, models[0], criterion, PlainOptimizer(), update_num=3)
    models[1].set_num_updates(3)
    expected, expected_size, expected_log = criterion(models[1], sample)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    assert size == expected_size and not loss.requires_grad
    assert set(log) == set(expected_log) and log["sample_size"] == size
    for (name, ours), theirs in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_an_ignored_step_has_no_gradient():
    task = pretrain_task()
    criterion = PretrainCriterion.build_criterion(PretrainCriterionConfig(), task)
    model = tiny_model("pretrain").train()
    loss, _, _ = task.train_step(joint_sample(), model, criterion, PlainOptimizer(), update_num=0, ignore_grad=True)
    assert loss == 0 and all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


def test_only_training_leaves_rows_out_for_their_length():
    cfg = S2TTaskConfig(data=".", seed=3, train_subset="train", min_speech_samples=5, max_speech_samples=9)
    task = S2TTask(cfg, "s2t")
    assert task.limits("train") == {
        "seed": 3, "training": True, "min_samples": 5, "max_samples": 9, "allow_left_out": False, "resample": True,
    }  # fmt: skip
    assert task.limits("test") == {
        "seed": 3, "training": False, "min_samples": None, "max_samples": None, "allow_left_out": False,
        "resample": True,
    }  # fmt: skip


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
            _spare_frozen(model, Flat(flat))
    else:
        _spare_frozen(model, Flat(flat))


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
        _spare_frozen(model, optimizer)
        assert weight.requires_grad == (update == 2) and torch.equal(weight, start)
        assert torch.equal(copies[id(weight)], start.float())
        optimizer.zero_grad()
        loss = sum(p.float().square().sum() for p in model.parameters() if p.requires_grad)
        optimizer.backward(loss)
        optimizer.clip_grad_norm(1.0)
        optimizer.step()
    assert not torch.equal(weight, start)


def test_one_process_is_the_first():
    with first_process_first() as first:
        assert first is True


def test_a_base_is_looked_for_beside_each_checkpoint_to_decode_with():
    assert checkpoint_folders(None) == []
    assert checkpoint_folders(os.pathsep.join(["a/b/best.pt", "last.pt"])) == [Path("a/b"), Path(".")]


def test_labels_stand_beside_the_data_unless_told(tmp_path):
    tiny_manifest(tmp_path)
    here = S2TTask(S2TTaskConfig(data=str(tmp_path)), "s2t")
    assert here.label_dir == tmp_path
    other = S2TTask(S2TTaskConfig(data=str(tmp_path), label_dir=str(tmp_path / "labels")), "s2t")
    assert other.label_dir == tmp_path / "labels"


def test_audio_that_was_moved(tmp_path):
    tiny_manifest(tmp_path)
    (tmp_path / "audio_train").rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="the audio root is no folder .*--audio-root"):
        S2TTask.setup_task(S2TTaskConfig(data=str(tmp_path), seed=1, train_subset="train")).load_dataset("train")
    cfg = S2TTaskConfig(data=str(tmp_path), audio_root=str(tmp_path / "moved"), seed=1, train_subset="train")
    task = S2TTask.setup_task(cfg)
    task.load_dataset("train")
    assert len(task.datasets["train"][0].waveform) == task.datasets["train"].manifest.samples[0]

"""What the tasks share: training steps on joint samples, limits of a split."""

import pytest
import torch
from helpers import mel_target, speech_source, text_tokens, tiny_dictionary, tiny_manifest, tiny_model

from speecht5_fairseq.criterions.pretrain import PretrainCriterion, PretrainCriterionConfig
from speecht5_fairseq.data.collate import shift_right
from speecht5_fairseq.tasks.base import first_process_first, merge_logs, split_parts
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


def test_one_process_is_the_first():
    with first_process_first() as first:
        assert first is True


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

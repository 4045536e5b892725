"""What the tasks share: training steps on joint samples, limits of a split."""

import re
import shutil

import pytest
import torch
from fairseq.optim.fp16_optimizer import FP16Optimizer
from helpers import (
    NEW_RUN,
    mel_target,
    model_options,
    speech_source,
    text_tokens,
    tiny_base,
    tiny_dictionary,
    tiny_manifest,
    tiny_model,
    write_lines,
)

from speecht5_fairseq.criterions.pretrain import PretrainCriterion, PretrainCriterionConfig
from speecht5_fairseq.data.collate import shift_right
from speecht5_fairseq.models.checkpoint import Start
from speecht5_fairseq.models.errors import CheckpointError
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
    task = PretrainTask(PretrainTaskConfig(data=".", path=None), "pretrain")
    task.text_dictionary = tiny_dictionary()
    return task


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
    assert set(log) == {*expected_log, "bad_batches"} and log["sample_size"] == size
    for (name, ours), theirs in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_an_ignored_step_has_no_gradient():
    task = pretrain_task()
    criterion = PretrainCriterion.build_criterion(PretrainCriterionConfig(), task)
    model = tiny_model("pretrain").train()
    loss, _, _ = task.train_step(joint_sample(), model, criterion, PlainOptimizer(), update_num=0, ignore_grad=True)
    assert loss == 0 and all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


class Copies(FP16Optimizer):
    """Half-precision optimizer of one parameter; its float32 copy has a gradient of zeros, as fairseq leaves it."""

    has_flat_params = False

    def __init__(self, parameter):
        self.fp16_params, self.fp32_params = [parameter], [torch.nn.Parameter(parameter.detach().clone())]
        self.fp32_params[0].grad = torch.zeros_like(parameter)

    def backward(self, loss):
        loss.backward()


def test_the_very_first_step_spares_what_is_frozen():
    """Nothing has told the model its updates before."""
    task, model = pretrain_task(), tiny_model("pretrain", freeze="encoder:2").train()
    criterion = PretrainCriterion.build_criterion(PretrainCriterionConfig(), task)
    optimizer = Copies(model.encoder.layers[0].feed_forward.fc1.weight)
    task.train_step(joint_sample(), model, criterion, optimizer, update_num=0)
    assert optimizer.fp32_params[0].grad is None and optimizer.fp16_params[0].grad is None


def start_task(tmp_path, **options):
    tiny_manifest(tmp_path)
    options = {**NEW_RUN, "save_dir": str(tmp_path), "lm_path": None, **options}
    return S2TTask.setup_task(S2TTaskConfig(data=str(tmp_path), **options))


@pytest.mark.parametrize("options", [{"finetune_nets": "encoder"}, {"new_vocabulary": True}])
def test_a_selection_needs_a_checkpoint_to_select_from(tmp_path, options):
    task = start_task(tmp_path, **options)
    with pytest.raises(
        ValueError, match="--finetune-nets and --new-vocabulary say how .*--finetune-from-model: give it"
    ):
        task.build_model(model_options())


def test_new_nets_need_something_to_start_from(tmp_path):
    with pytest.raises(ValueError, match="--new-nets ctc_head: without --finetune-from-model or --base-checkpoint all"):
        start_task(tmp_path, new_nets="ctc_head").build_model(model_options())
    given = tiny_base(tmp_path / "pretrained.pt")
    task = start_task(tmp_path, new_nets="ctc_head", finetune_nets="encoder", finetune_from_model=str(given))
    with pytest.raises(ValueError, match="--new-nets ctc_head: --finetune-nets encoder takes these parts and nothing"):
        task.build_model(model_options())


def test_a_net_that_would_be_random_ends_the_start(tmp_path):
    given = tiny_base(tmp_path / "pretrained.pt", "pretrain_speech")
    nets = "text_decoder_postnet,text_decoder_prenet"
    message = f"{given} lacks .*which this job needs .*give --new-nets {nets};"
    for options, model in (
        ({"finetune_from_model": str(given)}, model_options()),
        ({}, model_options(base_checkpoint=str(given), lora_rank=2)),
    ):
        with pytest.raises(CheckpointError, match=message):
            start_task(tmp_path, **options).build_model(model)
        start_task(tmp_path, new_nets=nets, **options).build_model(model)
        start_task(tmp_path, **options).build_model(model, from_checkpoint=True)  # decoding has its own check


def test_what_is_asked_of_the_checkpoint_is_asked_at_the_start_alone(tmp_path):
    """The options stay on the command line of a run that is stopped and goes on."""
    given = tmp_path / "pretrained.pt"
    task = start_task(tmp_path, finetune_nets="encoder", finetune_from_model=str(given))
    torch.save({"model": tiny_model("s2t").state_dict()}, given)
    assert task.build_model(model_options()).start == Start(nets="encoder")
    shutil.copy(given, tmp_path / "checkpoint_last.pt")
    assert task.build_model(model_options()).start is None
    assert task.build_model(model_options(), from_checkpoint=True).start is None


def test_decoding_says_that_it_asks_nothing_of_a_checkpoint(tmp_path, caplog):
    asked = {"finetune_nets": "encoder", "new_vocabulary": True, "new_nets": "ctc_head"}
    start_task(tmp_path, **asked).build_model(model_options(), True)
    assert (
        "no effect: --finetune-nets encoder, --new-vocabulary True, --new-nets ctc_head; they are for fairseq-train "
        "--finetune-from-model"
    ) in caplog.messages


def test_training_logs_what_is_frozen_and_at_which_rate_the_rest_learns(tmp_path, caplog):
    options = model_options(freeze="encoder.layers.0:5", layer_lr_decay=0.5)
    with caplog.at_level("INFO"):
        model = start_task(tmp_path).build_model(options)
    lines = [*model.freezing.lines, *model.rates.lines]
    assert len(lines) > 3 and [message for message in caplog.messages if message in lines] == lines
    caplog.clear()
    start_task(tmp_path).build_model(options, from_checkpoint=True)
    assert not set(caplog.messages) & set(lines)


def test_training_says_what_waits_for_parts_that_never_learn(tmp_path, caplog):
    base = str(tiny_base(tmp_path / "base.pt"))
    options = model_options(base_checkpoint=base, lora_rank=2, adapter_parts="decoder", freeze_encoder_updates=5)
    told = "no effect: --freeze-encoder-updates 5; nothing there ever learns"
    start_task(tmp_path).build_model(options, from_checkpoint=True)
    assert told not in caplog.messages
    start_task(tmp_path).build_model(options)
    assert told in caplog.messages


def test_only_training_leaves_rows_out_for_their_length():
    cfg = S2TTaskConfig(data=".", path=None, seed=3, train_subset="train", min_speech_samples=5, max_speech_samples=9)
    task = S2TTask(cfg, "s2t")
    assert task.dataset_options("train") == {
        "seed": 3, "training": True, "min_samples": 5, "max_samples": 9, "allow_left_out": False, "resample": True,
        "step_frames": 0,
    }  # fmt: skip
    assert task.dataset_options("test") == {
        "seed": 3, "training": False, "min_samples": None, "max_samples": None, "allow_left_out": False,
        "resample": True, "step_frames": 0,
    }  # fmt: skip


def test_labels_stand_beside_the_data_unless_told(tmp_path):
    tiny_manifest(tmp_path)
    here = S2TTask(S2TTaskConfig(data=str(tmp_path), path=None), "s2t")
    assert here.label_dir == tmp_path
    other = S2TTask(S2TTaskConfig(data=str(tmp_path), path=None, label_dir=str(tmp_path / "labels")), "s2t")
    assert other.label_dir == tmp_path / "labels"


def test_the_dictionary_of_the_labels_counts_and_that_of_the_manifests_where_they_have_none(tmp_path):
    data, labels = tmp_path / "data", tmp_path / "labels"
    data.mkdir(), labels.mkdir()
    task = S2TTask(S2TTaskConfig(data=str(data), path=None, label_dir=str(labels)), "s2t")
    assert task.dictionary_file == labels / "dict.txt"  # which the error about a missing one names
    write_lines(data / "dict.txt", ["a 1"])
    assert task.dictionary_file == data / "dict.txt"
    write_lines(labels / "dict.txt", ["a 1"])
    assert task.dictionary_file == labels / "dict.txt"


def test_audio_that_was_moved(tmp_path):
    tiny_manifest(tmp_path)
    (tmp_path / "audio_train").rename(tmp_path / "moved")
    options = {"data": str(tmp_path), "path": None, "seed": 1, "train_subset": "train", "lm_path": None}
    with pytest.raises(ValueError, match="the audio root is no folder .*--audio-root"):
        S2TTask.setup_task(S2TTaskConfig(**options)).load_dataset("train")
    task = S2TTask.setup_task(S2TTaskConfig(**options, audio_root=str(tmp_path / "moved")))
    task.load_dataset("train")
    assert len(task.datasets["train"][0].waveform) == task.datasets["train"].manifest.samples[0]


@pytest.mark.parametrize(
    "name, value, wanted",
    [
        ("infilling_ratio", 1.5, "a share from 0 to 1"),
        ("infilling_span", 0.0, "a number of tokens from 0.01 to 10,000"),
        ("infilling_span", 1e30, "a number of tokens from 0.01 to 10,000"),
        ("infilling_random", -0.1, "a share from 0 to 1"),
        ("tokens_per_text_sample", 2, "3 or more"),
        ("text_batch_ratio", 0.0, "a number above 0"),
        ("crop_samples", 0, "a whole number above 0"),
        ("unit_rate", 0, "a whole number above 0"),
        ("min_speech_samples", -1, "a whole number that is not below 0"),
        ("max_speech_samples", 0, "a whole number above 0"),
        ("codebook_perplexity_bound", -1.0, "a number that is not below 0"),
    ],
)
def test_values_out_of_range_are_refused_before_any_file_is_read(name, value, wanted):
    said = re.escape(f"--{name.replace('_', '-')} {value}: give {wanted}")
    with pytest.raises(ValueError, match=f"^{said}"):
        PretrainTask.setup_task(PretrainTaskConfig(data="nowhere", **{name: value}))


def test_an_option_of_a_checkpoint_that_is_out_of_range_is_told_as_its_own(tmp_path):
    tiny_manifest(tmp_path, 1)
    options = model_options(mask_length=0)
    with pytest.raises(ValueError, match="^--mask-length 0: give a whole number above 0$"):
        start_task(tmp_path).build_model(options)
    said = "^--mask-length 0: give a whole number above 0; the checkpoint's run was given that: --model-overrides"
    with pytest.raises(CheckpointError, match=said):
        start_task(tmp_path).build_model(options, from_checkpoint=True)

"""The task of joint pre-training: with text and without."""

import numpy as np
import pytest
from helpers import SYMBOLS, UNITS, tiny_config, tiny_manifest, tiny_text_binary

from speecht5_fairseq.criterions.pretrain import PretrainCriterion, PretrainCriterionConfig
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.tasks.pretrain import PretrainTask, PretrainTaskConfig

SENTENCES = [[5, 6, 7, 8], [9, 10, 11], [12, 13, 14, 15, 16]]


def setup(folder, **options):
    cfg = PretrainTaskConfig(data=str(folder), path=None, seed=1, train_subset="train", **options)
    return PretrainTask.setup_task(cfg)


def losses(task, split="train"):
    """Loss and log of one batch of everything in the split."""
    data = task.datasets[split]
    model = SpeechT5Model.build_model(tiny_config(), task)
    criterion = PretrainCriterion.build_criterion(PretrainCriterionConfig(), task)
    loss, _, log = criterion(model.train(), data.collater([data[index] for index in range(len(data))]))
    assert loss.isfinite()
    return model, log


def test_speech_and_text_from_files_to_a_loss(tmp_path):
    tiny_manifest(tmp_path, 3, job="pretrain")
    task = setup(tmp_path, text_data=str(tiny_text_binary(tmp_path / "text", SENTENCES)))
    task.load_dataset("train")
    model, log = losses(task)
    assert task.units == UNITS == len(model.unit_head.embeddings)
    assert len(task.text_dictionary) == 4 + len(SYMBOLS) + 2
    assert log["text_tokens"] == sum(len(sentence) + 2 for sentence in SENTENCES)
    assert log["nsentences"] == 6


def test_speech_and_text_may_have_splits_of_different_names(tmp_path):
    tiny_manifest(tmp_path, 3, job="pretrain", split="heard")
    text = tiny_text_binary(tmp_path / "text", SENTENCES, split="read")
    cfg = PretrainTaskConfig(data=str(tmp_path), path=None, seed=1, train_subset="heard|read", text_data=str(text))
    task = PretrainTask.setup_task(cfg)
    task.load_dataset("heard|read")
    assert task.datasets["heard|read"].speech.training and task.datasets["heard|read"].text.training
    _, log = losses(task, "heard|read")
    assert log["nsentences"] == 6


def test_without_text_only_the_speech_nets_are_built(tmp_path):
    tiny_manifest(tmp_path, 3, job="pretrain")
    task = setup(tmp_path)
    task.load_dataset("train")
    model, log = losses(task)
    assert task.text_dictionary is None and model.vocabulary is None
    assert model.text_encoder_prenet is None and model.text_decoder_prenet is None
    assert log["text_tokens"] == 0 and log["nsentences"] == 3


def test_crops_of_training_move_and_those_of_validation_stay(tmp_path):
    for split in ("train", "valid"):
        tiny_manifest(tmp_path, 2, job="pretrain", split=split, samples=[30_000, 30_000])
    task = setup(tmp_path, crop_samples=4000)
    crops = {}
    for split in ("train", "valid"):
        task.load_dataset(split)
        data = task.datasets[split]
        for epoch in (1, 2):
            data.set_epoch(epoch)
            crops[split, epoch] = data[0].waveform.numpy()
    assert not np.array_equal(crops["train", 1], crops["train", 2])
    assert np.array_equal(crops["valid", 1], crops["valid", 2])


def test_a_missing_text_split_is_named(tmp_path):
    tiny_manifest(tmp_path, 2, job="pretrain", split="valid")
    task = setup(tmp_path, text_data=str(tiny_text_binary(tmp_path / "text", SENTENCES)))
    with pytest.raises(DataError, match="valid.bin and .idx: no text binary; make it with"):
        task.load_dataset("valid")


def test_a_text_of_other_symbols_is_refused_unless_verification_is_off(tmp_path):
    tiny_manifest(tmp_path, 2, job="pretrain")
    beyond = 4 + len(SYMBOLS)  # the index of <mask>
    text = str(tiny_text_binary(tmp_path / "text", [[5, 6], [7, beyond]]))
    said = r"text/train: sentence 1: token index \d+ is beyond the dictionary; .*dict.txt"
    with pytest.raises(DataError, match=said):
        setup(tmp_path, text_data=text).load_dataset("train")
    setup(tmp_path, text_data=text, verify_data="off").load_dataset("train")


def test_text_options_without_text_are_named(tmp_path, caplog):
    tiny_manifest(tmp_path, 1, job="pretrain")
    setup(tmp_path, infilling_span=2.0)
    assert "no effect: --infilling-span 2.0; they need --text-data" in caplog.text


def test_options_of_other_jobs_heads_are_named(tmp_path, caplog):
    tiny_manifest(tmp_path, 1, job="pretrain")
    SpeechT5Model.build_model(tiny_config(no_ctc_head=True, codebook_prob=0.3), setup(tmp_path))
    assert "no effect: --no-ctc-head True; this job has no CTC head" in caplog.text
    assert "codebook-prob" not in caplog.text


@pytest.mark.parametrize("text", [False, True])
def test_no_masked_frame_is_refused(tmp_path, text):
    tiny_manifest(tmp_path, 1, job="pretrain")
    options = {"text_data": str(tiny_text_binary(tmp_path / "text", SENTENCES))} if text else {}
    with pytest.raises(ValueError, match=r"--mask-prob 0.0 leaves pre-training no masked frame.*above 0 \(0.8"):
        SpeechT5Model.build_model(tiny_config(mask_prob=0.0), setup(tmp_path, **options))

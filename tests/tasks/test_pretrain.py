"""The task of joint pre-training: with text and without."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from checkpoints import tiny_checkpoint
from helpers import (
    NEW_RUN,
    SYMBOLS,
    UNITS,
    model_options,
    tiny_config,
    tiny_manifest,
    tiny_text_binary,
    write_lines,
)

from manifest_tools.unit_clusters import Fitting
from manifest_tools.units import prepare_units
from speecht5_fairseq.criterions.pretrain import PretrainCriterion, PretrainCriterionConfig
from speecht5_fairseq.data import text_checks
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.errors import CheckpointError
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


def test_the_level_of_verification_is_that_of_the_text_too(tmp_path, monkeypatch):
    """Sentence 1 of three is unknown; two that are evenly spaced are the first and the last."""
    monkeypatch.setattr(text_checks, "QUICK_SENTENCES", 2)
    tiny_manifest(tmp_path, 2, job="pretrain")
    text = str(tiny_text_binary(tmp_path / "text", [[5, 6], [3, 3], [7, 8]]))
    setup(tmp_path, text_data=text, verify_data="quick").load_dataset("train")
    with pytest.raises(DataError, match="text/train: sentence 1: all 2 symbols are unknown"):
        setup(tmp_path, text_data=text, verify_data="full").load_dataset("train")


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


@pytest.fixture
def labelled(tmp_path):
    """Splits whose units are those of `manifest_tools.units`."""
    for split in ("train", "valid"):
        tiny_manifest(tmp_path, 4, job="pretrain", split=split)
    prepare_units(tmp_path, fitting=Fitting(clusters=UNITS))
    return tmp_path


def test_what_units_json_tells_goes_into_the_checkpoint(labelled):
    task = setup(labelled)
    for split in ("train", "valid"):
        task.load_dataset(split)
    record = json.loads((labelled / "units.json").read_text())
    assert task.state_dict()["unit_source"] == {"model": record["model"], "features": "mfcc"}


def test_without_units_json_a_line_says_so(tmp_path, caplog):
    tiny_manifest(tmp_path, 1, job="pretrain")
    with caplog.at_level("INFO"):
        task = setup(tmp_path)
    assert f"no {tmp_path / 'units.json'}: nothing tells what made the units" in caplog.messages
    assert "unit_source" not in task.state_dict()


def test_units_that_are_not_those_of_units_json_end_the_start(labelled):
    with pytest.raises(DataError, match="--unit-rate is 100, and .*units.json tells of 50 units a second"):
        setup(labelled, unit_rate=100)
    lines = (labelled / "valid.km").read_text().splitlines()
    write_lines(labelled / "valid.km", lines[::-1])
    with pytest.raises(DataError, match="valid.km: not the labels that .*units.json tells of"):
        setup(labelled).load_dataset("valid")
    record = json.loads((labelled / "units.json").read_text())
    record["splits"]["valid"]["model"] = "0123456789abcdef"
    (labelled / "units.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="valid.km is of the k-means model 0123456789abcdef"):
        setup(labelled).load_dataset("valid")
    write_lines(labelled / "dict.km.txt", [f"{unit} 1" for unit in range(UNITS + 1)])
    with pytest.raises(DataError, match=f"dict.km.txt: {UNITS + 1} units, and .*units.json tells of {UNITS}"):
        setup(labelled)


OTHERS = {"model": "0123456789abcdef", "features": "fairseq-hubert, layer 6, checkpoint 89abcdef01234567"}
OTHER_UNITS = (
    r"units.json: the labels are units of k-means \w{16} .mfcc., and the checkpoint .*\.pt was trained on units of "
    r"k-means 0123456789abcdef .fairseq-hubert, layer 6, checkpoint \w{16}.: the same numbers mean other sounds"
)


def started_task(data, model=None, **options):
    """The task of a run once fairseq-train has built its model, with all checks of what it starts from."""
    given = {**NEW_RUN, "data": str(data), "seed": 1, "train_subset": "train", **options}
    task = PretrainTask.setup_task(PretrainTaskConfig(**given))
    task.build_model(model_options(**(model or {})))
    return task


def started(data, **options):
    started_task(data, **options)


def checkpoint_of(folder, source):
    names = [str(unit) for unit in range(UNITS)]
    return tiny_checkpoint(folder / "checkpoint_last.pt", "pretrain_speech", units=names, unit_source=source)


def test_a_run_goes_on_with_units_of_its_model_alone(labelled, caplog):
    run = labelled / "run"
    own = {"model": json.loads((labelled / "units.json").read_text())["model"], "features": "mfcc"}
    for source in (own, None):
        checkpoint_of(run, source)
        started(labelled, save_dir=str(run))
    checkpoint_of(run, OTHERS)
    with pytest.raises(CheckpointError, match=f"{OTHER_UNITS}; take the labels .* add --allow-other-units"):
        started(labelled, save_dir=str(run))
    assert "mean other sounds" not in caplog.text
    started(labelled, save_dir=str(run), allow_other_units=True)
    assert "it goes on by --allow-other-units" in caplog.text and "no effect" not in caplog.text
    (labelled / "units.json").unlink()
    with caplog.at_level("INFO"):
        task = started_task(labelled, save_dir=str(run))
    assert "without units.json nothing tells whether these are" in caplog.text
    assert task.state_dict()["unit_source"] == OTHERS  # still what the model has learnt


def test_fine_tuning_takes_other_units_with_a_new_head_alone(labelled):
    start = {"finetune_from_model": str(checkpoint_of(labelled / "other", OTHERS)), "save_dir": str(labelled / "new")}
    with pytest.raises(CheckpointError, match=OTHER_UNITS):
        started(labelled, **start)
    started(labelled, new_nets="unit_head", **start)
    started(labelled, finetune_nets="encoder,decoder,speech_encoder_prenet", **start)
    started(labelled, allow_other_units=True, **start)


def test_allowing_what_is_not_there_has_no_effect(labelled, caplog):
    started(labelled, allow_other_units=True)
    assert "no effect: --allow-other-units True; no checkpoint is taken that is known" in caplog.text


def test_a_base_of_other_units_is_refused(labelled):
    base = {"base_checkpoint": str(checkpoint_of(labelled / "base", OTHERS)), "lora_rank": 2}
    run = {"save_dir": str(labelled / "new")}
    with pytest.raises(CheckpointError, match=OTHER_UNITS):
        started(labelled, model=base, **run)
    started(labelled, model=base, allow_other_units=True, **run)


def test_reviving_codes_that_never_learn_has_no_effect(labelled, caplog):
    started(labelled, revive_codes=3)
    assert "--revive-codes" not in caplog.text
    started(labelled, revive_codes=3, model={"freeze": "quantizer:forever"})
    assert "no effect: --revive-codes 3; the codebook never learns" in caplog.text


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("codes", [True, False])
def test_what_a_pretraining_shows(tmp_path, text, codes):
    """Without text there is none in the codebook, and without codes no codebook; the utterances are those of speech."""
    tiny_manifest(tmp_path, 2, job="pretrain", split="valid")
    options = {"text_data": str(tiny_text_binary(tmp_path / "text", SENTENCES, split="valid"))} if text else {}
    task = setup(tmp_path, **options)
    task.load_dataset("valid")
    assert task.picture_dataset("valid") is task.datasets["valid"].speech
    model = SpeechT5Model.build_model(tiny_config(codebook_prob=0.1 if codes else 0.0), task)
    chosen = SimpleNamespace(sum=torch.tensor([[1.0, 2.0]]))
    meters = {"_codes_speech": chosen} | ({"_codes_text": chosen} if text else {})
    found = dict(task.previews(model, None, meters))
    assert [*found] == ["the reconstruction", *(["the codebook"] if codes else [])]
    if codes:
        (picture,) = found["the codebook"]()
        assert picture.pixels.shape[0] == (520 if text else 200)

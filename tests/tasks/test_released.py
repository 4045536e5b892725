"""The published command lines, read by fairseq's own parser and resolved to this code's tasks and criterions."""

import logging
from argparse import Namespace
from types import SimpleNamespace

import pytest
from checkpoints import tiny_checkpoint
from fairseq import criterions, options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from helpers import CLASSES, tiny_manifest, tiny_text_binary
from published_lines import TRAINING, training_line

from speecht5_fairseq.models.released_options import config_from_released
from speecht5_fairseq.tasks.pretrain import PretrainTask
from speecht5_fairseq.tasks.s2c import S2CTask
from speecht5_fairseq.tasks.s2s import S2STask
from speecht5_fairseq.tasks.s2t import S2TTask
from speecht5_fairseq.tasks.t2s import T2STask

TASKS = {"pretrain": PretrainTask, "s2t": S2TTask, "t2s": T2STask, "s2s": S2STask, "s2c": S2CTask}


@pytest.fixture
def data(tmp_path):
    """A folder with dict.txt and dict.km.txt."""
    tiny_manifest(tmp_path, 1, job="pretrain")
    tiny_text_binary(tmp_path, [[4, 5]])
    return tmp_path


def trained(data, job: str, *more: str):
    """fairseq's configuration of a published line, and the task that it sets up."""
    folders = [str(data), "--save-dir", str(data / "run"), "--hubert-label-dir", str(data)]
    args = options.parse_args_and_arch(options.get_training_parser(), [*folders, *training_line(job), *more])
    cfg = convert_namespace_to_omegaconf(args)
    return cfg, tasks.setup_task(cfg.task)


def decoding(data, job: str, *more: str):
    """The task of fairseq-generate."""
    parser = options.get_generation_parser()
    parser.add_argument("--arch", "-a", default="wav2vec2")  # as fairseq-generate does
    path = tiny_checkpoint(data / "checkpoint.pt", job)
    line = [str(data), "--task", "speecht5", "--t5-task", job, "--path", str(path), "--sample-rate", "16000", *more]
    return tasks.setup_task(convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, line)).task)


@pytest.mark.parametrize("job", TRAINING)
def test_a_published_line_sets_up_the_job(data, job):
    cfg, task = trained(data, job)
    assert type(task) is TASKS[job]
    assert task.cfg.seed == (1337 if job == "pretrain" else 1)
    assert task.cfg.save_dir == str(data / "run") and str(task.label_dir) == str(data)
    assert config_from_released(cfg.model).embed_dim == 768


def test_the_options_of_pre_training(data):
    cfg, task = trained(data, "pretrain")
    found = task.cfg
    assert (found.crop_samples, found.min_speech_samples, found.max_speech_samples) == (250_000, 32_000, None)
    assert (found.unit_rate, found.text_batch_ratio, str(found.text_break)) == (50, 0.0086, "sentence")
    assert (found.infilling_ratio, found.infilling_span, found.infilling_random) == (0.3, 3.5, 0.1)
    assert found.train_subset == "speech_train|text_train"
    model = config_from_released(cfg.model)
    assert (model.mask_prob, model.codebook_prob, model.encoder_layerdrop) == (0.8, 0.1, 0.05)
    criterion = criterions.build_criterion(cfg.criterion, task)
    assert (criterion.feature_penalty_weight, criterion.diversity_weight, criterion.masked_weight) == (10, 0.1, 1)


def test_the_options_of_recognition(data):
    cfg, task = trained(data, "s2t", "--bpe-tokenizer", "spm.model")
    assert (task.cfg.spm_model, task.cfg.max_speech_samples, task.cfg.ctc_decoding_weight) == (
        "spm.model",
        1_024_000,
        0,
    )
    model = config_from_released(cfg.model)
    assert (model.mask_prob, model.mask_channel_prob, model.freeze_encoder_updates) == (0.75, 0.5, 13_000)
    assert model.feature_grad_mult == 1.0
    criterion = criterions.build_criterion(cfg.criterion, task)
    assert (criterion.ce_weight, criterion.ctc_weight, criterion.label_smoothing) == (0.5, 0.5, 0.0)
    assert criterion.sentence_avg and criterion.zero_infinity


def test_a_loss_alone_has_no_weight(data):
    cfg, task = trained(data, "s2t", "--ctc-weight", "0", "--ce-weight", "0.3")
    criterion = criterions.build_criterion(cfg.criterion, task)
    assert (criterion.ce_weight, criterion.ctc_weight) == (1.0, 0.0)


@pytest.mark.parametrize("job", ["t2s", "s2s"])
def test_the_options_of_speech(data, job):
    cfg, task = trained(data, job)
    assert (task.cfg.min_speech_samples, task.cfg.max_speech_samples) == (1056, 480_256)
    model = config_from_released(cfg.model)
    assert (model.dropout, model.decoder_layerdrop, model.reduction_factor) == ({"t2s": 0.15, "s2s": 0.2}[job], 0, 2)
    criterion = criterions.build_criterion(cfg.criterion, task)
    assert (criterion.guided_weight, criterion.sigma, criterion.heads, criterion.layers) == (1.0, 0.4, 2, None)
    assert (criterion.parts, criterion.stop_weight) == (["l1"], 5.0)
    guided = SimpleNamespace(**{**vars(cfg.criterion), "guided_attn_loss_lambda": 10.0, "loss_type": "L1+L2"})
    criterion = criterions.CRITERION_REGISTRY["speecht5"].build_criterion(guided, task)
    assert (criterion.guided_weight, criterion.parts) == (10.0, ["l1", "l2"])
    criterion = criterions.CRITERION_REGISTRY["speecht5"].build_criterion(
        Namespace(**{**vars(cfg.criterion), "use_guided_attn_loss": False}), task
    )
    assert criterion.guided_weight == 0


def test_the_options_of_identification(tmp_path):
    tiny_manifest(tmp_path, 1, job="s2c")
    cfg, task = trained(tmp_path, "s2c")
    assert task.classes == list(CLASSES) and task.cfg.crop_samples == 51_200
    model = config_from_released(cfg.model)
    assert (model.mask_prob, model.speaker_embedding_dim, str(model.speaker_pooling)) == (0, 0, "decoder")


def test_decoding_has_its_own_ctc_weight_and_no_limits(data):
    task = decoding(data, "s2t", "--ctc-weight", "0.4", "--bpe-tokenizer", "spm.model", "--hubert-label-dir", str(data))
    assert (task.cfg.ctc_decoding_weight, task.cfg.max_speech_samples, task.cfg.path) == (
        0.4,
        None,
        str(data / "checkpoint.pt"),
    )


def test_parts_of_a_checkpoint_by_their_published_names(data):
    nets = "speech_encoder_prenet-encoder-decoder-speaker_decoder_postnet"
    _, task = trained(data, "s2t", "--finetune-from-modules", nets)
    assert task.cfg.finetune_nets == "speech_encoder_prenet,encoder,decoder,speaker_head"


def test_a_flag_that_does_nothing_gets_one_line(data, caplog):
    with caplog.at_level(logging.WARNING):
        cfg, task = trained(data, "s2t", "--pad-audio", "--random-crop")
        criterions.build_criterion(cfg.criterion, task)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("--max-text-positions 600" in line for line in lines) == 1
    assert sum("--pad-audio True" in line for line in lines) == 1
    assert sum("--zero-infinity True" in line for line in lines) == 1
    assert not any("random-crop" in line or "report-accuracy" in line for line in lines)  # it is done


@pytest.mark.parametrize(
    "more, message",
    [
        (["--sample-rate", "8000"], "--sample-rate 8000: the model hears 16000"),
        (["--shorten-method", "truncate"], "--shorten-method truncate: this code builds none alone"),
        (["--iid-noise-target"], "--iid-noise-target True: this code builds False alone"),
        (["--finetune-out-of-modules", "decoder"], "--finetune-out-of-modules decoder"),
        (["--batch-ratio", "__import__('os')"], r"--batch-ratio __import__\('os'\): give two numbers"),
        (["--batch-ratio", "[1]"], r"--batch-ratio \[1\]: give two numbers"),
    ],
)
def test_what_is_not_built_is_refused(data, more, message):
    with pytest.raises(ValueError, match=message):
        trained(data, "pretrain", *more)


@pytest.mark.parametrize(
    "more, message",
    [
        (["--hubert-weight", "0.5"], "--hubert-weight 0.5: this code builds 1.0 alone"),
        (["--loss-weights", "[1,2,3]"], r"--loss-weights \[1, 2, 3\]: give one or two"),
    ],
)
def test_a_loss_that_is_not_built_is_refused(data, more, message):
    cfg, task = trained(data, "pretrain", *more)
    with pytest.raises(ValueError, match=message):
        criterions.build_criterion(cfg.criterion, task)

"""The published command lines, read by fairseq's own parser and resolved to this code's tasks and criterions."""

import logging
from argparse import Namespace
from types import SimpleNamespace

import pytest
from checkpoints import tiny_checkpoint
from fairseq import criterions, options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from helpers import CLASSES, tiny_manifest, tiny_text_binary
from published_lines import GENERATION, JOBS, TRAINING, generation_line, training_line

from speecht5_fairseq.models.released_options import config_from_released
from speecht5_fairseq.tasks.pretrain import PretrainTask
from speecht5_fairseq.tasks.s2c import S2CTask
from speecht5_fairseq.tasks.s2s import S2STask
from speecht5_fairseq.tasks.s2t import S2TTask
from speecht5_fairseq.tasks.t2s import T2STask

TASKS = {"pretrain": PretrainTask, "s2t": S2TTask, "st": S2TTask, "t2s": T2STask, "s2s": S2STask, "s2c": S2CTask}


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


@pytest.mark.parametrize("job", GENERATION)
def test_a_published_line_of_generation_sets_up_the_job(data, job, caplog):
    """All that it says beside is that a limit of training's has no effect."""
    parser = options.get_generation_parser()
    parser.add_argument("--arch", "-a", default="wav2vec2")
    path = tiny_checkpoint(data / "checkpoint.pt", JOBS.get(job, job))
    args = options.parse_args_and_arch(parser, [str(data), "--path", str(path), *generation_line(job)])
    with caplog.at_level(logging.WARNING):
        task = tasks.setup_task(convert_namespace_to_omegaconf(args).task)
    assert type(task) is TASKS[job] and task.cfg.max_speech_samples is None
    limits = {"st": ["--min-speech-sample-size"], "s2c": ["--max-speech-positions"]}
    assert [line.split()[2] for line in told(caplog)] == limits.get(job, [])


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


def test_the_options_of_translation(data):
    cfg, task = trained(data, "st")
    criterion = criterions.build_criterion(cfg.criterion, task)
    assert (criterion.ce_weight, criterion.ctc_weight, criterion.label_smoothing) == (1.0, 0.0, 0.1)
    assert config_from_released(cfg.model).mask_prob == 0.5


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


def test_options_of_ours_for_a_start(data):
    """The published code never asks, and takes another dictionary with a random table."""
    _, task = trained(data, "s2t", "--new-nets", "ctc_head", "--new-vocabulary")
    assert task.cfg.new_nets == "ctc_head" and task.cfg.new_vocabulary
    _, task = trained(data, "s2t")
    assert task.cfg.new_nets == "" and not task.cfg.new_vocabulary


def test_options_of_ours_for_speed(data):
    cfg, task = trained(data, "s2t", "--matmul-precision", "medium", "--compile-layers", "--checkpoint-activations")
    assert (task.cfg.matmul_precision, task.cfg.compile_layers) == ("medium", True)
    assert config_from_released(cfg.model).checkpoint_activations
    cfg, task = trained(data, "s2t")
    assert (task.cfg.matmul_precision, task.cfg.compile_layers) == ("highest", False)
    assert not config_from_released(cfg.model).checkpoint_activations
    with pytest.raises(ValueError, match="--matmul-precision low: give highest, high or medium"):
        trained(data, "s2t", "--matmul-precision", "low")


def test_options_of_ours_for_pictures(data):
    flags = ["--picture-interval", "2", "--picture-utterances", "5", "--tensorboard-logdir", "OUT"]
    _, task = trained(data, "s2t", *flags, "--valid-subset", "dev,other")
    assert (task.cfg.picture_interval, task.cfg.picture_utterances) == (2, 5)
    assert (task.cfg.tensorboard_logdir, task.cfg.wandb_project, task.cfg.valid_subset) == ("OUT", None, "dev,other")


def test_a_flag_that_does_nothing_gets_one_line(data, caplog):
    with caplog.at_level(logging.WARNING):
        cfg, task = trained(data, "s2t", "--pad-audio", "--random-crop")
        criterions.build_criterion(cfg.criterion, task)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("--max-text-positions 600" in line for line in lines) == 1
    assert sum("--pad-audio True" in line for line in lines) == 1
    assert sum("--zero-infinity True" in line for line in lines) == 1
    assert not any("random-crop" in line or "report-accuracy" in line for line in lines)  # it is done


IDLE = {  # job -> flags that another job reads, or that want another flag, and why they do nothing
    "pretrain": [
        (["--min-speech-sample-size", "100"], "it belongs to --t5-task s2t, t2s, s2s, s2c"),
        (["--max-speech-positions", "100"], "it belongs to --t5-task s2t, t2s, s2s, s2c"),
        (["--bpe-tokenizer", "/nope"], "it belongs to --t5-task s2t, t2s"),
        (["--ce-weight", "0.5"], "it belongs to --t5-task s2t"),
        (["--use-guided-attn-loss"], "it belongs to --t5-task t2s, s2s"),
    ],
    "s2t": [
        (["--batch-ratio", "[1,0.1]"], "it belongs to --t5-task pretrain"),
        (["--label-rates", "50"], "it belongs to --t5-task pretrain"),
        (["--poisson-lambda", "3"], "it belongs to --t5-task pretrain"),
        (["--loss-weights", "[10,0.1]"], "it belongs to --t5-task pretrain"),
        (["--bart-weight", "2"], "it belongs to --t5-task pretrain"),
        (["--guided-attn-loss-sigma", "0.3"], "it belongs to --t5-task t2s, s2s"),
        (["--label-smoothing", "0.1", "--ce-weight", "0"], "it needs --ce-weight above 0"),
        (["--ce-weight", "0.3", "--ctc-weight", "0"], "it is the only loss"),
    ],
    "t2s": [
        (["--ctc-weight", "0.5"], "it belongs to --t5-task s2t"),
        (["--label-smoothing", "0.1"], "it belongs to --t5-task s2t"),
    ],
    "s2s": [
        (["--bpe-tokenizer", "/nope"], "it belongs to --t5-task s2t, t2s"),
        (["--ce-weight", "0.5"], "it belongs to --t5-task s2t"),
    ],
    "s2c": [
        (["--label-smoothing", "0.1"], "it belongs to --t5-task s2t"),
        (["--guided-attn-loss-lambda", "10"], "it belongs to --t5-task t2s, s2s"),
        (["--loss-type", "L2"], "it belongs to --t5-task t2s, s2s"),
    ],
}
CASES = [(job, flag, why) for job, flags in IDLE.items() for flag, why in flags]


def told(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("no effect: ")]


@pytest.mark.parametrize("job, flag, why", CASES, ids=[" ".join([job, *flag]) for job, flag, _ in CASES])
def test_a_flag_of_another_job_gets_one_line(tmp_path, caplog, job, flag, why):
    tiny_manifest(tmp_path, 1, job=job if job == "s2c" else "pretrain")
    if job != "s2c":
        tiny_text_binary(tmp_path, [[4, 5]])
    with caplog.at_level(logging.WARNING):
        cfg, task = trained(tmp_path, job, *flag)
        criterions.build_criterion(cfg.criterion, task)
    (line,) = (line for line in told(caplog) if line.startswith(f"no effect: {flag[0]} "))
    assert line.endswith(f"; {why}")


EXPECTED = {"--max-text-positions", "--zero-infinity"}  # of the published lines, what does nothing here


@pytest.mark.parametrize("job", TRAINING)
def test_the_published_lines_hold_no_flag_of_another_job(tmp_path, caplog, job):
    tiny_manifest(tmp_path, 1, job=job if job == "s2c" else "pretrain")
    if job != "s2c":
        tiny_text_binary(tmp_path, [[4, 5]])
    with caplog.at_level(logging.WARNING):
        cfg, task = trained(tmp_path, job)
        criterions.build_criterion(cfg.criterion, task)
    assert {line.split()[2] for line in told(caplog)} <= EXPECTED


def test_guided_attention_is_asked_for_before_it_is_set(data, caplog):
    """A line for the flag as typed, and none for the option that it would have been."""
    line = [flag for flag in training_line("t2s") if flag != "--use-guided-attn-loss"]
    folders = [str(data), "--save-dir", str(data / "run"), "--guided-attn-loss-sigma", "0.3"]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), folders + line))
    with caplog.at_level(logging.WARNING):
        criterion = criterions.build_criterion(cfg.criterion, tasks.setup_task(cfg.task))
    assert criterion.guided_weight == 0
    assert [each for each in told(caplog) if "guided" in each] == [
        "no effect: --guided-attn-loss-sigma 0.3; it needs --use-guided-attn-loss"
    ]


def test_decoding_says_what_only_training_reads(data, caplog):
    with caplog.at_level(logging.WARNING):
        task = decoding(data, "s2t", "--max-speech-sample-size", "5", "--batch-ratio", "none", "--ctc-weight", "0.3")
    assert task.cfg.max_speech_samples is None and task.cfg.ctc_decoding_weight == 0.3
    assert told(caplog) == [
        "no effect: --max-speech-sample-size 5; fairseq-generate does not read it",
        "no effect: --batch-ratio none; fairseq-generate does not read it",
    ]


@pytest.mark.parametrize(
    "flags, samples",
    [
        ([], 1_024_000),
        (["--max-speech-sample-size", "480256"], 480_256),
        (["--max-speech-positions", "1000"], 256_000),
        (["--max-speech-sample-size", "480256", "--max-speech-positions", "1000"], 256_000),
        (["--max-speech-sample-size", "2000000"], 2_000_000),
    ],
)
def test_of_two_limits_of_length_the_smaller_counts(data, flags, samples):
    _, task = trained(data, "s2t", *flags, "--valid-subset", "dev,other")
    assert task.cfg.max_speech_samples == samples


@pytest.mark.parametrize(
    "more, message",
    [
        (["--sample-rate", "8000"], "--sample-rate 8000: the model hears 16000"),
        (["--shorten-method", "truncate"], "--shorten-method truncate: this code builds none alone"),
        (["--iid-noise-target"], "--iid-noise-target True: this code builds False alone"),
        (["--finetune-out-of-modules", "decoder"], "--finetune-out-of-modules decoder"),
        (["--batch-ratio", "__import__('os')"], r"--batch-ratio __import__\('os'\): give two numbers"),
        (["--batch-ratio", "[1]"], r"--batch-ratio \[1\]: give two numbers"),
        (["--batch-ratio", "[0,1]"], r"--batch-ratio \[0,1\]: give two numbers above 0"),
        (["--batch-ratio", "[1,-1]"], r"--batch-ratio \[1,-1\]: give two numbers above 0"),
        (["--sample-break-mode", "none"], "--sample-break-mode none: give eos or complete"),
        (["--label-rates", "49.5"], "--label-rates 49.5: give a whole number above 0"),
        (["--mask", "1.5"], "--mask 1.5: give a share from 0 to 1"),
        (["--poisson-lambda", "0"], "--poisson-lambda 0.0: give a number above 0"),
        (["--max-speech-sample-size", "long"], "--max-speech-sample-size long: give a whole number above 0"),
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
        (["--loss-weights", "5"], "--loss-weights 5: give one or two"),
        (["--t5-task", "t2s", "--loss-type", "huber"], "--loss-type huber: give L1, L2 or L1\\+L2"),
        (["--t5-task", "t2s", "--guided-attn-loss-sigma", "0", "--use-guided-attn-loss"], "sigma 0.0: give a number a"),
        (["--t5-task", "s2t", "--label-smoothing", "1"], "--label-smoothing 1.0: give a share from 0 to less than 1"),
        (["--t5-task", "s2t", "--post-process", "words"], "--post-process words: give sentencepiece, .* or none"),
        (["--t5-task", "s2t", "--ce-weight", "-1"], "--ce-weight -1.0: give a number that is not below 0"),
        (["--t5-task", "s2t", "--ce-weight", "0"], "--ce-weight 0 and --ctc-weight 0: nothing would be learned"),
    ],
)
def test_a_loss_that_is_not_built_is_refused(data, more, message):
    cfg, task = trained(data, "pretrain", *more)
    with pytest.raises(ValueError, match=message):
        criterions.build_criterion(cfg.criterion, task)

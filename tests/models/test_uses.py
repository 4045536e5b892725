"""The command lines that go with a checkpoint."""

import pytest
import torch
from checkpoints import tiny_checkpoint
from fairseq import options
from helpers import tiny_piece_model

from speecht5_fairseq.models.facts import Base, read_facts
from speecht5_fairseq.models.uses import flags, missing_files, uses_of


def facts_of(tmp_path, job, **options):
    return read_facts(tiny_checkpoint(tmp_path / "checkpoint.pt", job, **options))


@pytest.mark.parametrize(
    "job, words",
    [
        ("s2t", ["--task speecht5_s2t", "--ctc-decoding-weight 0.5 --scoring wer_cer"]),
        ("t2s", ["--task speecht5_t2s", "--results-path OUT"]),
        ("s2s", ["--task speecht5_s2s", "--results-path OUT"]),
        ("s2c", ["--task speecht5_s2c", "--save-embeddings"]),
    ],
)
def test_each_job_decodes(tmp_path, job, words):
    decoding, starting = uses_of(facts_of(tmp_path, job))
    assert decoding.command.startswith("fairseq-generate DATA") and all(word in decoding.command for word in words)
    assert f"--path {tmp_path}/checkpoint.pt" in decoding.command and "spm" not in decoding.command
    assert starting.command.endswith(f"--finetune-from-model {tmp_path}/checkpoint.pt")
    assert "--arch speecht5 --embed-dim 24 " in starting.command and "--dropout" not in starting.command


@pytest.mark.parametrize("job", ["pretrain", "pretrain_speech"])
def test_pre_training_is_a_start(tmp_path, job):
    (starting,) = uses_of(facts_of(tmp_path, job))
    assert starting.what == "start a training" and "--unit-dim 9" in starting.command


def test_translation_has_no_ctc(tmp_path):
    decoding, _ = uses_of(facts_of(tmp_path, "s2t", no_ctc_head=True))
    assert "--scoring bleu_chrf" in decoding.command and "--ctc" not in decoding.command


@pytest.mark.parametrize("weight, words", [(0.0, "--scoring bleu_chrf"), (None, "--scoring wer_cer")])
def test_a_ctc_head_that_no_loss_trained_is_left_out(tmp_path, weight, words):
    decoding, _ = uses_of(facts_of(tmp_path, "s2t")._replace(ctc_weight=weight))
    assert decoding.command.endswith(words) and "--ctc" not in decoding.command


def test_what_is_not_inside_is_asked_for(tmp_path):
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    facts = facts_of(tmp_path, "s2t", spm_model=spm_model)
    assert missing_files(facts) == []
    without = facts._replace(contents=facts.contents._replace(pieces=None))
    assert missing_files(without) == ["spm.model"]
    assert missing_files(without._replace(task={"spm_model": None})) == []  # its run read pieces
    facts = facts._replace(contents=facts.contents._replace(pieces=None, symbols=[], signal={}))
    assert missing_files(facts) == ["dict.txt", "spm.model"]
    decoding, _ = uses_of(facts)
    assert "--spm-model spm.model" in decoding.command and "dict.txt and spm.model of the training" in decoding.needs
    assert missing_files(facts._replace(task={"spm_model": "none"})) == ["dict.txt"]


def test_additions_name_their_base_and_become_whole(tmp_path):
    facts = facts_of(tmp_path, "s2t")
    added = facts._replace(origin=facts.origin._replace(base=Base("base.pt", "abc")))
    decoding, merging = uses_of(added)
    assert decoding.needs.endswith("and its base, base.pt") and "convert.merge" in merging.command
    bottlenecks = added._replace(options={**added.options, "adapter_dim": 4})
    assert [use.what for use in uses_of(bottlenecks)] == [decoding.what]


def test_the_published_code_s_models_start_ours(tmp_path):
    facts = facts_of(tmp_path, "s2t")._replace(preset="t5_transformer_large")
    assert "--arch speecht5_large " in uses_of(facts)[-1].command
    assert "--arch speecht5 " in uses_of(facts._replace(preset="t5_transformer_base_asr"))[-1].command


def test_options_are_quoted_for_a_shell(tmp_path):
    assert list(flags({"pre_norm": True, "freeze": "encoder:3 decoder:4", "train_nets": "", "embed_dim": 8})) == [
        "--pre-norm", "--freeze 'encoder:3 decoder:4'", "--train-nets ''", "--embed-dim 8"
    ]  # fmt: skip
    path = tiny_checkpoint(tmp_path / "a b/checkpoint.pt", "s2t")
    assert f"--path '{path}'" in uses_of(read_facts(path))[0].command


def test_the_command_of_the_start_is_taken_by_fairseq_train(tmp_path, monkeypatch):
    words = uses_of(facts_of(tmp_path, "s2t", pre_norm=True))[-1].command.split()[2:]
    arguments = ["data", "--task", "speecht5_s2t", "--criterion", "speecht5_s2t", *words]
    monkeypatch.setattr("sys.argv", ["fairseq-train", *arguments])
    args = options.parse_args_and_arch(options.get_training_parser(), input_args=arguments)
    state = torch.load(tmp_path / "checkpoint.pt")["cfg"]["model"]
    for name in ("embed_dim", "pre_norm", "position_groups", "attention_heads"):
        assert getattr(args, name) == state[name], name

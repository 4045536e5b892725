"""Flags of the published model: types, what has no effect, and what is refused."""

import argparse
import logging

import pytest

from speecht5_fairseq.models.released_flags import Flag, add_flag, add_model_flags, check_model_flags


def parsed(*line: str) -> dict[str, object]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_model_flags(parser)
    return vars(parser.parse_args(line))


def test_flags_have_the_type_of_their_option_and_stay_out_unless_given():
    line = (
        "--encoder-layers 3 --dropout 0.3 --bert-init --latent-temp (2,0.5,0.9) --relu-dropout 0.2 --se-predict delta"
    )
    assert parsed(*line.split()) == {
        "encoder_layers": 3,
        "dropout": 0.3,
        "bert_init": True,
        "latent_temp": (2, 0.5, 0.9),
        "activation_dropout": 0.2,
        "se_predict": "delta",
    }
    assert parsed() == {}


def test_a_flag_that_the_parser_has_is_left_alone():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mask-length", type=int, default=10)
    add_flag(parser, Flag("mask_length", "span-poisson", ""))
    assert parser.parse_args(["--mask-length", "4"]).mask_length == 4


def test_code_in_a_flag_is_not_run(capsys):
    with pytest.raises(SystemExit):
        parsed("--latent-temp", "print('ran')")
    assert "ran" not in capsys.readouterr().out


def test_what_nothing_reads_gets_a_line(caplog):
    with caplog.at_level(logging.WARNING):
        check_model_flags(parsed("--num-buckets", "100", "--dropout", "0.1"))
    (record,) = caplog.records
    assert record.getMessage().startswith("no effect: --num-buckets 100; nothing reads it there either")


@pytest.mark.parametrize(
    "line, told",
    [
        ("--codebook-prob 0.3", "--codebook-prob 0.3; it needs --use-codebook"),
        ("--codebook-prob 0.3 --use-codebook", None),
        ("--sid-embed-dim 64 --sid-no-embed-postnet", "--sid-embed-dim 64; with --sid-no-embed-postnet there is none"),
        ("--sid-embed-dim 64", None),
    ],
)
def test_what_another_flag_makes_idle_gets_a_line(caplog, line, told):
    with caplog.at_level(logging.WARNING):
        check_model_flags(parsed(*line.split()))
    assert caplog.messages == ([f"no effect: {told}"] if told else [])


@pytest.mark.parametrize(
    "flag, instead", [("load-pretrained-encoder-from", "finetune-from"), ("no-freeze-encoder-layer", "--freeze")]
)
def test_what_has_another_flag_here_is_refused(flag, instead):
    with pytest.raises(ValueError, match=f"--{flag} x is not built here: use .*{instead}"):
        check_model_flags(parsed(f"--{flag}", "x"))

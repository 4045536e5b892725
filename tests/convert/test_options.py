"""Options in checkpoints of this code and of the published one."""

import pytest

from speecht5_fairseq.convert.options import (
    PLACES,
    criterion_options,
    plain,
    read_config,
    task_options,
    without_unread,
)
from speecht5_fairseq.models import SpeechT5Config, SpeechT5LargeConfig, SpeechT5SmallConfig
from speecht5_fairseq.models.config import PREDICTIONS
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.released_options import released_from_config

NETS = {"encoder", "decoder"}


def test_what_travels_of_a_command_line_are_options_of_the_job():
    """The published code keeps all of it, with the folders and files of the machine where it ran."""
    line = {
        "data": "/a",
        "save_dir": "/b",
        "user_dir": "/c",
        "tensorboard_logdir": "/d",
        "bpe_tokenizer": "/e",
        "seed": 4,
    }
    assert task_options({**line, "t5_task": "t2s", "text_ends": "eos"}, "t2s") == {"seed": 4, "text_ends": "eos"}
    assert not PLACES & set(task_options({name: "/x" for name in PLACES}, "s2t"))
    assert criterion_options({**line, "ce_weight": 0.5, "ctc_weight": 0.5}, "s2t") == {
        "ce_weight": 0.5,
        "ctc_weight": 0.5,
    }
    assert criterion_options(line, "s2t") is None


def test_options_of_an_older_version_are_at_their_defaults():
    small = read_config({"_name": "speecht5_small", "embed_dim": 144}, "here", "s2t", NETS)
    assert isinstance(small, SpeechT5SmallConfig) and (small.embed_dim, small.encoder_layers) == (144, 5)
    assert isinstance(read_config({"_name": "speecht5_large", "arch": "x"}, "here", "s2t", NETS), SpeechT5LargeConfig)


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "its options are those of the model None, not of SpeechT5"),
        ({"_name": "transformer_lm"}, "its options are those of the model 'transformer_lm', not of SpeechT5"),
        ({"_name": "speecht5", "width": 3}, "options that this version does not know: width; take a newer"),
    ],
)
def test_options_of_another_model_are_refused(options, message):
    with pytest.raises(CheckpointError, match=f"^here: {message}"):
        read_config(options, "here", "s2t", NETS)


def test_published_options_become_those_of_our_presets():
    theirs = vars(released_from_config(SpeechT5Config(dropout=0.2, unit_dim=9), "t5_transformer_base_asr"))
    found = read_config(theirs, "here", "s2t", NETS)
    assert type(found) is SpeechT5Config and found._name == "speecht5" and found.no_ctc_head and found.dropout == 0.2
    assert (found.unit_dim, found.codebook_prob) == (256, 0.1)  # of nets that are not there, and read by nothing
    theirs = vars(released_from_config(SpeechT5LargeConfig(), "t5_transformer_large"))
    found = read_config(theirs, "here", "t2s", {*NETS, "ctc_head"})
    assert type(found) is SpeechT5LargeConfig and found._name == "speecht5_large" and not found.no_ctc_head


def test_options_that_nothing_reads_are_at_their_defaults():
    config = SpeechT5Config(unit_dim=9, postnet_layers=2, dropout=0.3)
    kept = without_unread(config, {"unit_head", "decoder"}, SpeechT5Config)
    assert (kept.unit_dim, kept.postnet_layers, kept.dropout) == (9, 5, 0.3)


def test_values_are_made_plain():
    assert plain({"a": (PREDICTIONS("mel"), [1.5, None])}) == {"a": ["mel", [1.5, None]]}

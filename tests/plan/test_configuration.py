"""Flags of shell files and of the command line."""

from pathlib import Path

import pytest
from helpers import write_lines

from speecht5_fairseq.plan.configuration import Flags, read_flags, training_config

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIGS = sorted(
    file for file in EXAMPLES.glob("*/*.sh") if "\nFLAGS=(" in file.read_text(encoding="utf-8") and file.stem != "run"
)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_configuration_of_the_examples_is_a_whole_training(file):
    given = read_flags(file)
    cfg = training_config(given)
    assert given.data and cfg.task.data == given.data
    assert cfg.optimization.max_update > 0 and cfg.dataset.max_tokens or cfg.dataset.batch_size
    assert cfg.task._name.startswith("speecht5_") and cfg.criterion._name.startswith("speecht5_")
    assert (cfg.task._name == "speecht5_pretrain") == ("text_data" in cfg.task and bool(cfg.task.text_data))


def test_arrays_by_name_and_flags_that_win():
    given = read_flags(EXAMPLES / "demo/settings.sh", ["COMMON", "FINETUNE"])
    cfg = training_config(Flags("there", [*given.flags, "--max-update", "7"]))
    assert (cfg.model.embed_dim, cfg.optimization.max_update, cfg.task.data) == (144, 7, "there")


def test_what_a_run_starts_from_need_not_be_there(tmp_path):
    flags = ["--user-dir", "nowhere", "--finetune-from-model=gone.pt", "--save-dir", "x", "--finetune-nets", "encoder"]
    task = ["--task", "speecht5_s2t", "--criterion", "speecht5_s2t", "--arch", "speecht5"]
    cfg = training_config(Flags("data", [*flags, *task]))
    assert cfg.checkpoint.finetune_from_model is None and cfg.task.finetune_nets == ""


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="gone.sh: no such configuration"):
        read_flags(tmp_path / "gone.sh")
    with pytest.raises(ValueError, match="no array FLAGS; name those with the flags: --arrays"):
        read_flags(write_lines(tmp_path / "other.sh", ["OTHER=(--lr 1)"]))
    with pytest.raises(ValueError, match="broken.sh: bash cannot read it .*mend the file"):
        read_flags(write_lines(tmp_path / "broken.sh", ["FLAGS=("]))


def test_quotes_and_spaces_stay(tmp_path):
    file = write_lines(tmp_path / "a b.sh", ["DATA='some where'", 'FLAGS=(--adam-betas "(0.9, 0.98)"  # why', ")"])
    assert read_flags(file) == Flags("some where", ["--adam-betas", "(0.9, 0.98)"])


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "name no --task; add it after --"),
        (["--task", "translation"], "--task translation is not planned; give one of .*speecht5_s2t"),
        (["--task", "speecht5"], "--task speecht5 is not planned"),
    ],
)
def test_tasks_that_are_not_planned(flags, message):
    with pytest.raises(ValueError, match=message):
        training_config(Flags("data", flags))

"""The command that tells what a checkpoint is: its page, its JSON, its files, and its refusals."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkpoints import bad_checkpoints, tiny_checkpoint
from helpers import CLASSES, UNITS, model_over, tiny_base, tiny_model, tiny_piece_model

from speecht5_fairseq.inspect import main
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.jobs import JOBS
from speecht5_fairseq.models.released_format import to_released

UNIT_NAMES = [str(unit) for unit in range(UNITS)]


def page(capsys, *arguments):
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def rows(text):
    """The named lines of a page, those with one word in the first column."""
    return {line[:16].strip(): line[16:] for line in text.splitlines()[2:12] if line[:16].strip()}


def test_a_recogniser(tmp_path, capsys):
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    path = tiny_checkpoint(tmp_path / "asr.pt", "s2t", spm_model=spm_model)
    text = page(capsys, path)
    assert text.startswith(f"{path}: speech to text (speecht5_s2t), 0.") and "not inside" not in text
    found = rows(text)
    assert found["written by"] == "speecht5_fairseq" and found["trained"] == "1,200 updates, epoch 7, best loss 0.25"
    assert found["size"] == "speecht5: 2 + 2 layers, width 24, 3 heads"
    assert found["options"].startswith("not the preset's: --embed-dim 24 --ffn-dim 40")
    assert found["symbols"] == "34: ▁ A B C D E F G H I J K ...; special: <s> <pad> </s> <unk> <mask> <ctc_blank>"
    pieces = found["sentencepiece"]
    assert pieces.startswith("inside: 31 pieces, ") and pieces.endswith(f"was {spm_model}")
    assert "MEL_HOP 256" in found["signal"] and found["optimizer"] == "no state inside"
    total = sum(parameter.numel() for parameter in tiny_model("s2t").parameters())
    assert next(line for line in text.splitlines() if line.startswith("all ")).split()[1:3] == [f"{total:,}", "100.0%"]
    assert "It can write down or translate speech" in text and f"--path {path}" in text


@pytest.mark.parametrize("job", JOBS)
def test_every_job_has_a_page_and_json(job, tmp_path, capsys):
    path = tiny_checkpoint(tmp_path / "checkpoint.pt", job, units=UNIT_NAMES if "pretrain" in job else None)
    text = page(capsys, path)
    assert ("units" in rows(text)) == ("pretrain" in job) and ("classes" in rows(text)) == (job == "s2c")
    if job == "s2c":
        assert rows(text)["classes"] == f"5: {' '.join(CLASSES)}"
    if "pretrain" in job:
        assert rows(text)["units"] == "20, with their dictionary"
        source = {"model": "0123456789abcdef", "features": "fairseq-hubert, layer 6, checkpoint 89abcdef01234567"}
        file = tiny_checkpoint(tmp_path / "told.pt", job, units=UNIT_NAMES, unit_source=source)
        expected = f"20, with their dictionary; of k-means {source['model']} on {source['features']}"
        assert rows(page(capsys, file))["units"] == expected
    facts = json.loads(page(capsys, path, "--json"))
    assert facts["job"] == job and facts["training"]["updates"] == 1200
    own = sum(parameter.numel() for parameter in tiny_model(job).parameters())
    assert facts["parameters"] == sum(part["parameters"] for part in facts["parts"]) == own
    assert f"{own:,}" in text and all(use["command"] in text for use in facts["uses"])


def test_json_has_what_is_inside(tmp_path, capsys):
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    facts = json.loads(page(capsys, tiny_checkpoint(tmp_path / "tts.pt", "t2s", spm_model=spm_model), "--json"))
    pieces = facts["contents"]["pieces"]
    assert pieces["file"] == str(spm_model) and pieces["bytes"] == spm_model.stat().st_size
    assert len(facts["contents"]["symbols"]) == 34 and facts["contents"]["signal"]["MEL_BINS"] == 80
    assert facts["task"]["spm_model"] == str(spm_model) and facts["origin"]["base"] is None


def test_a_checkpoint_of_before_says_what_to_give(tmp_path, capsys):
    """It holds its symbols; its run read raw text."""
    state = torch.load(tiny_checkpoint(tmp_path / "old.pt", "s2t"))
    del state["task_state"]
    state["cfg"]["task"]["spm_model"] = "spm.model"
    torch.save(state, tmp_path / "old.pt")
    text = page(capsys, tmp_path / "old.pt")
    assert rows(text)["sentencepiece"] == "not inside: give --spm-model" and "--spm-model spm.model" in text
    assert "signal" not in rows(text)
    old = tiny_base(tmp_path / "pretrained.pt", "pretrain")
    assert rows(page(capsys, old))["units"] == "20, without their dictionary (dict.km.txt)"


def test_additions_to_a_base(tmp_path, capsys):
    base = tiny_base(tmp_path / "base.pt")
    model = model_over(base, "s2t", lora_rank=2)
    options = {"_name": "speecht5_small", "base_checkpoint": str(base), "lora_rank": 2, "adapter_dim": 0}
    options |= {"encoder_layers": 2, "decoder_layers": 2, "embed_dim": 24, "attention_heads": 3}
    cfg = {"model": options, "task": {"_name": "speecht5_s2t"}}
    torch.save({"model": model.state_dict(), "cfg": cfg}, tmp_path / "added.pt")
    text = page(capsys, tmp_path / "added.pt")
    assert f"additions to the base {base} (digest " in rows(text)["written by"]
    assert "(additions and what was trained with them; the rest is in the base)" in text
    assert "convert.merge" in text and "--finetune-from-model" not in text and f"and its base, {base}" in text


def test_a_model_of_the_published_code(tmp_path, capsys):
    cfg = {"model": {"_name": "t5_transformer_base_asr", "encoder_layers": 2}, "task": {"t5_task": "s2t"}}
    torch.save({"model": to_released(tiny_model("s2t").state_dict()), "cfg": cfg}, tmp_path / "theirs.pt")
    text = page(capsys, tmp_path / "theirs.pt")
    assert rows(text)["written by"] == "the published code" and rows(text)["symbols"] == "not inside: give dict.txt"
    assert "and dict.txt and spm.model of the training" in text and "--arch speecht5 " in text


def test_files_come_out(tmp_path, capsys):
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    path = tiny_checkpoint(tmp_path / "asr.pt", "s2t", spm_model=spm_model)
    main([str(path), "--extract", str(tmp_path / "out")])
    assert capsys.readouterr().err == f"wrote {tmp_path}/out/dict.txt\nwrote {tmp_path}/out/spm.model\n"
    assert (tmp_path / "out/spm.model").read_bytes() == spm_model.read_bytes()


def test_a_card_is_written_once(tmp_path, capsys):
    path, card = tiny_checkpoint(tmp_path / "asr.pt", "s2t"), tmp_path / "README.md"
    page(capsys, path, "--card", card)
    assert card.read_text().splitlines()[7] == "# asr: speech to text"
    card.write_text("filled in")
    with pytest.raises(ValueError, match=f"--card {card} is there, perhaps filled in by hand: name a new file"):
        main([str(path), "--card", str(card)])
    assert card.read_text() == "filled in"


KINDS = ["cut off", "text", "function", "command", "other model", "other signal", "no model", "rows"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_file_is_one_error(kind, tmp_path):
    path, said = bad_checkpoints(tmp_path)[kind]
    with pytest.raises(CheckpointError, match=f"^{path}: {said}"):
        main([str(path)])
    assert not (tmp_path / "intruded").exists()


def test_the_command_ends_mistakes_without_a_traceback(tmp_path):
    bad_checkpoints(tmp_path)
    command = [sys.executable, "-m", "speecht5_fairseq.inspect", tmp_path / "command.pt"]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/command.pt: ") and "Traceback" not in done.stderr
    assert not (tmp_path / "intruded").exists()


def test_a_checkpoint_of_a_newer_version_is_refused(tmp_path):
    path = tiny_checkpoint(tmp_path / "newer.pt", "s2t")
    state = torch.load(path)
    state["cfg"]["model"]["rotary_positions"] = True
    torch.save(state, path)
    with pytest.raises(
        CheckpointError, match=r"newer\.pt: options that this version does not know: rotary_positions; t"
    ):
        main([str(path)])

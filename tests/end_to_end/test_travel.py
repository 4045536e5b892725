"""Checkpoints travel alone: what decoded beside the training's files decodes as well where these are not."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkpoints import bad_checkpoints
from commands import NOISE, SIZES, USER_DIR, hypotheses, load, recognition, run, training
from helpers import SYMBOLS, tiny_manifest, tiny_piece_model, write_lines

SPLITS = (("train", 6), ("valid", 2), ("test", 3))
SEARCH = ["--beam", 2, "--max-len-b", 8, "--ctc-decoding-weight", 0.4, "--post-process", "sentencepiece"]
WORDS = ["--scoring", "wer_cer"]


def prepare(folder: Path, job: str) -> Path:
    """Manifests of a job; text is raw, for the sentencepiece model beside them."""
    folder.mkdir()
    for number, (split, rows) in enumerate(SPLITS):
        tiny_manifest(folder, rows, job=job, split=split, seed=number)
        if job != "s2c":
            lines = (folder / f"{split}.txt").read_text(encoding="utf-8").splitlines()
            write_lines(folder / f"{split}.txt", ["".join(line.split()).replace("▁", " ").strip() for line in lines])
    if job != "s2c":
        tiny_piece_model(folder / "spm.model")
    return folder


def move(trained: Path, checkpoint: Path, out: Path, *names: str) -> list[object]:
    """The checkpoint, the test manifest, its audio and `names` go elsewhere; the rest is gone. Arguments to decode."""
    out.mkdir()
    for name in ("test.tsv", *names):
        shutil.copy(trained / name, out / name)
    shutil.copytree(trained / "audio_test", out / "wav")
    shutil.copy(checkpoint, out / "model.pt")
    trained.rename(trained.with_name("gone"))
    checkpoint.parent.rename(checkpoint.parent.with_name("gone_run"))
    return [out, "--audio-root", out / "wav", "--path", out / "model.pt"]


def generate(job: str, *arguments: object, fails: bool = False) -> str:
    common = ["--user-dir", USER_DIR, "--task", f"speecht5_{job}", "--gen-subset", "test", "--num-workers", 0, "--cpu"]
    return run("fairseq-generate", *arguments, *common, "--max-tokens", 100_000, fails=fails)


def recogniser(data, folder: Path, *options: object) -> tuple[Path, Path]:
    """(folder of the data, checkpoint) of a recogniser of raw text."""
    raw = prepare(folder / "data", "s2t")
    common = ["--spm-model", raw / "spm.model", *NOISE, *options, "--save-dir", folder / "run"]
    run("fairseq-train", *recognition(data._replace(s2t=raw), *common))
    return raw, folder / "run/checkpoint_last.pt"


def test_a_recogniser_needs_nothing_but_audio(data, tmp_path):
    raw, checkpoint = recogniser(data, tmp_path)
    beside = generate("s2t", raw, "--path", checkpoint, "--spm-model", raw / "spm.model", *SEARCH, *WORDS)
    assert "the sentencepiece model is that in" not in beside
    here = move(raw, checkpoint, tmp_path / "elsewhere")
    output = generate("s2t", *here, "--unlabelled", *SEARCH)
    assert hypotheses(output) == hypotheses(beside) and len(hypotheses(output)) == 3
    assert f"no {here[0]}/dict.txt: the 34 symbols are those of {here[0]}/model.pt" in output
    shutil.copy(tmp_path / "gone/test.txt", here[0] / "test.txt")
    output = generate("s2t", *here, *SEARCH, *WORDS)
    assert f"the sentencepiece model is that in {here[0]}/model.pt (" in output
    assert hypotheses(output) == hypotheses(beside)
    scores = [next(line for line in text.splitlines() if "WER: " in line) for text in (beside, output)]
    assert scores[0] == scores[1]
    write_lines(here[0] / "dict.txt", [f"{symbol} 1" for symbol in SYMBOLS[::-1]])
    last = generate("s2t", *here, *SEARCH, fails=True).splitlines()[-1]
    assert f"{here[0]}/dict.txt:1: the dictionary does not fit the checkpoint" in last
    assert "decoding without any takes it from the checkpoint" in last


def test_what_travels_goes_through_means_and_additions(data, pretrained, tmp_path):
    """Additions to a base decode beside the base alone; merged and averaged they hold what the run read."""
    lora = ["--base-checkpoint", pretrained / "checkpoint_last.pt", "--lora-rank", 2]
    raw, checkpoint = recogniser(data, tmp_path, *lora)
    beside = generate("s2t", raw, "--path", checkpoint, "--spm-model", raw / "spm.model", *SEARCH)
    here = move(raw, checkpoint, tmp_path / "elsewhere", "test.txt")
    shutil.copy(pretrained / "checkpoint_last.pt", here[0] / "base.pt")
    override = "{'base_checkpoint': 'base.pt'}"
    assert hypotheses(generate("s2t", *here, "--model-overrides", override, *SEARCH)) == hypotheses(beside)
    merged, mean = here[0] / "merged.pt", here[0] / "mean.pt"
    base = f"{{'base_checkpoint': '{here[0]}/base.pt'}}"
    run("python", "-m", "speecht5_fairseq.convert.merge", here[-1], "--out", merged, "--model-overrides", base)
    run("python", "-m", "speecht5_fairseq.average", "--inputs", merged, "--output", mean)
    expected = load(here[-1])["task_state"]
    for path in (merged, mean):
        state = load(path)["task_state"]
        assert state["signal"] == expected["signal"] and state["sentencepiece"]["file"] == str(raw / "spm.model")
        assert (state["sentencepiece"]["model"] == expected["sentencepiece"]["model"]).all()
    found, expected = hypotheses(generate("s2t", *here[:-1], mean, *SEARCH)), hypotheses(beside)
    assert {row: text for row, (_, text) in found.items()} == {row: text for row, (_, text) in expected.items()}


def test_a_voice_speaks_elsewhere(tmp_path):
    raw = prepare(tmp_path / "data", "t2s")
    options = [*SIZES, *NOISE, "--text-ends", "both", "--spm-model", raw / "spm.model", "--save-dir", tmp_path / "run"]
    arguments = [raw, "--task", "speecht5_t2s", "--criterion", "speecht5_speech", "--max-tokens", 20_000]
    run("fairseq-train", *arguments, "--arch", "speecht5_small", *training(*options))
    speaking = ["--max-length-ratio", 2, "--vocoder", "none"]
    checkpoint = tmp_path / "run/checkpoint_last.pt"
    beside = [raw, "--path", checkpoint, "--spm-model", raw / "spm.model", *speaking]
    generate("t2s", *beside, "--results-path", tmp_path / "beside")
    here = move(raw, checkpoint, tmp_path / "elsewhere", "test.txt")
    output = generate("t2s", *here, *speaking, "--results-path", tmp_path / "out")
    assert "Generated test: 3 of 3 utterances" in output
    for row in range(3):
        np.testing.assert_array_equal(*(np.load(tmp_path / place / f"test/{row}.npy") for place in ("beside", "out")))


def test_speakers_are_told_apart_elsewhere(tmp_path):
    data = prepare(tmp_path / "data", "s2c")
    arguments = [data, "--task", "speecht5_s2c", "--criterion", "speecht5_s2c", "--batch-size", 4]
    options = [*SIZES, *NOISE, "--save-dir", tmp_path / "run"]
    run("fairseq-train", *arguments, "--arch", "speecht5_small", *training(*options))
    checkpoint = tmp_path / "run/checkpoint_last.pt"
    generate("s2c", data, "--path", checkpoint, "--results-path", tmp_path / "beside")
    here = move(data, checkpoint, tmp_path / "elsewhere")
    generate("s2c", *here, "--results-path", tmp_path / "out")
    tables = []
    for place in ("beside", "out"):
        with open(tmp_path / place / "test/results.tsv", encoding="utf-8", newline="") as file:
            tables.append([(row["class"], row["probability"]) for row in csv.DictReader(file, delimiter="\t")])
    assert tables[0] == tables[1] and len(tables[0]) == 3


def test_pre_training_is_validated_elsewhere(data, pretrained, tmp_path):
    """fairseq-validate reads the options of the training, whose folders are gone: symbols and units are inside."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("valid.tsv", "valid.km"):
        shutil.copy(data.pretrain / name, folder / name)
    for name in ("valid.bin", "valid.idx"):
        shutil.copy(data.text / name, folder / name)
    arguments = ["--user-dir", USER_DIR, "--task", "speecht5_pretrain", "--max-tokens", 20_000, "--cpu"]
    checkpoint = ["--path", pretrained / "checkpoint_last.pt", "--text-data", folder]
    output = run("fairseq-validate", folder, *arguments, *checkpoint, "--valid-subset", "valid", "--num-workers", 0)
    assert f"no {folder}/dict.km.txt: the 20 units are those of" in output and "infilling_loss" in output


@pytest.mark.parametrize("program", ["fairseq-train", "fairseq-generate", "python"])
def test_a_file_that_wants_to_run_something_is_refused_by_every_command(program, data, tmp_path):
    path, _ = bad_checkpoints(tmp_path)["command"]
    arguments = {
        "fairseq-train": recognition(data, "--finetune-from-model", path, "--save-dir", tmp_path / "run"),
        "fairseq-generate": [data.s2t, "--user-dir", USER_DIR, "--task", "speecht5_s2t", "--path", path, "--cpu"],
        "python": ["-m", "speecht5_fairseq.inspect", path],
    }
    last = run(program, *arguments[program], fails=True).splitlines()[-1]
    assert f"{path}: refused, and nothing in it was run: it asks for posix.system when it is loaded" in last
    assert not (tmp_path / "intruded").exists()

"""Identification and verification through fairseq's commands and ours, as a user types them."""

import csv
import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from commands import NOISE, SIZES, USER_DIR, load, run, training
from helpers import tiny_manifest, write_lines

HEAD = ["--speaker-pooling", "attentive", "--speaker-embedding-dim", 6, "--speaker-loss", "aam"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("s2c")
    for number, (split, rows) in enumerate((("train", 9), ("valid", 5), ("test", 6))):
        tiny_manifest(found, rows, job="s2c", split=split, seed=number)
    return found


def train(folder, save_dir, *options):
    arguments = [folder, "--task", "speecht5_s2c", "--criterion", "speecht5_s2c", "--batch-size", 4]
    arguments += ["--crop-samples", 5000, "--best-checkpoint-metric", "accuracy", "--maximize-best-checkpoint-metric"]
    sizes = [*SIZES, *options]
    return run("fairseq-train", *arguments, "--arch", "speecht5_small", *training(*sizes, "--save-dir", save_dir))


def generate(folder, checkpoint, *options, subset="test", fails=False):
    arguments = [folder, "--user-dir", USER_DIR, "--task", "speecht5_s2c", "--path", checkpoint, "--cpu"]
    arguments += ["--gen-subset", subset, "--batch-size", 4, "--num-workers", 0, *options]
    return run("fairseq-generate", *arguments, fails=fails)


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def identifier(folder, tmp_path_factory):
    """Checkpoints of a training with dropout; its last batches of an epoch hold one utterance."""
    found = tmp_path_factory.mktemp("identifier")
    output = train(folder, found, *HEAD, *NOISE, "--save-interval-updates", 2)
    assert '"valid_accuracy"' in output and '"train_accuracy"' in output
    return found


def test_training_resumes_bit_for_bit(folder, identifier, tmp_path):
    start = ["--restore-file", next(identifier.glob("checkpoint_*_2.pt"))]
    train(folder, tmp_path, *HEAD, *NOISE, *start, "--num-workers", 2)
    straight, resumed = (load(place / "checkpoint_last.pt")["model"] for place in (identifier, tmp_path))
    assert all((straight[name] == resumed[name]).all() for name in straight)
    assert not any(name.startswith("decoder") for name in straight)


def test_classes_and_embeddings_alone_and_in_a_batch(folder, identifier, tmp_path):
    out = tmp_path / "out"
    options = ["--results-path", out, "--save-embeddings", "--top-classes", 2]
    output = generate(folder, identifier / "checkpoint_last.pt", *options)
    summary = re.search(r"Classified test: 6 utterances, 5 classes; accuracy [\d.]+% \((\d) of 6\); written", output)
    rows = table(out / "test/results.tsv")
    assert int(summary[1]) == sum(row["correct"] == "yes" for row in rows)
    printed = (out / "generate-test.txt").read_text()  # where fairseq itself writes with --results-path
    lines = dict(re.findall(r"^D-(\d)\t\S+\t(\S+\.wav: .*)$", printed, re.MULTILINE))
    assert all(lines[row["id"]].startswith(f"{row['path']}: {row['classes']}") for row in rows) and len(lines) == 6
    options[1] = tmp_path / "alone"
    generate(folder, identifier / "checkpoint_last.pt", *options, "--batch-size", 1)
    for row, alone in zip(rows, table(tmp_path / "alone/test/results.tsv"), strict=True):
        assert row["class"] == alone["class"]
        assert float(row["probability"]) == pytest.approx(float(alone["probability"]), abs=1e-4)
        vectors = (np.load(place / "test" / row["embedding"]) for place in (out, tmp_path / "alone"))
        np.testing.assert_allclose(*vectors, atol=1e-4)
    names = [row["path"] for row in rows]
    pairs = itertools.combinations(range(6), 2)
    trials = write_lines(tmp_path / "trials.txt", [f"{int(a % 5 == b % 5)} {names[a]} {names[b]}" for a, b in pairs])
    command = [sys.executable, "-m", "speecht5_fairseq.scoring.verification", "--trials", trials]
    done = subprocess.run([*command, "--embeddings", out / "test"], capture_output=True, text=True, cwd=USER_DIR.parent)
    assert done.returncode == 0 and re.search(r"EER\s+[\d.]+%\s+50%", done.stdout), done.stderr
    assert "15 trials of 6 utterances: 1 of one speaker, 14 of two" in done.stdout


def test_validation_gives_the_same_accuracy(folder, identifier, tmp_path):
    checkpoint = identifier / "checkpoint_last.pt"
    generate(folder, checkpoint, "--results-path", tmp_path, subset="valid")
    rows = table(tmp_path / "valid/results.tsv")
    arguments = [folder, "--user-dir", USER_DIR, "--task", "speecht5_s2c", "--path", checkpoint, "--cpu"]
    arguments += ["--valid-subset", "valid", "--batch-size", 2, "--num-workers", 0, "--log-format", "json"]
    output = run("fairseq-validate", *arguments)
    accuracy = float(re.search(r'"valid_accuracy": "([\d.]+)"', output)[1])
    assert accuracy == pytest.approx(100 * sum(row["correct"] == "yes" for row in rows) / 5, abs=0.01)


def test_speech_of_unknown_speakers(folder, identifier, tmp_path):
    (tmp_path / "dict.txt").write_bytes((folder / "dict.txt").read_bytes())
    lines = (folder / "test.tsv").read_text().splitlines()
    write_lines(tmp_path / "new.tsv", [lines[0], *(line.rpartition("\t")[0] for line in lines[1:])])
    output = generate(tmp_path, identifier / "checkpoint_last.pt", "--unlabelled", subset="new")
    assert "Classified new: 6 utterances, 5 classes\n" in output


def test_another_dictionary_does_not_pass(folder, identifier, tmp_path):
    for name in ("test.tsv", "dict.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "dict.txt").open("a").write("fred 1\n")
    output = generate(tmp_path, identifier / "checkpoint_last.pt", fails=True)
    assert "6 classes here, 5 in" in output and "fred on one side only" in output


def test_published_head_from_pre_training(folder, pretrained, tmp_path):
    """The decoder's step and plain softmax, from a checkpoint of pre-training."""
    start = ["--finetune-from-model", pretrained / "checkpoint_last.pt", "--max-update", 2, "--mask-prob", 0]
    output = train(folder, tmp_path, *start)
    assert "new, not from the checkpoint (initial values): speaker_head, classes" in output
    output = generate(folder, tmp_path / "checkpoint_last.pt")
    assert "Classified test: 6" in output and len(re.findall(r"^H-\d\t\S+\t\d.wav: ", output, re.MULTILINE)) == 6

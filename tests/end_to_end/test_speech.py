"""Synthesis, conversion and enhancement through fairseq-train and fairseq-generate, as a user types them."""

import csv

import numpy as np
import pytest
import soundfile
from commands import NOISE, SIZES, USER_DIR, load, run, training
from helpers import tiny_manifest

JOBS = {"t2s": "t2s", "s2s": "s2s-aligned"}  # job -> kind of manifest; enhancement's pairs have one length


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Job -> folder with train, valid and test."""
    found = {}
    for job, kind in JOBS.items():
        found[job] = tmp_path_factory.mktemp(job)
        for number, (split, rows) in enumerate((("train", 6), ("valid", 2), ("test", 3))):
            tiny_manifest(found[job], rows, job=kind, split=split, seed=number)
    return found


def train(job, folder, save_dir, *options):
    arguments = [folder, "--task", f"speecht5_{job}", "--criterion", "speecht5_speech", "--max-tokens", 20_000]
    sizes = [*SIZES, *options]
    return run("fairseq-train", *arguments, "--arch", "speecht5_small", *training(*sizes, "--save-dir", save_dir))


def generate(job, folder, checkpoint, out, *options, fails=False):
    arguments = [folder, "--user-dir", USER_DIR, "--task", f"speecht5_{job}", "--path", checkpoint, "--cpu"]
    arguments += ["--gen-subset", "test", "--max-tokens", 100_000, "--num-workers", 0, "--results-path", out]
    arguments += ["--max-length-ratio", 2, "--vocoder", "griffin-lim:4", *options]
    return run("fairseq-generate", *arguments, fails=fails)


def table(out):
    with open(out / "test/results.tsv", encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file, delimiter="\t")}


@pytest.fixture(scope="module")
def synthesiser(folders, tmp_path_factory):
    """Checkpoints of a training with dropout and layerdrop; the encoder learns from the third update on."""
    folder = tmp_path_factory.mktemp("synthesiser")
    options = [*NOISE, "--text-ends", "eos", "--freeze-encoder-updates", 2, "--save-interval-updates", 2]
    train("t2s", folders["t2s"], folder, *options)
    return folder


def test_training_resumes_bit_for_bit(folders, synthesiser, tmp_path):
    start = ["--restore-file", synthesiser / "checkpoint_1_2.pt", "--freeze-encoder-updates", 2]
    train("t2s", folders["t2s"], tmp_path, *NOISE, *start, "--text-ends", "eos", "--num-workers", 2)
    straight, resumed = (load(folder / "checkpoint_last.pt")["model"] for folder in (synthesiser, tmp_path))
    assert all((straight[name] == resumed[name]).all() for name in straight)


def test_synthesis_alone_and_in_a_batch(folders, synthesiser, tmp_path):
    checkpoint = synthesiser / "checkpoint_last.pt"
    output = generate("t2s", folders["t2s"], checkpoint, tmp_path / "batched")
    assert "Generated test: 3 of 3 utterances" in output and "real-time factor" in output
    generate("t2s", folders["t2s"], checkpoint, tmp_path / "alone", "--batch-size", 1)
    rows = table(tmp_path / "batched")
    assert list(rows) == ["0", "1", "2"] and all(row["status"] == "ok" for row in rows.values())
    for name, row in rows.items():
        batched, alone = (np.load(tmp_path / folder / "test" / row["mel"]) for folder in ("batched", "alone"))
        np.testing.assert_allclose(batched, alone, atol=1e-4)
        wave, rate = soundfile.read(tmp_path / "batched/test" / row["wav"])
        assert rate == 16_000 and len(batched) == int(row["frames"]) and abs(wave).max() > 0
        assert row["text"] and row["reference"].endswith(f"audio_test/{name}.wav")


def test_generation_goes_on_and_tells_of_failures_by_its_status(folders, synthesiser, tmp_path):
    checkpoint, folder = synthesiser / "checkpoint_last.pt", tmp_path / "data"
    folder.mkdir()
    for path in folders["t2s"].glob("*.t*t"):
        (folder / path.name).write_bytes(path.read_bytes())
    root = folders["t2s"] / "audio_test"
    lines = (folders["t2s"] / "test.tsv").read_text().splitlines()[1:]
    spoilt = [*lines[:2], lines[2].replace("2.wav.npy", "gone.npy")]
    (folder / "test.tsv").write_text("\n".join([str(root), *spoilt]) + "\n")
    output = generate("t2s", folder, checkpoint, tmp_path / "out", fails=True)
    assert "1 failed: 2" in output and "1 utterances failed; the column status of" in output.splitlines()[-1]
    assert [row["status"] == "ok" for row in table(tmp_path / "out").values()] == [True, True, False]
    (folder / "test.tsv").write_text("\n".join([str(root), *lines]) + "\n")
    output = generate("t2s", folder, checkpoint, tmp_path / "out")
    assert "2 of 3 utterances are there already" in output and "Generated test: 3 of 3" in output


def test_conversion_then_enhancement_from_it(folders, tmp_path):
    """A model of two frames a step is fine-tuned to predict a mask, one frame a step."""
    train("s2s", folders["s2s"], tmp_path / "two", "--max-update", 2)
    generate("s2s", folders["s2s"], tmp_path / "two/checkpoint_last.pt", tmp_path / "converted")
    mask = ["--reduction-factor", 1, "--speech-prediction", "mask", "--max-update", 2]
    start = ["--finetune-from-model", tmp_path / "two/checkpoint_last.pt"]
    output = train("s2s", folders["s2s"], tmp_path / "mask", *mask, *start)
    assert "--reduction-factor is another in the checkpoint, so these are new (initial values): speech" in output
    generate("s2s", folders["s2s"], tmp_path / "mask/checkpoint_last.pt", tmp_path / "enhanced")
    alone = ["--batch-size", 1, "--vocoder", "source"]
    generate("s2s", folders["s2s"], tmp_path / "mask/checkpoint_last.pt", tmp_path / "alone", *alone)
    for name, row in table(tmp_path / "enhanced").items():
        batched, single = (np.load(tmp_path / kind / f"test/{name}.npy") for kind in ("enhanced", "alone"))
        np.testing.assert_allclose(batched, single, atol=1e-4)
        samples = soundfile.info(row["source"]).frames
        assert int(row["frames"]) == 1 + samples // 256 and row["hit_limit"] == "no"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--lenpen", 2], "--lenpen .now 2.0. has no effect in speech decoding"),
        (["--vocoder", "nowhere"], "no vocoder 'nowhere'"),
        (["--num-shards", 2], "--num-shards 2 has no effect in fairseq-generate"),
        (["--stop-threshold", 0], "--stop-threshold 0.0: give a number above 0"),
    ],
)
def test_options_that_cannot_be(folders, synthesiser, tmp_path, options, message):
    output = generate("t2s", folders["t2s"], synthesiser / "checkpoint_last.pt", tmp_path, *options, fails=True)
    assert message.replace(".now 2.0.", "(now 2.0)") in output

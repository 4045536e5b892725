"""The vocoder recipe on tiny data: it trains, resumes exactly, and what it exports is loaded."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from speecht5_fairseq.data.audio import read_audio, write_audio
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.data.manifest import write_manifest
from speecht5_fairseq.data.mel import log_mel
from speecht5_fairseq.generation.vocoder import load_vocoder

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "vocoder"
SAMPLES = (3000, 5000, 9001)


@pytest.fixture
def data(tmp_path):
    """train.tsv and valid.tsv of noisy tones; the rows have one column more, as other jobs' manifests do."""
    rng = np.random.default_rng(0)
    for split in ("train", "valid"):
        rows = []
        for samples in SAMPLES:
            wave = 0.3 * np.sin(np.arange(samples) * 0.1) + 0.05 * rng.standard_normal(samples)
            write_audio(tmp_path / split / f"{samples}.wav", wave.astype(np.float32))
            rows.append((f"{samples}.wav", samples, "speaker.npy"))
        write_manifest(tmp_path / f"{split}.tsv", tmp_path / split, rows)
    return tmp_path


@pytest.fixture
def run(monkeypatch):
    """Run a script of the folder with these arguments; returns its globals."""
    monkeypatch.syspath_prepend(FOLDER)

    def start(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        return runpy.run_path(str(FOLDER / script), run_name="__main__")

    return start


def training(data, out, updates, *more):
    small = ["--batch-size", 2, "--segment-frames", 12, "--adversarial-from", 1, "--held-out", 2]
    return ["train.py", "--data", data, "--out", out, "--updates", updates, *small, *more]


def flat(value, name=""):
    """Every leaf of a checkpoint by its place."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        return {name: value}
    return {key: leaf for part, inner in items for key, leaf in flat(inner, f"{name}.{part}").items()}


def same(first, second):
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


def test_it_trains_exports_and_resumes_exactly(data, run, tmp_path, capsys):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    run(*training(data, straight, 3))
    printed = capsys.readouterr().out
    assert "1 of 3 recordings are shorter than a segment" in printed
    for part in ("update 0: held-out mel L1", "update 3: mel ", "feature", "update 3: held-out mel L1"):
        assert part in printed
    run(*training(data, stopped, 1))
    run(*training(data, stopped, 3))
    assert "going on at update 1" in capsys.readouterr().out
    first, second = (flat(torch.load(out / "checkpoint.pt", weights_only=True)) for out in (straight, stopped))
    assert first.keys() == second.keys()
    assert [name for name in first if not same(first[name], second[name])] == []
    mel = log_mel(torch.from_numpy(read_audio(data / "valid" / "5000.wav")))
    assert load_vocoder(str(straight / "vocoder"))(mel).shape == (len(mel) * 256,)
    assert sorted(file.name for file in straight.iterdir()) == ["checkpoint.pt", "vocoder"]
    with pytest.raises(SystemExit, match="checkpoint.pt was made with --seed 1: give the same again"):
        run(*training(data, straight, 4, "--seed", 2))


def test_a_segment_has_the_mel_of_its_recording(data, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    from segments import Segments

    segments = Segments(data / "train.tsv", frames=8, seed=1)
    for row, samples in enumerate(SAMPLES):
        wave = torch.from_numpy(read_audio(data / "train" / f"{samples}.wav"))
        whole = log_mel(wave)
        for start in range(int(segments.starts[row])):
            mel, part = segments.segment(row, start)
            assert torch.equal(part, wave[start * 256 : (start + 8) * 256]) and len(part) == 8 * 256
            assert torch.allclose(mel, whole[start : start + 8], atol=1e-4)
    mels, waves = segments.batch(5, 3)
    assert mels.shape == (3, 8, 80) and waves.shape == (3, 8 * 256)
    assert torch.equal(Segments(data / "train.tsv", frames=8, seed=1).batch(5, 3)[1], waves)
    assert not torch.equal(segments.batch(6, 3)[1], waves)
    with pytest.raises(DataError, match="--segment-frames 99"):
        Segments(data / "train.tsv", frames=99, seed=1)


def test_the_discriminators_tell_apart_and_their_losses_are_least_squares(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import discriminators as module

    nets = module.Discriminators(period_width=2, scale_width=8)
    wave, made = torch.randn(2, 3000), torch.randn(2, 3000, requires_grad=True)
    real, judged = nets(wave), nets(made)
    assert len(real) == 8 and all(judgement.scores.dim() == 2 for judgement in real)
    assert module.feature_loss(real, real) == 0
    expected = sum(((j.scores - 1) ** 2).mean() for j in judged)
    assert torch.allclose(module.adversarial_loss(judged), expected)
    zero = [j._replace(scores=torch.zeros(2, 5)) for j in judged]
    one = [j._replace(scores=torch.ones(2, 5)) for j in judged]
    assert module.discriminator_loss(one, zero) == 0 and module.discriminator_loss(zero, one) == 16
    module.feature_loss(real, judged).backward()
    assert made.grad.abs().max() > 0


def test_resynthesis_prints_the_distance(data, run, tmp_path, capsys):
    run("resynthesise.py", "--manifest", data / "valid.tsv", "--vocoder", "griffin-lim:4", "--out", tmp_path / "copies")
    assert "3 recordings: mel L1 0." in capsys.readouterr().out
    assert len(read_audio(tmp_path / "copies" / "9001.wav")) == 9001

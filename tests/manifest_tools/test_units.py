"""Units: frame counts, one model for all splits, nothing done twice."""

import hashlib
import json
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from checkpoints import tiny_checkpoint
from helpers import write_lines, write_speech
from torch import nn

from manifest_tools import parallel, unit_clusters, units
from manifest_tools.features import MFCC_DIM, mfcc
from manifest_tools.unit_clusters import Fitting, fit_kmeans, nearest
from manifest_tools.units import prepare_units, size_summary
from speecht5_fairseq.constants import CONV_LAYERS
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.dictionary import unit_count
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.data.labels import UnitLabels
from speecht5_fairseq.data.manifest import write_manifest
from speecht5_fairseq.data.unit_record import described

LENGTHS = [400, 401, 719, 720, 721, 1039, 1040, 1600, 4999, 16000, 16001, 16079, 16080, 16081, 23456]


@pytest.fixture
def data(tmp_path):
    for split, count, seed in (("train", 6, 0), ("valid", 3, 1)):
        write_manifest(tmp_path / f"{split}.tsv", split, write_speech(tmp_path / split, count, seed=seed))
    return tmp_path


@pytest.mark.parametrize("samples", LENGTHS)
def test_one_frame_for_each_encoder_frame(samples):
    encoder = nn.Sequential(*(nn.Conv1d(1, 1, kernel, stride) for _, kernel, stride in CONV_LAYERS))
    with torch.no_grad():
        frames = encoder(torch.zeros(1, 1, samples)).size(-1)
    features = mfcc(np.random.default_rng(0).standard_normal(samples).astype(np.float32) * 0.1)
    assert features.shape == (frames, MFCC_DIM) == ((samples - 400) // 320 + 1, 39)
    assert features.dtype == np.float32 and np.isfinite(features).all()


def test_frame_sees_what_the_encoder_frame_sees():
    wave = np.random.default_rng(0).standard_normal(6400).astype(np.float32) * 0.1
    other = wave.copy()
    other[:3200] = 0.1 * np.random.default_rng(1).standard_normal(3200)
    kept, changed = (torch.from_numpy(mfcc(x)[:, :13]) for x in (wave, other))
    difference = (kept - changed) - (kept - changed)[-1]  # less what the mean over the utterance moves
    assert difference[10:].abs().max() < 1e-3 < difference[9].abs().max()  # frame 10 starts at sample 3200


def test_mfcc_does_not_hear_the_gain_and_needs_a_window():
    wave = np.random.default_rng(0).standard_normal(8000).astype(np.float32) * 0.1
    assert np.abs(mfcc(wave) - mfcc(0.25 * wave)).max() < 1e-2
    assert np.abs(mfcc(wave)[:, :13].mean(axis=0)).max() < 1e-3
    assert np.array_equal(mfcc(wave), mfcc(wave))
    with pytest.raises(ValueError, match="399 samples make no frame"):
        mfcc(wave[:399])


def test_nearest_is_the_models_own_choice():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((500, 39)).astype(np.float32)
    model = fit_kmeans(features, 16, seed=1)
    assert np.array_equal(nearest(features, model.cluster_centers_.astype(np.float32)), model.predict(features))
    with pytest.raises(ValueError, match="15 frames cannot make 16 clusters"):
        fit_kmeans(features[:15], 16, seed=1)


def test_labels_load_with_one_model_for_all_splits(data):
    sizes = prepare_units(data, ("train", "valid"), fitting=Fitting(clusters=8))
    assert (data / "dict.km.txt").read_text() == "".join(f"{unit} 1\n" for unit in range(8))
    for split in ("train", "valid"):
        labels = UnitLabels.open(data, split)
        assert unit_count(labels.dictionary) == 8
        expected = [
            (int(line.split("\t")[1]) - 400) // 320 + 1 for line in (data / f"{split}.tsv").read_text().splitlines()[1:]
        ]
        assert [len(labels.classes(i)) for i in range(len(labels))] == expected
        assert sizes[split].sum() == sum(expected)
    record = json.loads((data / "units.json").read_text())
    assert record["settings"]["clusters"] == 8 and record["settings"]["rate"] == 50
    assert joblib.load(data / "kmeans.joblib").cluster_centers_.shape == (8, 39)
    assert "8/8" in size_summary(sizes)


def test_again_does_only_what_is_missing(data, monkeypatch):
    prepare_units(data, ("train",), fitting=Fitting(clusters=8))
    before = (data / "train.km").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(unit_clusters, "fit_kmeans", None)  # calling it would fail
        prepare_units(data, ("train", "valid"), fitting=Fitting(clusters=8))
    assert (data / "train.km").stat().st_mtime_ns == before
    text = (data / "train.tsv").read_text().splitlines()
    write_lines(data / "train.tsv", [text[0], *(f"{row}\tspeaker.npy" for row in text[1:])])
    prepare_units(data, ("train", "valid"), fitting=Fitting(clusters=8))  # another column is no reason
    assert (data / "train.km").stat().st_mtime_ns == before
    prepare_units(data, ("train", "valid"), fitting=Fitting(clusters=9))
    assert (data / "train.km").stat().st_mtime_ns != before
    assert (data / "dict.km.txt").read_text().endswith("8 1\n")


def test_the_same_every_time_and_over_processes(data, monkeypatch):
    monkeypatch.setattr("manifest_tools.parallel.SMALL_WORK", 0)
    prepare_units(data, ("train",), fitting=Fitting(clusters=8), out=data / "a", n_jobs=1)
    prepare_units(data, ("train",), fitting=Fitting(clusters=8), out=data / "b", n_jobs=2)
    for name in ("train.km", "units.json", "dict.km.txt"):
        assert (data / "a" / name).read_text() == (data / "b" / name).read_text()


def test_labels_with_a_given_model(data):
    prepare_units(data, ("train", "valid"), fitting=Fitting(clusters=8))
    sizes = prepare_units(data, ("valid",), out=data / "other", model=data / "kmeans.joblib")
    assert (data / "other/valid.km").read_text() == (data / "valid.km").read_text()
    assert len(sizes["valid"]) == 8
    with pytest.raises(ValueError, match="--model labels with clusters that exist: leave --fit"):
        prepare_units(data, model=data / "kmeans.joblib", fitting=Fitting())
    with pytest.raises(ValueError, match="--model .* was fitted on mfcc, and the extr.* .*:positions, source .*; name"):
        prepare_units(data, model=data / "kmeans.joblib", extractor=f"{__name__}:positions", out=data / "third")
    (data / "alone").mkdir()
    (data / "kmeans.joblib").rename(data / "alone/kmeans.joblib")  # without its record
    with pytest.raises(ValueError, match="--model was fitted on 39 numbers a frame"):
        prepare_units(data, model=data / "alone/kmeans.joblib", extractor=f"{__name__}:positions", out=data / "third")


def test_a_given_model_keeps_what_is_known_of_it_and_what_is_done(data):
    prepare_units(data, ("train",), fitting=Fitting(clusters=8))
    prepare_units(data, ("valid",), model=data / "kmeans.joblib")
    record = json.loads((data / "units.json").read_text())
    assert set(record["splits"]) == {"train", "valid"} and record["settings"]["seed"] == 1
    prepare_units(data, ("train",), model=data / "kmeans.joblib", out=data / "other")
    other = json.loads((data / "other/units.json").read_text())
    assert other["settings"] == record["settings"] and other["splits"]["train"] == record["splits"]["train"]
    assert other["model"] == record["model"]


def test_the_record_tells_what_the_units_were_made_of(data):
    file = tiny_checkpoint(data / "model.pt", "s2t")
    options = {"extractor": "speecht5", "checkpoint": file, "layer": 2, "fitting": Fitting(clusters=8)}
    prepare_units(data, **options)
    record = json.loads((data / "units.json").read_text())
    assert record["settings"]["features"] == "speecht5" and record["settings"]["layer"] == 2
    assert record["settings"]["checkpoint"] == hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    assert record["checkpoint_file"] == "model.pt" and (record["clusters"], record["dim"]) == (8, 24)
    assert {"torch", "torchaudio", "scikit-learn", "numpy"} <= set(record["versions"])
    assert described(record["settings"]).startswith("speecht5, layer 2, checkpoint ")
    before = (data / "train.km").stat().st_mtime_ns
    moved = file.rename(data / "renamed.pt")
    prepare_units(data, **{**options, "checkpoint": moved})
    assert (data / "train.km").stat().st_mtime_ns == before
    prepare_units(data, **{**options, "checkpoint": moved, "layer": 1})
    assert (data / "train.km").stat().st_mtime_ns != before


def test_a_reason_for_fitting_again_is_told(data, caplog):
    prepare_units(data, (), fitting=Fitting(clusters=8))
    with caplog.at_level("INFO"):
        prepare_units(data, (), fitting=Fitting(clusters=9))
    assert "kmeans.joblib: clusters 8 there, 9 here" in caplog.text


def test_features_to_fit_on_leave_no_file_behind(data, monkeypatch):
    """Not even where the process is killed: they have no name while they are made and used."""
    seen = []

    def heard(utterance, extractor):
        seen.append(list(data.glob(".features.*")))
        return found(utterance, extractor)

    def fit(features, clusters, seed):
        seen.append(features)
        raise ValueError("stopped")

    found = unit_clusters.features_of
    monkeypatch.setattr(unit_clusters, "features_of", heard)
    monkeypatch.setattr(unit_clusters, "fit_kmeans", fit)
    with pytest.raises(ValueError, match="^stopped$"):
        prepare_units(data, fitting=Fitting(clusters=8))
    *named, features = seen
    assert isinstance(features, np.memmap) and named == [[]] * 6
    rows = [row.split("\t") for row in (data / "train.tsv").read_text().splitlines()[1:]]
    expected = np.concatenate([mfcc(read_audio(data / "train" / name)) for name, _ in rows])
    assert sorted(map(bytes, features)) == sorted(map(bytes, expected))


def test_clusters_that_were_not_found_cost_no_labels(data, monkeypatch):
    def fit(features, clusters, seed):
        raise ValueError("stopped")

    prepare_units(data, fitting=Fitting(clusters=8))
    record = (data / "units.json").read_bytes()
    monkeypatch.setattr(unit_clusters, "fit_kmeans", fit)
    with pytest.raises(ValueError, match="^stopped$"):
        prepare_units(data, fitting=Fitting(clusters=9))
    assert (data / "units.json").read_bytes() == record
    monkeypatch.setattr(units, "_label_rows", None)  # calling it would fail
    prepare_units(data, fitting=Fitting(clusters=8))


def test_fit_hours_bound_what_is_fitted_on(data, caplog):
    caplog.set_level("INFO")
    prepare_units(data, ("valid",), fitting=Fitting(clusters=4, hours=1.0 / 3600))
    assert "of 6 utterances (--fit-hours" in caplog.text


@pytest.mark.parametrize(
    ("options", "jobs"),
    [([], 7), (["--device", "cpu"], 7), (["--device", "cuda:1"], 1), (["--device", "cuda", "--jobs", "3"], 3)],
)
def test_a_gpu_has_one_process_unless_it_is_asked_for_more(monkeypatch, options, jobs):
    seen = []
    monkeypatch.setattr(parallel, "default_jobs", lambda: 7)
    monkeypatch.setattr(units, "prepare_units", lambda *args, n_jobs, **rest: seen.append(n_jobs))
    units.main(["--data", "data", "--extractor", "speecht5", "--checkpoint", "x.pt", "--layer", "6", *options])
    assert seen == [jobs]


def half_rate(wave):
    return np.zeros((len(wave) // 640, 4))


def positions(wave):
    return np.linspace(0, 1, (len(wave) - 400) // 320 + 1)[:, None]


def test_features_are_pluggable_and_checked(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_features", sys.modules[__name__])
    prepare_units(data, ("valid",), fitting=Fitting(clusters=3), extractor="my_features:positions", out=data / "three")
    labels = UnitLabels.open(data / "three", "valid")
    assert len(set(labels.classes(0))) == 3 and (np.diff(labels.classes(0)) != 0).sum() == 2
    with pytest.raises(
        ValueError, match=r"train.tsv:2: extractor my_features:half_rate gave shape .* 50 frames a second"
    ):
        prepare_units(
            data, ("valid",), fitting=Fitting(clusters=3), extractor="my_features:half_rate", out=data / "half"
        )


def test_bad_rows_are_named(data):
    rows = (data / "train.tsv").read_text().splitlines()
    write_lines(data / "train.tsv", [*rows[:2], rows[2].split("\t")[0] + "\t399"])
    with pytest.raises(DataError, match="train.tsv:3: 399 samples make no unit"):
        prepare_units(data, fitting=Fitting(clusters=4))
    write_lines(data / "train.tsv", [*rows[:2], rows[2].split("\t")[0] + "\t5000"])
    with pytest.raises(ValueError, match="train.tsv:3: .* the manifest says 5000"):
        prepare_units(data, fitting=Fitting(clusters=4))


def test_command_line(data):
    command = [sys.executable, "-m", "manifest_tools.units", "--data", str(data), "--clusters", "4", "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "clusters used" in done.stdout, done.stderr
    done = subprocess.run([*command, "--splits", "absent"], capture_output=True, text=True)
    assert done.returncode == 1 and "absent.tsv" in done.stderr and "Traceback" not in done.stderr


def test_the_command_labels_over_processes(tmp_path):
    """`python -m` makes the tool's module __main__, which is another one in the processes that label."""
    rows = write_speech(tmp_path / "train", parallel.SMALL_WORK, samples=[800] * parallel.SMALL_WORK)
    write_manifest(tmp_path / "train.tsv", "train", rows)
    command = [sys.executable, "-m", "manifest_tools.units", "--data", str(tmp_path), "--clusters", "4"]
    done = subprocess.run([*command, "--splits", "train", "--jobs", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "train.km").read_text().count("\n") == len(rows)


DAMAGED = ("", "{", "[]", '{"settings": {}}', "[" * 100_000, '{"settings": 1, "model": 2, "splits": 3}')


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_record_is_named(data, content):
    prepare_units(data, ["train"], fitting=Fitting(clusters=3))
    (data / "units.json").write_text(content)
    with pytest.raises(ValueError, match="units.json: no record of units .*; delete it, and the units are made again"):
        prepare_units(data, ["train"], fitting=Fitting(clusters=3))

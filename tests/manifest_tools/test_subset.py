"""Nested subsets of a manifest, by minutes of a seeded shuffle."""

import numpy as np
import pytest
from helpers import tiny_manifest, write_lines

from manifest_tools.subset import choose_rows, main, subset_manifest
from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.labels import UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest

SECONDS = (0.6, 0.9, 0.4, 1.2, 0.5, 0.8, 0.7, 1.1, 0.6, 0.5)  # 7.3 s


def open_rows(path):
    return Manifest.open(path, JOB_COLUMNS["pretrain"])


@pytest.fixture
def data(tmp_path):
    """A manifest of SECONDS with units and, made up for the test, a text that names each row."""
    folder = tmp_path / "data"
    manifest = tiny_manifest(folder, len(SECONDS), job="pretrain", samples=[int(s * SAMPLE_RATE) for s in SECONDS])
    write_lines(folder / "train.txt", [f"row {number}" for number in range(len(SECONDS))])
    write_lines(folder / "dict.txt", ["a 1"])
    return manifest


def test_more_minutes_hold_the_rows_of_fewer(data):
    manifest = open_rows(data)
    chosen = [choose_rows(manifest, seconds / 60, seed=1).tolist() for seconds in (1, 3, 5, 7.3)]
    for fewer, more in zip(chosen, chosen[1:], strict=False):
        assert set(fewer) < set(more)
    assert chosen[-1] == list(range(len(SECONDS)))
    for seconds, rows in zip((1, 3, 5), chosen, strict=False):
        total = manifest.samples[rows].sum() / SAMPLE_RATE
        assert seconds <= total < seconds + max(SECONDS) and rows == sorted(rows)
    drawn = {tuple(choose_rows(manifest, 3 / 60, seed=seed)) for seed in range(5)}
    assert len(drawn) > 1 and tuple(chosen[1]) in drawn


def test_a_row_keeps_its_place_whatever_stands_around_it(data, tmp_path):
    manifest = open_rows(data)
    whole = choose_rows(manifest, 3 / 60)
    rows = [list(manifest.row(index).values()) for index in range(len(manifest))]
    write_manifest(tmp_path / "turned.tsv", manifest.root, rows[::-1])
    turned = choose_rows(open_rows(tmp_path / "turned.tsv"), 3 / 60)
    assert sorted(len(rows) - 1 - turned) == whole.tolist()
    write_manifest(tmp_path / "fewer.tsv", manifest.root, [rows[index] for index in whole])
    fewer = choose_rows(open_rows(tmp_path / "fewer.tsv"), 1 / 60)  # the rows around them have gone, they stay first
    assert whole[fewer].tolist() == choose_rows(manifest, 1 / 60).tolist()


def test_labels_go_along_and_the_audio_is_found(data, tmp_path):
    size = subset_manifest(data, tmp_path / "elsewhere/few.tsv", minutes=3 / 60)
    manifest, old = open_rows(tmp_path / "elsewhere/few.tsv"), open_rows(data)
    rows = choose_rows(old, 3 / 60)
    assert size[:3] == ("few", len(rows), old.samples[rows].sum()) and len(manifest) == len(rows)
    assert [manifest.path(i).resolve() for i in range(len(rows))] == [old.path(i).resolve() for i in rows.tolist()]
    assert manifest.has("speaker")
    assert (tmp_path / "elsewhere/few.txt").read_text() == "".join(f"row {index}\n" for index in rows)
    assert (tmp_path / "elsewhere/dict.txt").read_text() == "a 1\n"
    report = verify(manifest, units=UnitLabels.open(tmp_path / "elsewhere", "few"), progress=False)
    assert report.total_problems == 0


def test_classes_bring_their_dictionary(tmp_path):
    manifest = tiny_manifest(tmp_path / "data", 5, job="s2c", samples=[SAMPLE_RATE] * 5)
    subset_manifest(manifest, tmp_path / "elsewhere/few.tsv", minutes=2 / 60, job="s2c")
    assert (tmp_path / "elsewhere/dict.txt").read_text() == (tmp_path / "data/dict.txt").read_text()
    labels = [row["label"] for row in map(Manifest.open(manifest, JOB_COLUMNS["s2c"]).row, range(5))]
    few = Manifest.open(tmp_path / "elsewhere/few.tsv", JOB_COLUMNS["s2c"])
    assert [few.row(index)["label"] for index in range(2)] == [
        labels[row] for row in choose_rows(Manifest.open(manifest, JOB_COLUMNS["s2c"]), 2 / 60).tolist()
    ]


def test_a_relative_root_stays_right(data, tmp_path):
    manifest = open_rows(data)
    rows = [list(manifest.row(index).values()) for index in range(len(manifest))]
    write_manifest(data, "audio_train", rows)
    for out in (data.with_name("few.tsv"), tmp_path / "other/deep/few.tsv"):
        subset_manifest(data, out, minutes=2 / 60)
        assert verify(open_rows(out), progress=False).total_problems == 0 and not out.read_text().startswith("/")


def test_run_again_it_leaves_what_is_there(data):
    out = data.with_name("few.tsv")
    subset_manifest(data, out, minutes=2 / 60)
    before = {file: file.stat().st_mtime_ns for file in data.parent.glob("few.*")}
    assert len(before) == 3
    subset_manifest(data, out, minutes=2 / 60)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    subset_manifest(data, out, minutes=4 / 60)
    assert all(file.stat().st_mtime_ns > time for file, time in before.items())


def test_long_rows_can_be_left_aside(data):
    manifest = open_rows(data)
    rows = choose_rows(manifest, 4 / 60, max_samples=int(0.8 * SAMPLE_RATE))
    assert manifest.samples[rows].max() <= 0.8 * SAMPLE_RATE and manifest.samples.max() > 0.8 * SAMPLE_RATE
    assert np.array_equal(choose_rows(manifest, 4 / 60, max_samples=10**9), choose_rows(manifest, 4 / 60))


def test_mistakes_are_named(data):
    out = data.with_name("few.tsv")
    with pytest.raises(ValueError, match=r"train.tsv: its rows are 0.12 minutes, --minutes is 5; ask for fewer$"):
        subset_manifest(data, out, minutes=5)
    with pytest.raises(ValueError, match=r"of at most 9000 samples are 0.02 minutes.*or raise --max-samples"):
        subset_manifest(data, out, minutes=0.05, max_samples=9000)
    with pytest.raises(ValueError, match="at most 10 samples are 0.00 minutes"):
        subset_manifest(data, out, minutes=0.05, max_samples=10)
    for minutes in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="--minutes .*: ask for some speech"):
            subset_manifest(data, out, minutes=minutes)
    for wrong in (data, data.with_name("few.txt")):
        with pytest.raises(ValueError, match="name another file than --manifest that ends in .tsv"):
            subset_manifest(data, wrong, minutes=0.05)
    write_lines(data.with_suffix(".txt"), ["one line"])
    with pytest.raises(ValueError, match="train.txt has 1 lines, .*train.tsv 10 rows; make it again"):
        subset_manifest(data, out, minutes=0.05)
    assert not list(data.parent.glob("few.*"))


def test_the_command_line(data, capsys):
    out = data.with_name("few.tsv")
    main(["--manifest", str(data), "--minutes", "0.05", "--seed", "3", "--out", str(out)])
    assert "few" in capsys.readouterr().out
    assert len(open_rows(out)) == len(choose_rows(open_rows(data), 0.05, seed=3))

"""Identification data out of folders of one voice each, and the trials of their recordings."""

import itertools

import pytest
from helpers import tiny_manifest, write_lines

from manifest_tools.check import check_data
from manifest_tools.classes import draw_trials, write_class_dictionary
from manifest_tools.speakers import main, parse_voices, prepare_speakers
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.scoring.trials import read_trials

ROWS = {"train": 3, "valid": 2, "test": 3}


@pytest.fixture
def voices(tmp_path):
    """Four folders of manifests."""
    found = {}
    for number, name in enumerate(("anna", "ben", "carl", "dora")):
        found[name] = tmp_path / "voices" / name
        for split, rows in ROWS.items():
            found[name].mkdir(parents=True, exist_ok=True)
            tiny_manifest(found[name], rows, split=split, seed=10 * number + rows)
    return found


def rows_of(path):
    manifest = Manifest.open(path, JOB_COLUMNS["s2c"])
    return [tuple(manifest.row(index).values()) for index in range(len(manifest))], manifest


def test_splits_classes_and_trials(voices, tmp_path):
    out = tmp_path / "out"
    seen, unseen = ({name: voices[name] for name in names} for names in (("ben", "anna"), ("carl", "dora")))
    sizes = prepare_speakers(seen, out, unseen=unseen, trials=4)
    assert [(size.split, size.rows) for size in sizes] == [("train", 6), ("valid", 4), ("test", 6), ("unseen", 6)]
    assert (out / "dict.txt").read_text() == "anna 3\nben 3\n"
    rows, manifest = rows_of(out / "test.tsv")
    assert [row[::2] for row in rows[2:4]] == [("ben/audio_test/2.wav", "ben"), ("anna/audio_test/0.wav", "anna")]
    assert manifest.lines[0] == "../voices" and not check_data("s2c", out, progress=False).errors
    rows, manifest = rows_of(out / "unseen.tsv")
    assert {len(row) for row in rows} == {2} and rows[0][0] == "carl/audio_test/0.wav"
    assert verify(manifest, progress=False).total_problems == 0
    for split in ("test", "unseen"):
        trials = read_trials(out / f"{split}.trials.txt")
        assert [trial.target for trial in trials] == [True] * 4 + [False] * 4
        paths = {row[0] for row in rows_of(out / f"{split}.tsv")[0]}
        for trial in trials:
            assert {trial.first, trial.second} <= paths and trial.first != trial.second
            assert trial.target == (trial.first.split("/")[0] == trial.second.split("/")[0])


def test_from_the_command_line(voices, tmp_path, capsys):
    pairs = [f"{name}={voices[name]}" for name in ("anna", "ben")]
    main(["--voices", *pairs, "--out", str(tmp_path / "out")])
    assert "train" in capsys.readouterr().out and not (tmp_path / "out/unseen.tsv").exists()
    assert len(read_trials(tmp_path / "out/test.trials.txt")) == 15  # every pair of six recordings


def test_what_is_no_set_of_voices(voices, tmp_path):
    anna, ben = voices["anna"], voices["ben"]
    with pytest.raises(ValueError, match="1 --voices and 0 --unseen: give two at least"):
        prepare_speakers({"anna": anna}, tmp_path)
    with pytest.raises(ValueError, match="2 --voices and 1 --unseen: give two at least, or no --unseen"):
        prepare_speakers({"anna": anna, "ben": ben}, tmp_path, unseen={"carl": voices["carl"]})
    with pytest.raises(ValueError, match="--unseen ben: among --voices too"):
        prepare_speakers({"anna": anna, "ben": ben}, tmp_path, unseen={"ben": ben})
    with pytest.raises(ValueError, match="--trials is 0; give at least 1"):
        prepare_speakers({"anna": anna, "ben": ben}, tmp_path, trials=0)
    (ben / "valid.tsv").unlink()
    with pytest.raises(FileNotFoundError, match="ben/valid.tsv: the voice ben has no such split; make it"):
        prepare_speakers({"anna": anna, "ben": ben}, tmp_path)
    for pair in ("anna", "=x", "anna=", "an na=x"):
        with pytest.raises(ValueError, match=f"--voices '{pair}': write NAME=FOLDER"):
            parse_voices([pair], "--voices")
    with pytest.raises(ValueError, match="two voices are called anna"):
        parse_voices(["anna=x", "anna=y"], "--voices")


LABELLED = [(f"{voice}/{number}.wav", voice) for voice in "ab" for number in range(6)]


def test_trials_are_drawn_by_the_seed_alone():
    first, again, other = (draw_trials(LABELLED, 5, seed=seed) for seed in (1, 1, 2))
    assert first == again != other and len(first) == len(set(first)) == 10
    every = draw_trials(LABELLED, 1000, seed=1)
    assert len(every) == 66 and sum(line.startswith("1\t") for line in every) == 30
    pairs = {tuple(line.split("\t")[1:]) for line in every}
    assert pairs == set(itertools.combinations([path for path, _ in LABELLED], 2))


def test_many_recordings_are_thinned_first(monkeypatch):
    monkeypatch.setattr("manifest_tools.classes.MOST_ROWS", 7)
    used = {path for line in draw_trials(LABELLED, 1000, seed=3) for path in line.split("\t")[1:]}
    assert len(used) == 7


def test_names_with_spaces_make_trials(tmp_path):
    lines = draw_trials([("my a/1 .wav", "a"), ("my a/2.wav", "a"), ("b 1.wav", "b")], 1, seed=1)
    trials = read_trials(write_lines(tmp_path / "trials.txt", lines))
    assert trials[0][:3] == (True, "my a/1 .wav", "my a/2.wav") and not trials[1].target


def test_what_makes_no_trials():
    with pytest.raises(ValueError, match="2 recordings make no trial of one class; give more of them"):
        draw_trials([("a.wav", "a"), ("b.wav", "b")], 5, seed=1)
    with pytest.raises(ValueError, match="2 recordings make no trial of two classes"):
        draw_trials([("a.wav", "a"), ("b.wav", "a")], 5, seed=1)


def test_one_class_tells_nothing_apart(tmp_path):
    with pytest.raises(ValueError, match=r"dict.txt: 1 class\(es\) \(a\); speakers are told apart from two on"):
        write_class_dictionary(tmp_path / "dict.txt", ["a", "a"])
    assert write_class_dictionary(tmp_path / "dict.txt", ["b", "a", "b"]) == ["a", "b"]
    assert (tmp_path / "dict.txt").read_text() == "a 1\nb 2\n"


def test_the_check_of_identification_data(voices, tmp_path):
    out = tmp_path / "out"
    prepare_speakers({name: voices[name] for name in ("anna", "ben")}, out)
    write_lines(out / "dict.txt", ["anna 3", "zoe 1"])
    findings = check_data("s2c", out, progress=False)
    assert findings.total_errors == 8 and "train.tsv:5: the class 'ben' is not in" in findings.errors[0]
    assert "1 of 2 classes have fewer than 2 recordings in train: zoe" in findings.warnings
    assert "1 of 2 classes have no recording in test: zoe" in findings.warnings
    write_lines(out / "dict.txt", ["anna 3"])
    assert "dict.txt:1: one class ('anna')" in check_data("s2c", out, progress=False).errors[0]
    (out / "dict.txt").unlink()
    assert "dict.txt: no such dictionary; write one line" in check_data("s2c", out, progress=False).errors[0]
    labels = tmp_path / "labels"
    labels.mkdir()
    write_lines(labels / "dict.txt", ["anna 3", "ben 3"])
    assert not check_data("s2c", out, label_dir=labels, progress=False).errors
    with pytest.raises(ValueError, match="--spm-model has no effect with --job s2c"):
        check_data("s2c", out, spm_model=labels / "spm.model")
    with pytest.raises(ValueError, match="--text-data and --unit-rate have no effect with --job s2c"):
        check_data("s2c", out, unit_rate=25)


def test_a_manifest_without_classes_does_not_pass_the_check(voices, tmp_path):
    out = tmp_path / "out"
    prepare_speakers({name: voices[name] for name in ("anna", "ben")}, out)
    lines = (out / "train.tsv").read_text().splitlines()
    write_lines(out / "train.tsv", [lines[0], *(line.rpartition("\t")[0] for line in lines[1:])])
    assert "train.tsv: no third column, the class of each row" in check_data("s2c", out, progress=False).errors[0]


def test_a_folder_of_other_voices_is_refused(voices, tmp_path):
    """And the same voices may be prepared again."""
    out = tmp_path / "out"
    three = {name: voices[name] for name in ("anna", "ben", "carl")}
    prepare_speakers(three, out)
    prepare_speakers(three, out)
    before = (out / "train.tsv").read_text()
    with pytest.raises(ValueError, match="dict.txt lists other voices \\(carl on one side only\\); give another --out"):
        prepare_speakers({name: voices[name] for name in ("anna", "ben")}, out)
    assert (out / "train.tsv").read_text() == before

"""The command of verification: trials, embeddings by table or by path, what it prints and writes."""

import numpy as np
import pytest
from helpers import write_lines

from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.scoring.detection import detection_errors, equal_error_rate
from speecht5_fairseq.scoring.trials import read_trials, trial_embeddings
from speecht5_fairseq.scoring.verification import main

TRIALS = ["1 a/1.wav a/2.wav", "1 b/1.wav b/2.wav", "0 a/1.wav b/1.wav", "0 a/2.wav b/1.wav", "0 a/2.wav b/2.wav"]
NAMES = ("a/1", "a/2", "b/1", "b/2")


def vectors(seed=0):
    rng = np.random.default_rng(seed)
    voices = {"a": rng.normal(size=5), "b": rng.normal(size=5)}
    return {name: (voices[name[0]] + 0.7 * rng.normal(size=5)).astype(np.float32) for name in NAMES}


@pytest.fixture
def trials(tmp_path):
    return write_lines(tmp_path / "trials.txt", TRIALS)


@pytest.fixture
def folder(tmp_path):
    """Embeddings at the paths of the trials."""
    for name, vector in vectors().items():
        path = tmp_path / "plain" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, vector)
    return tmp_path / "plain"


@pytest.fixture
def results(tmp_path):
    """As fairseq-generate writes them; the files have names of their own."""
    (tmp_path / "results").mkdir()
    lines = ["id\tpath\tclass\tembedding"]
    for number, (name, vector) in enumerate(vectors().items()):
        np.save(tmp_path / f"results/{number}.npy", vector)
        lines.append(f"{number}\t{name}.wav\tx\t{number}.npy")
    write_lines(tmp_path / "results/results.tsv", lines)
    return tmp_path / "results"


def cosine(first, second):
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


@pytest.mark.parametrize("kind", ["folder", "results"])
def test_cosines_and_their_error_rates(kind, trials, tmp_path, request, capsys):
    place = request.getfixturevalue(kind)
    main(["--trials", str(trials), "--embeddings", str(place), "--scores", str(tmp_path / "scores.tsv")])
    printed = capsys.readouterr().out
    embeddings = {name: vector.astype(np.float64) for name, vector in vectors().items()}
    rows = [line.split("\t") for line in (tmp_path / "scores.tsv").read_text().splitlines()]
    assert [" ".join(row[:3]) for row in rows] == TRIALS
    scores = np.array([cosine(embeddings[first[:-4]], embeddings[second[:-4]]) for _, first, second, _ in rows])
    np.testing.assert_allclose([float(row[3]) for row in rows], scores, atol=1e-6)
    eer = equal_error_rate(detection_errors(scores, np.array([row[0] == "1" for row in rows])))
    assert "5 trials of 4 utterances: 2 of one speaker, 3 of two" in printed
    cells = {line.partition("  ")[0]: line.split() for line in printed.splitlines()}
    assert cells["EER"][1:3] == [f"{100 * eer.value:.2f}%", "50%"] and "minDCF (0.01, 1, 1)" in cells


def test_costs_are_read(trials, folder, capsys):
    main(["--trials", str(trials), "--embeddings", str(folder), "--p-target", "0.5", "--cost-miss", "2"])
    assert "minDCF (0.5, 2, 1)" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--p-target is 2.0"):
        main(["--trials", str(trials), "--embeddings", str(folder), "--p-target", "2"])


def test_pictures(trials, folder, tmp_path):
    pytest.importorskip("matplotlib")
    main(["--trials", str(trials), "--embeddings", str(folder), "--plots", str(tmp_path / "plots")])
    for name in ("scores.png", "det.png"):
        assert (tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG")


def test_pictures_need_matplotlib(trials, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="--plots needs matplotlib: `pip install matplotlib`, or drop it"):
        main(["--trials", str(trials), "--embeddings", str(folder), "--plots", str(tmp_path / "plots")])


@pytest.mark.parametrize("line", ["1 a/1.wav", "2 a/1.wav a/2.wav", "1 a/1.wav a/2.wav b", "", "1\t\ta/2.wav"])
def test_a_malformed_trial_is_named(trials, line):
    write_lines(trials, [TRIALS[0], line, TRIALS[2]])
    with pytest.raises(DataError, match=rf"trials.txt:2: not a trial \({line!r}\); write a 1".replace("\\t", r"\\t")):
        read_trials(trials)


def test_paths_with_spaces_have_tabs_between(trials):
    write_lines(trials, ["1\ta b.wav\tc.wav", "0 d.wav e.wav"])
    assert [trial[:3] for trial in read_trials(trials)] == [(True, "a b.wav", "c.wav"), (False, "d.wav", "e.wav")]


@pytest.mark.parametrize("label, kind", [("1", "0 .two speakers."), ("0", "1 .one speaker.")])
def test_trials_of_one_kind_only(trials, label, kind):
    write_lines(trials, [f"{label}{line[1:]}" for line in TRIALS])
    with pytest.raises(DataError, match=f"trials.txt:1: none of the 5 trials has the label {kind}; add some"):
        read_trials(trials)


def test_utterances_without_embedding_are_named_with_their_lines(trials, folder):
    write_lines(trials, [*TRIALS, "0 a/1.wav c/9.wav", "0 c/9.wav b/1.wav"])
    with pytest.raises(DataError) as told:
        trial_embeddings(read_trials(trials), trials, folder)
    assert str(told.value).startswith(f"{trials}:6: no embedding of 'c/9.wav' in {folder}; correct the path")
    assert "\n" not in str(told.value)  # once


@pytest.mark.parametrize(
    "vector, said",
    [(np.zeros(5), "all zero or holds NaN"), (np.full(5, np.nan), "all zero or holds NaN"),
     (np.ones((5, 1)), r"float64 of shape \(5, 1\), not one vector"), (np.ones(4), "vectors of 4, 5 entries")],
)  # fmt: skip
def test_embeddings_that_are_no_vectors(trials, folder, vector, said):
    np.save(folder / "a/2.npy", vector)
    with pytest.raises(DataError, match=said):
        trial_embeddings(read_trials(trials), trials, folder)


def test_folders_without_embeddings(trials, folder, results, tmp_path):
    (folder / "a/1.npy").write_bytes(b"broken")
    with pytest.raises(DataError, match="a/1.npy: no readable embedding"):
        trial_embeddings(read_trials(trials), trials, folder)
    write_lines(results / "results.tsv", ["path\tembedding", "a/1.wav\t"])
    with pytest.raises(DataError, match="no embedding there; generate it again with --save-embeddings"):
        trial_embeddings(read_trials(trials), trials, results)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no embedding there; give what fairseq-generate --results-path wrote"):
        trial_embeddings(read_trials(trials), trials, tmp_path / "empty")
    with pytest.raises(DataError, match="no such folder; correct the path"):
        trial_embeddings(read_trials(trials), trials, tmp_path / "none")
    with pytest.raises(DataError, match="no such file of trials; correct --trials"):
        read_trials(tmp_path / "none.txt")

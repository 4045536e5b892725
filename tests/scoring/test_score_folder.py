"""What stops a run before any work, and that processes change nothing."""

import pickle
import sys

import joblib
import numpy as np
import pytest

from speecht5_fairseq.data.audio import write_audio
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.scoring.folders import Utterance, open_folder
from speecht5_fairseq.scoring.metrics import Plan, score_utterance
from speecht5_fairseq.scoring.score_folder import Problem, check_plan, score_folder

BARE = [Utterance("a", None)]


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (Plan(("si_sdr",)), "no utterance has a reference recording; give --references"),
        (Plan(("speaker",), speaker_encoder="math:hypot"), "no utterance has a reference recording"),
        (Plan(("speaker",), speaker_encoder="math:hypot", speaker_vectors=True), "--speaker-vectors: no utterance"),
        (Plan(("speaker",), speaker_encoder="math:no", speaker_vectors=True), "has no function 'no'"),
        (Plan(("asr",), asr="math:hypot"), "no utterance has a text; give --texts"),
        (Plan(("asr",), asr="unknown"), "choose pocketsphinx"),
        (
            Plan(("asr",), ("generated", "source"), asr="math:hypot"),
            "no utterance has a source recording; give --sources",
        ),
    ],
)
def test_what_would_fail_for_all_is_said_at_once(plan, problem):
    with pytest.raises(ValueError, match=problem):
        check_plan(BARE, plan)


def test_missing_packages_are_named_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "pesq", None)
    with pytest.raises(ImportError, match="pip install pesq"):
        check_plan([Utterance("a", None, "r.wav")], Plan(("pesq",)))


def test_the_vector_of_a_voice_stays_in_the_table(tmp_path, monkeypatch):
    """Its column is called as the metric; a second run with the vectors finds them still."""
    (tmp_path / "encoder.py").write_text("import numpy as np\nvector = lambda wave: np.eye(512)[0] + np.eye(512)[1]\n")
    monkeypatch.syspath_prepend(tmp_path)
    np.save(tmp_path / "voice.npy", np.eye(512, dtype=np.float32)[0])
    write_audio(tmp_path / "g/a.wav", 0.1 * np.random.default_rng(0).standard_normal(800))
    row = f"a\ta.wav\t\t{tmp_path}/voice.npy\thello\tok"
    (tmp_path / "g/results.tsv").write_text(f"id\twav\treference\tspeaker\ttext\tstatus\n{row}\n")
    plan = Plan(("speaker",), speaker_encoder="encoder:vector", speaker_vectors=True)
    for _ in range(2):
        table, utterances = open_folder(tmp_path / "g")
        assert score_folder(table, utterances, plan, jobs=1) == []
        (row,) = table.rows
        assert row["speaker"] == f"{tmp_path}/voice.npy" and float(row["speaker_cosine"]) == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("jobs", [1, 2])
def test_numbers_and_problems_do_not_depend_on_the_workers(tmp_path, jobs):
    """Threads stand in for processes, which take seconds to import fairseq; what goes between them is pickled below."""
    for index in range(3):
        wave = 0.1 * np.random.default_rng(index).standard_normal(800)
        write_audio(tmp_path / "r" / f"{index}.wav", wave)
        write_audio(tmp_path / "g" / f"{index}.wav", wave + 0.01 if index else np.zeros(800))
    table, utterances = open_folder(tmp_path / "g", references=tmp_path / "r")
    plan = Plan(("si_sdr", "mel_l1_dtw"))
    with joblib.parallel_config(backend="threading"):
        problems = score_folder(table, utterances, plan, jobs=jobs)
    assert problems == [Problem("0", "si_sdr: the generated recording is silent (all samples are 0)")]
    lines = [line.split("\t") for line in (tmp_path / "g" / "scores.tsv").read_text().splitlines()]
    assert lines[0] == ["id", "wav", "si_sdr", "mel_l1_dtw", "score_problems"]
    outcomes = [score_utterance(*pickle.loads(pickle.dumps((utterance, plan)))) for utterance in utterances]
    for line, outcome in zip(lines[1:], pickle.loads(pickle.dumps(outcomes)), strict=True):
        fields = [outcome.fields.get(name, "") for name in ("si_sdr", "mel_l1_dtw")]
        assert line[2:] == [*fields, " | ".join(outcome.reasons())]


def test_all_failed_generations_are_problems_not_an_error(tmp_path):
    (tmp_path / "results.tsv").write_text("id\twav\tstatus\na\t\tno frames\n")
    table, utterances = open_folder(tmp_path)
    assert score_folder(table, utterances, Plan(("si_sdr",))) == [Problem("a", "not generated: no frames")]


def test_data_errors_are_value_errors():
    assert issubclass(DataError, ValueError)  # what the command line turns into a message

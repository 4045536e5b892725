"""What is found in folders of every kind, and what is said of those that hold nothing."""

import numpy as np
import pytest
from helpers import write_lines
from report_folders import HEARD, SAID, write_run, write_speaker_results, write_speech_results, write_transcripts

from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.report.sources import open_source, read_trials, short_names


@pytest.mark.parametrize("beside", [True, False])
def test_a_run_is_known_by_its_log_beside_it_or_inside(tmp_path, beside):
    source = open_source(write_run(tmp_path / "asr", beside=beside), "asr")
    assert source.parts == ["training curves"] and source.curves.training["loss"][200] == 3.0


def test_a_log_that_is_named_goes_before_those_found(tmp_path):
    run, other = write_run(tmp_path / "asr"), write_run(tmp_path / "other", start=9.0)
    assert open_source(run, "asr", [other.with_name("other.log")]).curves.training["loss"][200] == 7.0
    with pytest.raises(DataError, match="no such file"):
        open_source(run, "asr", [tmp_path / "gone.log"])


def test_a_broken_checkpoint_is_told_of_where_there_is_no_log(tmp_path):
    folder = write_transcripts(tmp_path / "run")
    (folder / "checkpoint_last.pt").write_bytes(b"PK\x03\x04")
    (note,) = open_source(folder, "run").notes
    assert "no numbers from its checkpoints" in note


def test_transcripts_in_the_manifests_order_whether_words_or_pieces(tmp_path):
    (found,) = open_source(write_transcripts(tmp_path / "out"), "out").transcripts
    assert found.subset == "test" and [row.number for row in found.rows] == [0, 1, 2, 3]
    assert [row.hypothesis for row in found.rows] == HEARD and [row.reference for row in found.rows] == SAID
    pieces = write_transcripts(tmp_path / "pieces", ["\u2581HEL LO \u2581YOU"], ["\u2581HEL LO"])
    (found,) = open_source(pieces, "pieces").transcripts
    assert found.rows == [(0, "HELLO", "HELLO YOU")]


def test_of_several_hypotheses_the_first_counts_and_a_log_tells_of_the_data(tmp_path):
    options = "{'dataset': {'gen_subset': 'dev'}, 'task': {'_name': 's2t', 'data': '/d', 'audio_root': '/a'}}"
    lines = [f"INFO:fairseq_cli.generate:{options}", "T-0\ta b", "D-0\t-1\ta c", "D-0\t-2\tworse", "D-x\t1\tno"]
    (found,) = open_source(write_lines(tmp_path / "decode.log", lines), "decode").transcripts
    assert found.rows == [(0, "a b", "a c")] and found[3:] == ("/d", "/a") and found.subset == "dev"


def test_of_two_decodings_of_a_subset_the_one_that_is_not_shown_is_told(tmp_path):
    lines = (write_transcripts(tmp_path / "out") / "generate-test.txt").read_text(encoding="utf-8").splitlines()
    beam, greedy = tmp_path / "decode_beam.log", tmp_path / "decode_greedy.log"
    write_lines(beam, lines)
    write_lines(greedy, [line.replace("goodbye", "good") for line in lines])
    write_lines(tmp_path / "decode_of_dev.log", [line.replace("Generate test", "Generate dev") for line in lines])
    write_lines(tmp_path / "same.log", lines)  # a log and a results file of one decoding
    source = open_source(tmp_path, "asr")
    assert [each.subset for each in source.transcripts] == ["test", "dev"]
    (note,) = source.notes
    assert note.startswith("test: shown is decode_beam.log") and note.endswith(f": {beam} {greedy}")
    assert not open_source(greedy, "greedy").notes


def test_tables_and_trials_lie_a_folder_below(tmp_path):
    source = open_source(write_speaker_results(tmp_path / "sid"), "sid")
    assert source.parts == ["speakers", "verification"]
    assert len(source.trials[0].scores) == 66 and source.trials[0].subset == source.speakers[0].subset == "test"
    assert open_source(write_speech_results(tmp_path / "tts") / "test", "tts").parts == ["generated speech"]


def test_trials_are_called_as_their_subset_wherever_their_file_lies(tmp_path):
    folder = write_speaker_results(tmp_path / "sid")
    trials = (folder / "test.scores.tsv").read_text(encoding="utf-8")
    (folder / "unseen.scores.tsv").write_text(trials, encoding="utf-8")
    assert [each.subset for each in open_source(folder, "sid").trials] == ["test", "unseen"]
    assert [each.subset for each in open_source(folder / "unseen.scores.tsv", "sid").trials] == ["unseen"]
    (folder / "test/scores.tsv").write_text(trials, encoding="utf-8")  # also the name of a table of scores
    source = open_source(folder, "sid")
    assert [each.subset for each in source.trials] == ["test (test.scores)", "unseen", "test (scores)"]
    assert len(source.speakers) == 1 and not source.speech
    assert [each.subset for each in open_source(folder / "test", "test").trials] == ["test"]


def test_lines_that_were_printed_of_speech_are_no_transcripts(tmp_path):
    folder = write_speech_results(tmp_path / "tts")
    write_transcripts(folder, ["out/0: 120 frames"], None)
    assert open_source(folder, "tts").parts == ["generated speech"]


def test_what_is_not_there_or_holds_nothing(tmp_path):
    with pytest.raises(DataError, match="no such folder or file"):
        open_source(tmp_path / "gone", "gone")
    write_lines(tmp_path / "notes.txt", ["nothing known"])
    with pytest.raises(
        DataError, match=r"nothing to report; looked for checkpoint\*.pt, .*generate-\*.txt.*results.tsv"
    ):
        open_source(tmp_path, "empty")


def test_a_broken_line_of_trials_is_named(tmp_path):
    path = write_lines(tmp_path / "scores.txt", ["1\ta\tb\t0.5", "1\ta\tb"])
    with pytest.raises(DataError, match=r"scores.txt:2: not a scored trial"):
        read_trials(path, "test")
    path = write_lines(tmp_path / "scores.txt", ["1\ta\tb\t0.5", "1\ta\tb\t0.x"])
    with pytest.raises(DataError, match=r"scores.txt:2: '0.x' is no score"):
        read_trials(path, "test")
    found = read_trials(write_lines(tmp_path / "scores.txt", ["1\ta\tb\t-0.5", "0\ta\tc\t1e-3"]), "test")
    np.testing.assert_array_equal(found.scores, [-0.5, 0.001])


def test_names_are_short_and_differ(tmp_path):
    paths = [tmp_path / "a/test", tmp_path / "b/test", tmp_path / "c", tmp_path / "c"]
    assert short_names(paths) == ["a/test", "b/test", "c", "c (4)"]

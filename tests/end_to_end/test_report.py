"""The report of what fairseq's commands leave behind: logs in both formats, checkpoints alone, decoded text."""

import pytest
from commands import generation, recognition, run

from speecht5_fairseq.report.__main__ import main
from speecht5_fairseq.report.sources import open_source


@pytest.mark.parametrize("kind", ["json", "simple"])
def test_curves_of_a_log_file(data, tmp_path, kind):
    log = ["--log-file", tmp_path / "asr.log", "--log-format", kind]
    run("fairseq-train", *recognition(data, "--save-dir", tmp_path / "asr", "--max-update", 2, *log))
    curves = open_source(tmp_path / "asr", "asr").curves
    assert set(curves.training["loss"]) == {1, 2} and curves.training["gnorm"][2] > 0
    assert {"loss", "uer"} <= set(curves.validation["valid"]) and set(curves.validation["valid"]["loss"]) == {2}


def test_a_run_without_a_log_and_its_transcripts(data, recognizer, tmp_path):
    options = ["--decoding", "ctc-greedy", "--scoring", "wer_cer", "--results-path", tmp_path / "out"]
    run("fairseq-generate", *generation(data, recognizer / "checkpoint_last.pt", *options))
    page = tmp_path / "page.html"
    main([str(recognizer), str(tmp_path / "out"), "--data", str(data.s2t), "-o", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "no log of the training: curves from its" in text and "Frequent errors" in text
    assert text.count("<audio ") == 3 and "data:audio/flac;base64," in text
    (found,) = open_source(tmp_path / "out", "out").transcripts
    assert [row.number for row in found.rows] == [0, 1, 2] and found.subset == "test"

"""The check command: what is good passes, what is not is in the list, and the exit code says which."""

import numpy as np
import pytest
import soundfile
from helpers import tiny_manifest, tiny_text_binary, write_lines

from manifest_tools.check import check_data, main, summary


@pytest.fixture
def s2t(tmp_path):
    for split, seed in (("train", 0), ("valid", 1), ("test", 2)):
        tiny_manifest(tmp_path, split=split, seed=seed)
    return tmp_path


@pytest.fixture
def pretrain(tmp_path):
    for split, seed in (("train", 0), ("valid", 1)):
        tiny_manifest(tmp_path, job="pretrain", split=split, seed=seed)
        tiny_text_binary(tmp_path / "text", [[4, 5, 6], [7, 8]], split=split)
    return tmp_path


def test_good_data_passes(s2t, capsys):
    main(["--job", "s2t", "--data", str(s2t)])
    printed = capsys.readouterr().out
    assert "all good" in printed and all(split in printed for split in ("train", "valid", "test"))


def test_good_pretraining_data_passes(pretrain):
    findings = check_data("pretrain", pretrain, text_data=pretrain / "text")
    assert not findings.errors and [report.rows for report in findings.reports] == [4, 4]
    assert [text[:3] for text in findings.texts] == [("train", 2, 7), ("valid", 2, 7)]
    assert "all good" in summary(findings)


def test_every_mistake_is_listed_and_the_exit_code_is_1(s2t, capsys):
    name = (s2t / "train.tsv").read_text().splitlines()[1].split("\t")[0]
    soundfile.write(s2t / "audio_train" / name, np.zeros(8000), 16000)
    lines = (s2t / "valid.txt").read_text().splitlines()
    write_lines(s2t / "valid.txt", ["1 2 3", *lines[1:]])
    (s2t / "test.txt").unlink()
    with pytest.raises(SystemExit) as stopped:
        main(["--job", "s2t", "--data", str(s2t)])
    printed = capsys.readouterr().out
    assert stopped.value.code == 1
    assert "train.tsv:2" in printed and "valid.txt:1" in printed and "test.txt" in printed
    assert "3 problems" in printed and "unknown symbols in valid: '1' (1)" in printed


def test_audio_that_was_moved(s2t, tmp_path, capsys):
    for split in ("train", "valid", "test"):
        (s2t / f"audio_{split}").rename(s2t / f"moved_{split}")
    findings = check_data("s2t", s2t, splits=["train"])
    assert findings.total_errors == 1 and "--audio-root" in findings.errors[0]
    main(["--job", "s2t", "--data", str(s2t), "--splits", "train", "--audio-root", str(s2t / "moved_train")])
    assert "all good" in capsys.readouterr().out


def test_missing_parts_do_not_hide_each_other(tmp_path):
    findings = check_data("pretrain", tmp_path, text_data=tmp_path / "text")
    assert findings.total_errors == len(findings.errors) == 4
    assert "train.tsv" in findings.errors[0] and "valid.tsv" in findings.errors[1]


def test_shared_recordings_are_a_warning(s2t):
    for suffix in ("tsv", "txt"):
        (s2t / f"valid.{suffix}").write_bytes((s2t / f"train.{suffix}").read_bytes())
    findings = check_data("s2t", s2t)
    assert findings.warnings == ["4 recordings are in both train and valid"] and not findings.errors


def test_options_without_effect_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--spm-model has no effect"):
        check_data("pretrain", tmp_path, spm_model=tmp_path / "spm.model")
    with pytest.raises(ValueError, match="--text-data and --unit-rate have no effect"):
        check_data("s2t", tmp_path, text_data=tmp_path)
    with pytest.raises(ValueError, match="choose one of s2t, pretrain"):
        check_data("tts", tmp_path)

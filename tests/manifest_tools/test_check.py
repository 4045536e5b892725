"""The check command: what is good passes, what is not is in the list, and the exit code says which."""

import numpy as np
import pytest
import soundfile
from helpers import tiny_manifest, tiny_text_binary, write_lines, write_speech

from manifest_tools.check import check_data, main, summary
from speecht5_fairseq.data.manifest import write_manifest


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


def test_segments_of_one_recording_in_two_splits_are_a_warning(tmp_path):
    write_speech(tmp_path, 1, samples=[8000])
    for split, start in (("train", 0), ("valid", 4000)):
        write_manifest(tmp_path / f"{split}.tsv", ".", [(f"0.wav:{start}:4000", 4000)])
    findings = check_data("audio", tmp_path)
    assert findings.warnings == ["1 recordings are in both train and valid"] and not findings.errors


def speech_rows(folder, count=3):
    """[(path, samples, vector)] below `folder`."""
    rows = write_speech(folder / "audio", count)
    for name, _ in rows:
        np.save(folder / f"audio/{name}.npy", np.ones(512, dtype=np.float32))
    return [(f"audio/{name}", samples, f"audio/{name}.npy") for name, samples in rows]


def test_speech_synthesis_data(tmp_path):
    rows = speech_rows(tmp_path)
    write_lines(tmp_path / "dict.txt", ["A 1", "B 1"])
    for split in ("train", "valid"):
        write_manifest(tmp_path / f"{split}.tsv", ".", rows)
        write_lines(tmp_path / f"{split}.txt", ["A B", "B", "A"])
    assert not check_data("t2s", tmp_path).errors
    np.save(tmp_path / "audio/1.wav.npy", np.ones(256, dtype=np.float32))
    write_lines(tmp_path / "valid.txt", ["A", "", "C"])
    findings = check_data("t2s", tmp_path, splits=["valid"])
    assert findings.total_errors == 3  # a vector, an empty line, an unknown symbol
    for expected in ("valid.tsv:3", "(256,)", "valid.txt:2", "valid.txt:3"):
        assert expected in findings.errors[0]
    write_manifest(tmp_path / "train.tsv", ".", [row[:2] for row in rows])
    assert "column" in check_data("t2s", tmp_path, splits=["train"]).errors[0]


def test_synthesis_checks_the_normalised_text(tmp_path):
    pytest.importorskip("num2words")
    from manifest_tools.vocabulary import train_vocabulary

    write_manifest(tmp_path / "train.tsv", ".", speech_rows(tmp_path, 1))
    train_vocabulary([write_lines(tmp_path / "train.txt", ["one two"])], tmp_path / "spm", label_dirs=[tmp_path])
    write_lines(tmp_path / "train.txt", ["1 2"])
    options = {"splits": ["train"], "spm_model": tmp_path / "spm/spm.model"}
    assert sum(check_data("t2s", tmp_path, **options).reports[0].unknown.values()) == 2
    assert not check_data("t2s", tmp_path, **options, text_normaliser="en").reports[0].unknown


def test_speech_to_speech_data(tmp_path):
    rows = [(path, samples, path, samples, vector) for path, samples, vector in speech_rows(tmp_path)]
    for split in ("train", "valid"):
        write_manifest(tmp_path / f"{split}.tsv", ".", rows)
    findings = check_data("s2s", tmp_path)
    assert not findings.errors and [report.rows for report in findings.reports] == [3, 3]
    wrong = [(*rows[0][:2], "audio/none.wav", *rows[0][3:]), (*rows[1][:3], 17, rows[1][4]), rows[2]]
    write_manifest(tmp_path / "train.tsv", ".", wrong)
    (tmp_path / "audio/2.wav.npy").unlink()
    findings = check_data("s2s", tmp_path, splits=["train"])
    assert findings.total_errors == 3
    assert all(f"train.tsv:{line}" in findings.errors[0] for line in (2, 3, 4))


def test_recordings_without_labels_and_text_alone(pretrain, capsys):
    for split in ("train", "valid"):
        (pretrain / f"{split}.km").unlink()
    findings = check_data("audio", pretrain, progress=False)
    assert not findings.errors and [report.rows for report in findings.reports] == [4, 4]
    name = (pretrain / "train.tsv").read_text().splitlines()[1].split("\t")[0]
    (pretrain / "audio_train" / name).unlink()
    assert "train.tsv:2: " in check_data("audio", pretrain, progress=False).errors[0]
    main(["--job", "text", "--data", str(pretrain / "text")])
    assert "sentences" in capsys.readouterr().out
    assert check_data("text", pretrain / "text", level="off").texts[1][3] == "not read"
    (pretrain / "text/valid.bin").unlink()
    assert check_data("text", pretrain / "text").errors
    with pytest.raises(ValueError, match="--refuse-other-rates and --allow-outside-root have no effect"):
        check_data("text", pretrain / "text", splits=["train"])
    with pytest.raises(ValueError, match="--spm-model and --label-dir have no effect with --job audio"):
        check_data("audio", pretrain, label_dir=pretrain)


def test_options_without_effect_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--text-data and --unit-rate have no effect with --job t2s"):
        check_data("t2s", tmp_path, unit_rate=25)
    with pytest.raises(ValueError, match="--spm-model and --label-dir have no effect with --job s2s"):
        check_data("s2s", tmp_path, label_dir=tmp_path)
    with pytest.raises(ValueError, match="--text-normaliser has no effect with --job s2t"):
        check_data("s2t", tmp_path, text_normaliser="en")
    with pytest.raises(ValueError, match="--spm-model has no effect"):
        check_data("pretrain", tmp_path, spm_model=tmp_path / "spm.model")
    with pytest.raises(ValueError, match="--text-data and --unit-rate have no effect"):
        check_data("s2t", tmp_path, text_data=tmp_path)
    with pytest.raises(ValueError, match="choose one of s2t, pretrain"):
        check_data("tts", tmp_path)

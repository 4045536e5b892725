"""Verification: every kind of bad row is found, named and mended in words; good splits are stamped."""

import json
import os

import numpy as np
import pytest
import soundfile
from helpers import tiny_manifest, write_lines

from speecht5_fairseq.data import checks
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.errors import DataError, ManifestError
from speecht5_fairseq.data.labels import TextLabels, UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest

AUDIO = "audio_train/1.wav"


def verify_pretrain(folder, **options):
    manifest = Manifest.open(folder / "train.tsv", JOB_COLUMNS["pretrain"])
    return verify(manifest, units=UnitLabels.open(folder, "train"), progress=False, **options)


def verify_s2t(folder, **options):
    manifest = Manifest.open(folder / "train.tsv", JOB_COLUMNS["s2t"])
    text = TextLabels.open(folder, "train", load_text_dictionary(folder / "dict.txt"))
    return verify(manifest, text=text, progress=False, **options)


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def set_line(path, number, line):
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    write_lines(path, lines)


def test_good_splits_pass(tmp_path):
    tiny_manifest(tmp_path, 4, job="pretrain")
    report = verify_pretrain(tmp_path)
    report.raise_problems()
    assert report.checked == report.rows == 4 and report.units > 60 and report.hours > 0


def test_unknown_symbols_are_counted(tmp_path):
    tiny_manifest(tmp_path, 4)
    set_line(tmp_path / "train.txt", 2, "▁ A é é")
    report = verify_s2t(tmp_path)
    assert not report.problems and report.unknown == {"é": 2}
    assert "'é' x 2" in report.summary() and "4 rows" in report.summary()


def write_wave(path, wave, rate=16000):
    soundfile.write(path, wave, rate, subtype="FLOAT")


@pytest.mark.parametrize(
    ("harm", "file", "line", "problem", "mend"),
    [
        (lambda d: (d / AUDIO).unlink(), "train.tsv", 3, "no such audio file", "correct the path"),
        (lambda d: (d / AUDIO).write_text("x"), "train.tsv", 3, "not readable", "convert"),
        (lambda d: write_wave(d / AUDIO, np.ones(7000)), "train.tsv", 3, "the audio has 7000", "correct the row"),
        (lambda d: write_wave(d / AUDIO, np.zeros(8000)), "train.tsv", 3, "silent", "record"),
        (lambda d: write_wave(d / AUDIO, np.full(8000, np.nan)), "train.tsv", 3, "NaN", "convert"),
        (lambda d: (d / f"{AUDIO}.npy").unlink(), "train.tsv", 3, "no readable speaker", "speaker_vectors"),
        (lambda d: np.save(d / f"{AUDIO}.npy", np.ones((1, 512))), "train.tsv", 3, "shape (1, 512)", "speaker_vectors"),
        (lambda d: set_line(d / "train.km", 2, "1 2 3"), "train.km", 2, "3 units for 8000", "unit-rate"),
        (lambda d: set_line(d / "train.km", 2, "1 " * 24 + "x"), "train.km", 2, "no integer", "make the units"),
        (lambda d: set_line(d / "train.km", 2, "1 " * 24 + "77"), "train.km", 2, "unit 77", "dictionary"),
        (lambda d: set_line(d / "train.km", 2, ""), "train.km", 2, "0 units for 8000", "unit-rate"),
    ],
)
def test_bad_pretraining_rows(tmp_path, harm, file, line, problem, mend):
    tiny_manifest(tmp_path, 3, job="pretrain", samples=[8000] * 3)
    harm(tmp_path)
    report = verify_pretrain(tmp_path)
    assert report.total_problems == 1
    with pytest.raises(ManifestError) as caught:
        report.raise_problems()
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / file}:{line}: ") and problem in message and mend in message
    assert not (tmp_path / "train.tsv.verified").exists()


@pytest.mark.parametrize(
    ("text", "problem", "mend"),
    [
        ("", "no text", "write the text"),
        ("é ü", "every symbol is unknown", "sentencepiece"),
    ],
)
def test_bad_texts(tmp_path, text, problem, mend):
    tiny_manifest(tmp_path, 3)
    set_line(tmp_path / "train.txt", 3, text)
    (message,) = verify_s2t(tmp_path).problems
    assert message.startswith(f"{tmp_path / 'train.txt'}:3: ") and problem in message and mend in message


def test_all_problems_are_listed_in_order(tmp_path):
    tiny_manifest(tmp_path, 30)
    for number in range(30):
        (tmp_path / "audio_train" / f"{number}.wav").unlink()
    report = verify_s2t(tmp_path)
    assert [f"train.tsv:{line}:" in problem for line, problem in enumerate(report.problems, start=2)] == [True] * 30
    with pytest.raises(ManifestError, match="10 more problems of 30"):
        report.raise_problems()


def test_counts_and_root_are_checked_first(tmp_path):
    path = tiny_manifest(tmp_path, 3)
    edit(path, "audio_train", "gone")
    with pytest.raises(ManifestError, match=r"train.tsv:1: the audio root is no folder.*the first .*--audio-root"):
        verify_s2t(tmp_path)
    write_lines(tmp_path / "train.txt", ["A"] * 2)
    with pytest.raises(ManifestError, match=r"train.txt:3: 2 label lines for the 3 rows"):
        verify_s2t(tmp_path, level="off")
    with pytest.raises(DataError, match="--verify-data is 'fast'; choose one of full, quick, off"):
        verify_s2t(tmp_path, level="fast")


def test_rates_pass_or_are_refused(tmp_path):
    tiny_manifest(tmp_path, 2, samples=[8000, 8000])
    write_wave(tmp_path / AUDIO, np.random.default_rng(0).standard_normal((4000, 2)) * 0.1, rate=8000)
    assert not verify_s2t(tmp_path).problems
    (message,) = verify_s2t(tmp_path, resample=False).problems
    assert "train.tsv:3:" in message and "the sample rate is 8000 Hz" in message and "sox" in message


def test_stamp_is_honoured_until_something_changes(tmp_path, monkeypatch):
    path = tiny_manifest(tmp_path, 3)
    first = verify_s2t(tmp_path)
    second = verify_s2t(tmp_path, level="quick")  # full covers quick
    assert second.from_stamp and second.tokens == first.tokens and second.checked == 3
    assert "verified before" in second.summary()
    assert not verify_s2t(tmp_path, resample=False).from_stamp  # another setting
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    assert not verify_s2t(tmp_path, resample=False).from_stamp
    set_line(tmp_path / "train.txt", 1, "▁ Z")
    assert not verify_s2t(tmp_path, resample=False).from_stamp
    edit(tmp_path / "dict.txt", "Z 1", "z 1")
    assert not verify_s2t(tmp_path, resample=False).from_stamp
    (tmp_path / "train.tsv.verified").write_text("{not json")
    assert not verify_s2t(tmp_path).from_stamp


def touch(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


@pytest.mark.parametrize("level", ["full", "quick"])
@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda d: (d / AUDIO).unlink(), "train.tsv:3: .*no such audio file"),
        (lambda d: write_wave(d / AUDIO, np.zeros(8000)), "train.tsv:3: .*silent"),
        (lambda d: (d / f"{AUDIO}.npy").unlink(), "train.tsv:3: .*no readable speaker vector"),
        (lambda d: np.save(d / f"{AUDIO}.npy", np.zeros(512, np.float32)), "train.tsv:3: .*all zero"),
    ],
)
def test_a_stamp_does_not_hide_what_happened_to_the_audio_since(tmp_path, harm, problem, level):
    tiny_manifest(tmp_path, 3, job="pretrain", samples=[8000] * 3)
    verify_pretrain(tmp_path).raise_problems()
    assert verify_pretrain(tmp_path, level=level).from_stamp
    harm(tmp_path)
    report = verify_pretrain(tmp_path, level=level)
    assert not report.from_stamp
    with pytest.raises(ManifestError, match=problem):
        report.raise_problems()


def test_audio_that_passes_again_is_stamped_again(tmp_path, caplog):
    tiny_manifest(tmp_path, 3)
    verify_s2t(tmp_path)
    touch(tmp_path / AUDIO)
    with caplog.at_level("INFO"):
        assert not verify_s2t(tmp_path).from_stamp
    assert "audio or speaker vectors have changed: verified again" in caplog.text
    assert verify_s2t(tmp_path).from_stamp


def test_quick_looks_at_its_own_rows_only(tmp_path, monkeypatch):
    """Rows 0, 4 and 8 of 9, after a full verification and after a quick one."""
    monkeypatch.setattr(checks, "QUICK_ROWS", 3)
    tiny_manifest(tmp_path, 9)
    for first in ("full", "quick"):
        verify_s2t(tmp_path, level=first)
        touch(tmp_path / "audio_train/1.wav")
        assert verify_s2t(tmp_path, level="quick").from_stamp
        assert not verify_s2t(tmp_path, level="full").from_stamp
        touch(tmp_path / "audio_train/4.wav")
        assert not verify_s2t(tmp_path, level="quick").from_stamp
        (tmp_path / "train.tsv.verified").unlink()


def test_quick_checks_some_rows_and_does_not_pass_for_full(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "QUICK_ROWS", 3)
    tiny_manifest(tmp_path, 9)
    assert verify_s2t(tmp_path, level="quick").checked == 3
    report = verify_s2t(tmp_path)
    assert not report.from_stamp and report.checked == 9
    assert verify_s2t(tmp_path, level="off").checked == 0


def test_read_only_folder_is_no_obstacle(tmp_path, monkeypatch):
    from speecht5_fairseq.data import stamp

    def refuse(path):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(stamp, "atomic_text", refuse)
    tiny_manifest(tmp_path, 2)
    verify_s2t(tmp_path).raise_problems()
    assert not (tmp_path / "train.tsv.verified").exists()


def test_texts_too_long_for_ctc_are_named_and_no_error(tmp_path, caplog):
    """16,000 samples are 49 frames: 49 symbols fit, but not where neighbours are equal five times."""
    tiny_manifest(tmp_path, 3, samples=[16_000] * 3)
    texts = ["A B " * 24 + "A", "A A " * 2 + "A B " * 22 + "B", "A " * 25]
    for line, text in enumerate(texts, 1):
        set_line(tmp_path / "train.txt", line, text.strip())
    expected = f"{tmp_path}/train.tsv:3: 49 symbols need 54 frames, it has 49"
    for stamped in (False, True):
        report = verify_s2t(tmp_path)
        assert report.from_stamp == stamped
        assert (report.too_long, report.too_long_rows, report.total_problems) == (1, [expected], 0)
        assert "train.tsv: 1 texts have more symbols" in caplog.text and expected in caplog.text
        caplog.clear()


@pytest.mark.parametrize("result", [{}, None, [], {"checked": 3}, 7])
def test_a_stamp_with_another_result_does_not_count(tmp_path, result):
    tiny_manifest(tmp_path, 3)
    verify_s2t(tmp_path)
    stamp = tmp_path / "train.tsv.verified"
    stored = json.loads(stamp.read_text())
    stamp.write_text(json.dumps({**stored, "result": result}))
    assert not verify_s2t(tmp_path).from_stamp
    stamp.write_text("[" * 100_000)
    assert not verify_s2t(tmp_path).from_stamp

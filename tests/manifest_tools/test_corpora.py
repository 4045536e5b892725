"""Published corpora, in small folders of the same layout."""

import os

import numpy as np
import pytest
import soundfile
from helpers import write_lines

from manifest_tools import cmu_arctic, headers, libritts, wham
from manifest_tools.cmu_arctic import prepare_cmu_arctic, read_prompts, split_of
from manifest_tools.label_vocabulary import VocabularyOptions
from manifest_tools.libritts import prepare_libritts
from manifest_tools.wham import prepare_wham, speech_span
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest


def tone(path, seconds=0.3, rate=16000, hertz=300.0, before=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(int(hertz))
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * hertz * time) + 0.03 * rng.standard_normal(len(time))
    soundfile.write(path, np.concatenate([np.zeros(int(before * rate)), wave, np.zeros(int(before * rate))]), rate)


def checked(path, job):
    manifest = Manifest.open(path, JOB_COLUMNS[job])
    assert verify(manifest, progress=False).total_problems == 0
    return manifest


@pytest.fixture
def libri(tmp_path):
    corpus = tmp_path / "LibriTTS"
    for part, speaker in (("train-clean-100", "19"), ("train-clean-100", "26"), ("dev-clean", "84")):
        for number in range(2):
            path = corpus / part / speaker / "198" / f"{speaker}_198_000000_00000{number}.wav"
            tone(path, rate=24000, hertz=200.0 + 10 * int(speaker) + number)
            write_lines(path.with_suffix(".normalized.txt"), [f"Number {number}, of {speaker}."])
            write_lines(path.with_suffix(".original.txt"), [f"No. {number}"])
    return corpus


PARTS = {"train": ("train-clean-100",), "valid": ("dev-clean",), "test": ()}


def test_libritts(libri, tmp_path):
    sizes = prepare_libritts(libri, tmp_path / "out", parts=PARTS)
    assert [(size.split, size.rows, size.samples) for size in sizes] == [("train", 4, 4 * 4800), ("valid", 2, 2 * 4800)]
    manifest = checked(tmp_path / "out/train.tsv", "t2s")
    assert manifest.row(0)["path"] == "train-clean-100/19/198/19_198_000000_000000.wav"
    assert (tmp_path / "out/train.txt").read_text().splitlines()[0] == "Number 0, of 19."
    vectors = [manifest.path(index, "speaker").resolve() for index in range(4)]
    assert vectors[0] == vectors[1] != vectors[2] == vectors[3] and vectors[0].name == "19.npy"


def test_a_split_of_before_that_trains_now_is_told(libri, tmp_path):
    prepare_libritts(libri, tmp_path / "out", parts=PARTS)
    with pytest.raises(ValueError, match="valid.tsv: this run made no valid, and 2 of the 2 .* are in train.tsv now"):
        prepare_libritts(libri, tmp_path / "out", parts={"train": ("train-clean-100", "dev-clean")})


def test_libritts_options(libri, tmp_path):
    pytest.importorskip("num2words")
    (libri / "dev-clean/84/198/84_198_000000_000001.original.txt").unlink()
    options = {"parts": {"valid": ("dev-clean",)}, "texts": "original", "normaliser": "en", "vectors_of": "recording"}
    prepare_libritts(libri, tmp_path / "out", **options)
    assert (tmp_path / "out/valid.txt").read_text() == "no zero\n"
    assert "84_198_000000_000001.wav\tno transcript\n" in (tmp_path / "out/left_out/valid.tsv").read_text()
    assert checked(tmp_path / "out/valid.tsv", "t2s").path(0, "speaker").name == "84_198_000000_000000.wav.npy"
    with pytest.raises(ValueError, match="no recording of valid is left"):
        prepare_libritts(libri, tmp_path / "long", parts={"valid": ("dev-clean",)}, min_seconds=5)
    with pytest.raises(FileNotFoundError, match="no folder .*train-clean-360; it should hold"):
        prepare_libritts(libri, tmp_path / "out")
    tone(libri / "dev-clean/stray.wav")
    write_lines(libri / "dev-clean/stray.normalized.txt", ["stray"])
    with pytest.raises(ValueError, match="dev-clean/stray.wav: not PART/SPEAKER/CHAPTER/NAME.wav"):
        prepare_libritts(libri, tmp_path / "stray", parts={"valid": ("dev-clean",)})


SENTENCES = ("a0001", "a0593", "b0001", "b0339", "b0340", "b0439", "b0440", "b0539")


def arctic(corpus, voice, hertz, sentences=SENTENCES):
    folder = corpus / f"cmu_us_{voice}_arctic"
    for number, sentence in enumerate(sentences):
        tone(folder / f"wav/arctic_{sentence}.wav", seconds=0.2 + 0.01 * number, hertz=hertz + number)
    (folder / "etc").mkdir()
    write_lines(folder / "etc/txt.done.data", [f'( arctic_{s} "Text \\"{s}\\"." )' for s in sentences])


def test_the_arctic_split_is_that_of_the_paper():
    names = [f"arctic_a{number:04d}" for number in range(1, 594)] + [
        f"arctic_b{number:04d}" for number in range(1, 540)
    ]
    splits = [split_of(name) for name in names]
    assert splits == ["train"] * 932 + ["valid"] * 100 + ["test"] * 100
    assert split_of("arctic_a0594") is split_of("arctic_b0000") is split_of("other") is None


def test_arctic_pairs(tmp_path):
    for voice, hertz in (("bdl", 120.0), ("slt", 210.0)):
        arctic(tmp_path / "arctic", voice, hertz)
    (tmp_path / "arctic/cmu_us_bdl_arctic/wav/arctic_b0539.wav").unlink()
    tone(tmp_path / "arctic/cmu_us_bdl_arctic/wav/arctic_a0999.wav")
    sizes = prepare_cmu_arctic(tmp_path / "arctic", tmp_path / "out", voices=["bdl", "slt"])
    assert [(size.split, size.rows) for size in sizes] == [("train", 8), ("valid", 4), ("test", 2)]
    manifest = checked(tmp_path / "out/train.tsv", "s2s")
    assert manifest.row(0)["path"] == "cmu_us_bdl_arctic/wav/arctic_a0001.wav"
    assert manifest.row(0)["target_path"] == "cmu_us_slt_arctic/wav/arctic_a0001.wav"
    names = [manifest.path(row, "speaker").name for row in (0, 7)]
    assert names == ["cmu_us_slt_arctic.npy", "cmu_us_bdl_arctic.npy"]
    assert (tmp_path / "out/test.txt").read_text() == 'Text "b0440".\n' * 2
    left_out = (tmp_path / "out/left_out/pairs.tsv").read_text()
    assert "arctic_a0999.wav\tnot one of the 1,132" in left_out and "b0539.wav\tthe other voice lacks it" in left_out
    one = prepare_cmu_arctic(tmp_path / "arctic", tmp_path / "one", pairs=["slt:bdl"])
    assert [size.rows for size in one] == [4, 2, 1]


def test_arctic_mistakes(tmp_path):
    arctic(tmp_path, "bdl", 120.0, ["a0001"])
    arctic(tmp_path, "slt", 120.0, ["b0539"])
    with pytest.raises(ValueError, match="--pairs 'bdl': write two different voices as SOURCE:TARGET"):
        prepare_cmu_arctic(tmp_path, tmp_path / "out", pairs=["bdl"])
    with pytest.raises(FileNotFoundError, match="no folder .*cmu_us_clb_arctic"):
        prepare_cmu_arctic(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="no training sentence of slt"):
        prepare_cmu_arctic(tmp_path, tmp_path / "out", voices=["bdl", "slt"])
    with pytest.raises(ValueError, match="prompts:2: 'arctic_a0002 Text' is not"):
        read_prompts(write_lines(tmp_path / "prompts", ['( arctic_a0001 "Text" )', "arctic_a0002 Text"]))


@pytest.fixture
def noisy(tmp_path):
    for number, split in enumerate(("tr", "cv", "tt")):
        for talker in ("01a", "01b"):
            name = f"{talker}o0{number}_0.9_20a_-0.9.wav"
            folder = tmp_path / "wham/wav16k/max" / split
            tone(folder / "s1" / name, before=0.1, hertz=200.0 + number)
            tone(folder / "mix_single" / name, seconds=0.5, hertz=300.0 + number)
    return tmp_path / "wham"


def test_wham(noisy, tmp_path):
    sizes = prepare_wham(noisy, tmp_path / "out")
    assert [(size.split, size.rows, size.samples) for size in sizes] == [
        (split, 2, 16000) for split in ("train", "valid", "test")
    ]
    manifest = checked(tmp_path / "out/test.tsv", "s2s")
    assert manifest.row(0)["path"] == "tt/mix_single/01ao02_0.9_20a_-0.9.wav"
    assert manifest.row(0)["target_path"] == "tt/s1/01ao02_0.9_20a_-0.9.wav"
    assert [manifest.path(row, "speaker").name for row in (0, 1)] == ["01a.npy", "01b.npy"]


def test_wham_trimmed(noisy, tmp_path):
    folder = noisy / "wav16k/max"
    name = next((folder / "cv/s1").iterdir()).name
    (folder / "cv/mix_single" / name).unlink()
    prepare_wham(folder, tmp_path / "out", trim=True)
    manifest = checked(tmp_path / "out/train.tsv", "s2s")
    assert manifest.samples.tolist() == [4800, 4800] and manifest.path(0).is_relative_to(tmp_path / "out/wav")
    original = folder / str(manifest.row(0)["path"])
    assert np.array_equal(read_audio(manifest.path(0)), read_audio(original)[1600:6400])
    assert f"cv/s1/{name}\tno partner" in (tmp_path / "out/left_out/valid.tsv").read_text()
    with pytest.raises(ValueError, match="the clean recording is silent"):
        speech_span(np.zeros(10))


def test_wham_trimmed_again_of_other_recordings(noisy, tmp_path):
    """Of the same names and lengths, and older than what is there: another release."""
    out, folder = tmp_path / "out", noisy / "wav16k/max/tr"
    name = "01ao00_0.9_20a_-0.9.wav"
    trimmed = [out / "wav/tr" / kind / name for kind in ("mix_single", "s1")]
    times = []
    for other in (False, False, True):
        for path in (folder / "mix_single" / name, folder / "s1" / name) if other else ():
            soundfile.write(path, 0.5 * read_audio(path), 16000)
            os.utime(path, ns=(10**18, 10**18))
        prepare_wham(noisy, out, trim=True)
        times.append([path.stat().st_mtime_ns for path in trimmed])
    assert times[0] == times[1] and all(new > old for old, new in zip(*times[1:], strict=True))
    for path, kind in zip(trimmed, ("mix_single", "s1"), strict=True):
        assert np.array_equal(read_audio(path), read_audio(folder / kind / name)[1600:6400])


def test_wham_mistakes(noisy, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder tr, cv, tt in"):
        prepare_wham(noisy, tmp_path / "out", length="min")
    with pytest.raises(
        FileNotFoundError, match="--noisy, --clean: no folder .*/tr/mix_clean; it should hold.*tr holds"
    ):
        prepare_wham(noisy, tmp_path / "out", noisy="mix_clean")


def test_whamr_is_known_by_its_folders(noisy, tmp_path):
    for split in ("tr", "cv", "tt"):
        folder = noisy / "wav16k/max" / split
        (folder / "mix_single").rename(folder / "mix_single_reverb")
        (folder / "s1").rename(folder / "s1_anechoic")
    assert [size.rows for size in prepare_wham(noisy, tmp_path / "out", trim=True)] == [2, 2, 2]
    row = checked(tmp_path / "out/train.tsv", "s2s").row(0)
    assert (row["path"].split("/")[1], row["target_path"].split("/")[1]) == ("mix_single_reverb", "s1_anechoic")


def test_broken_and_silent_files_are_left_out(libri, noisy, tmp_path):
    """Of each kind that a preparer meets: no audio at all, cut off, silent."""
    folder = libri / "train-clean-100/19/198"
    for number, ending in ((0, "0"), (1, "1")):
        path = folder / f"19_198_000000_00000{ending}.wav"
        path.write_bytes(b"not audio") if number == 0 else soundfile.write(path, np.zeros(9000), 24000)
    sizes = prepare_libritts(libri, tmp_path / "tts", parts=PARTS)
    assert sizes[0].rows == 2 and sizes[0].speakers == 1
    assert sizes[0].left_out == {"unreadable": 1, "no speaker vector": 1}
    listed = (tmp_path / "tts/left_out/train.tsv").read_text()
    assert "000000_000000.wav\tunreadable (" in listed and f"{folder}/19_198_000000_000001.wav: " in listed
    checked(tmp_path / "tts/train.tsv", "t2s")
    clean = sorted((noisy / "wav16k/max/tr/s1").iterdir())
    soundfile.write(clean[0], np.zeros(8000), 16000)
    for trim, kind in ((True, "cannot be trimmed"), (False, "no speaker vector")):
        size = prepare_wham(noisy, tmp_path / f"se{trim}", trim=trim)[0]
        assert size.rows == 1 and size.left_out == {kind: 1}
    assert "is silent" in (tmp_path / "seTrue/left_out/train.tsv").read_text()


def test_broken_arctic_files_are_left_out(tmp_path):
    for voice, hertz in (("bdl", 120.0), ("slt", 210.0)):
        arctic(tmp_path / "arctic", voice, hertz)
    folder = tmp_path / "arctic/cmu_us_slt_arctic/wav"
    (folder / "arctic_b0539.wav").write_bytes(b"RIFF")
    soundfile.write(folder / "arctic_a0001.wav", np.zeros(8000), 16000)  # found when the voice's vector is made
    sizes = prepare_cmu_arctic(tmp_path / "arctic", tmp_path / "out", pairs=["bdl:slt"])
    assert [(size.split, size.rows, size.speakers) for size in sizes] == [
        ("train", 3, 2),
        ("valid", 2, 2),
        ("test", 1, 2),
    ]
    assert sizes[0].left_out == {"the other voice lacks it": 2, "no speaker vector": 1, "unreadable": 1}


def test_again_does_nothing(libri, noisy, tmp_path, monkeypatch):
    for voice, hertz in (("bdl", 120.0), ("slt", 210.0)):
        arctic(tmp_path / "arctic", voice, hertz)

    def prepare():
        prepare_libritts(libri, tmp_path / "out/a", parts=PARTS, vocabulary=VocabularyOptions())
        prepare_cmu_arctic(tmp_path / "arctic", tmp_path / "out/b", pairs=["bdl:slt"])
        prepare_wham(noisy, tmp_path / "out/c", trim=True)

    prepare()
    kept = {"*.tsv", "*.txt", "*.wav", "*.wav.npy", "*.model"}  # all but the mean vectors, which are summed again
    stamps = {path: path.stat().st_mtime_ns for name in kept for path in (tmp_path / "out").rglob(name)}
    monkeypatch.setattr(headers, "_length", None)  # no header is read twice
    prepare()
    assert len(stamps) > 40 and {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_the_command_lines(libri, noisy, tmp_path, capsys):
    for voice in ("bdl", "slt"):
        arctic(tmp_path / "arctic", voice, 150.0)
    libritts.main([
        *("--corpus", str(libri), "--out", str(tmp_path / "a"), "--jobs", "1"),
        *("--train", "train-clean-100", "--test"),
    ])  # fmt: skip
    cmu_arctic.main(
        ["--corpus", str(tmp_path / "arctic"), "--out", str(tmp_path / "b"), "--jobs", "1", "--pairs", "bdl:slt"]
    )
    wham.main(["--corpus", str(noisy), "--out", str(tmp_path / "c"), "--jobs", "1"])
    printed = capsys.readouterr().out
    assert printed.count("all good") == 3 and printed.count("speakers") == 3 and printed.count("left out") == 3
    wave = next((noisy / "wav16k/max/tt/mix_single").iterdir())
    soundfile.write(wave, np.zeros(8000), 16000)  # its header and its end are good
    with pytest.raises(SystemExit):
        wham.main(["--corpus", str(noisy), "--out", str(tmp_path / "c"), "--jobs", "1"])
    assert "test.tsv:2: " in capsys.readouterr().out

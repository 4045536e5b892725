"""MuST-C, in a small folder of the same layout."""

import numpy as np
import pytest
import soundfile
from helpers import write_lines

from manifest_tools import segments
from manifest_tools.label_vocabulary import VocabularyOptions
from manifest_tools.mustc import main, prepare_mustc, read_segments
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest

RATE = 16000
# talk, offset and duration in seconds, what is said, its translation; talks alternate, as nothing forbids
SEGMENTS = {
    "train": [
        ("ted_1.wav", 0.5, 0.75, "Thank you.", "Vielen Dank."),
        ("ted_2.wav", 0.0, 0.3125, "Hello there", "Hallo, ihr"),
        ("ted_1.wav", 1.0000001, 0.5, "(Applause)", ""),
        ("ted_1.wav", 1.25, 0.5, "The end — really", "Das Ende – wirklich"),
        ("ted_2.wav", 1.75, 0.5, "Past the end", "Über das Ende"),
        ("ted_2.wav", 1.75, 1.5, "Far past the end", "Weit darüber"),
        ("ted_2.wav", 1.0, 0.01, "Uh", "Äh"),
    ],
    "dev": [("ted_3.wav", 0, 1, "One second", "Eine Sekunde")],
    "tst-COMMON": [("ted_4.wav", 0.25, 0.5, "A test", "Ein Test")],
}


def talk(path, seed, rate=RATE, seconds=2.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.4, 0.4, int(seconds * rate))
    soundfile.write(path, noise, rate, subtype="PCM_16")


def yaml_line(name, offset, duration):
    return f"- {{duration: {duration}, offset: {offset}, rW: 3, uW: 0, speaker_id: spk.{name[4]}, wav: {name}}}"


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "mustc"
    for split, rows in SEGMENTS.items():
        folder = root / "en-de/data" / split
        for name in {segment[0] for segment in rows}:
            talk(folder / "wav" / name, seed=int(name[4]))
        (folder / "txt").mkdir()
        write_lines(folder / f"txt/{split}.yaml", [yaml_line(*segment[:3]) for segment in rows])
        for place, language in ((3, "en"), (4, "de")):
            write_lines(folder / f"txt/{split}.{language}", [segment[place] for segment in rows])
    return root


OPTIONS = {"vocabulary": VocabularyOptions(model_type="char")}


def opened(out, split):
    manifest = Manifest.open(out / f"{split}.tsv", JOB_COLUMNS["s2t"])
    assert verify(manifest, progress=False).total_problems == 0
    return manifest


def test_segments_manifests_and_texts(corpus, tmp_path):
    out = tmp_path / "out"
    sizes = prepare_mustc(corpus, "en-de", out, **OPTIONS)
    assert [(size.split, size.rows, size.samples) for size in sizes] == [
        ("train", 4, 12000 + 5000 + 8000 + 4000), ("valid", 1, 16000), ("test", 1, 8000),
    ]  # fmt: skip
    manifest = opened(out, "train")
    assert [manifest.row(index)["path"] for index in range(4)] == [
        "train/ted_1_0000.flac", "train/ted_2_0000.flac", "train/ted_1_0002.flac", "train/ted_2_0001.flac",
    ]  # fmt: skip
    wave = read_audio(corpus / "en-de/data/train/wav/ted_1.wav")
    for row, (start, end) in {0: (8000, 20000), 2: (20000, 28000)}.items():  # sample for sample
        assert np.array_equal(read_audio(manifest.path(row)), wave[start:end])
    wave = read_audio(corpus / "en-de/data/train/wav/ted_2.wav")
    assert np.array_equal(read_audio(manifest.path(3)), wave[28000:])  # to the end of its talk
    assert (out / "train.txt").read_text() == "Vielen Dank.\nHallo, ihr\nDas Ende – wirklich\nÜber das Ende\n"
    assert (out / "transcripts/train.txt").read_text().splitlines()[2:] == ["The end — really", "Past the end"]
    assert (out / "valid.txt").read_text() == "Eine Sekunde\n" and (out / "test.txt").read_text() == "Ein Test\n"
    assert (out / "left_out/train.tsv").read_text().splitlines() == [
        "ted_1_0001\tno translation",
        "ted_2_0002\tpast the end of its recording (3.25 s of 2.00 s)",
        "ted_2_0003\ttoo short (160 samples, one encoder frame is 400)",
    ]
    assert sizes[0].speakers == 2 and sizes[0].left_out == {
        "no translation": 1, "past the end of its recording": 1, "too short": 1
    }  # fmt: skip


def test_segments_may_stay_in_their_talks(corpus, tmp_path):
    talk(corpus / "en-de/data/tst-COMMON/wav/ted_4.wav", seed=4, rate=44100)
    sizes = {}
    for name in ("flac", "none"):
        sizes[name] = prepare_mustc(corpus, "en-de", tmp_path / name, audio_format=name, **OPTIONS)
    assert sizes["none"] == sizes["flac"] and not (tmp_path / "none/audio").exists()
    for split in ("train", "valid", "test"):
        cut, uncut = (opened(tmp_path / name, split) for name in sizes)
        assert uncut.samples.tolist() == cut.samples.tolist()
        for row in range(len(cut)):
            np.testing.assert_allclose(read_audio(uncut.path(row)), read_audio(cut.path(row)), atol=1 / 32768)
    uncut = opened(tmp_path / "none", "train")
    assert [uncut.row(row)["path"] for row in (2, 3)] == ["ted_1.wav:20000:8000", "ted_2.wav:28000:4000"]
    path = corpus / "en-de/data/train/wav/ted_2.wav"
    path.write_bytes(path.read_bytes()[:-8000])
    for name in sizes:  # what is cut off is told of, whether or not the rest is decoded
        again = prepare_mustc(corpus, "en-de", tmp_path / "again" / name, audio_format=name, **OPTIONS)[0]
        assert again.rows == 3 and again.left_out["too short"] == 2


def test_the_vocabulary_is_of_the_target_language(corpus, tmp_path):
    prepare_mustc(corpus, "en-de", tmp_path / "out", **OPTIONS)
    symbols = [line.split()[0] for line in (tmp_path / "out/dict.txt").read_text().splitlines()]
    assert "Ü" in symbols and "–" in symbols and "—" not in symbols and "A" not in symbols  # "A": transcripts, test
    assert (tmp_path / "out/dict.txt").read_bytes() == (tmp_path / "out/vocabulary/dict.txt").read_bytes()


def test_a_given_vocabulary(corpus, tmp_path):
    prepare_mustc(corpus, "en-de", tmp_path / "out", **OPTIONS)
    given = tmp_path / "out/vocabulary"
    prepare_mustc(corpus, "en-de", tmp_path / "more", splits=["tst-COMMON"], vocabulary=VocabularyOptions(given))
    assert (tmp_path / "more/dict.txt").read_bytes() == (given / "dict.txt").read_bytes()
    assert not (tmp_path / "more/vocabulary").exists() and not (tmp_path / "more/train.tsv").exists()
    write_lines(tmp_path / "more/dict.txt", ["other 1"])
    with pytest.raises(ValueError, match="more/dict.txt is another dictionary"):
        prepare_mustc(corpus, "en-de", tmp_path / "more", splits=["tst-COMMON"], vocabulary=VocabularyOptions(given))


def test_again_cuts_only_what_is_missing(corpus, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare_mustc(corpus, "en-de", out, **OPTIONS)
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.t*")}
    (out / "audio/train/ted_1_0002.flac").unlink()
    soundfile.write(out / "audio/test/ted_4_0000.flac", np.zeros(10), RATE)
    written, real = [], segments.write_audio
    monkeypatch.setattr(segments, "write_audio", lambda path, wave: written.append(path.name) or real(path, wave))
    prepare_mustc(corpus, "en-de", out, **OPTIONS)
    assert written == ["ted_1_0002.flac", "ted_4_0000.flac"]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    talk(corpus / "en-de/data/dev/wav/ted_3.wav", seed=9)  # another recording, later
    prepare_mustc(corpus, "en-de", out, **OPTIONS)
    assert written[2:] == ["ted_3_0000.flac"]
    write_lines(corpus / "en-de/data/dev/txt/dev.yaml", [yaml_line("ted_3.wav", 0.5, 1)])  # of the same length
    prepare_mustc(corpus, "en-de", out, **OPTIONS)
    assert written[3:] == ["ted_3_0000.flac"]


def test_several_processes_give_the_same(corpus, tmp_path):
    for jobs in (1, 2):
        prepare_mustc(corpus, "en-de", tmp_path / str(jobs), audio_format="wav", n_jobs=jobs, **OPTIONS)
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert sum(path.suffix == ".wav" for path in files) == 6
    assert all((tmp_path / "1" / path).read_bytes() == (tmp_path / "2" / path).read_bytes() for path in files)


def test_talks_of_another_rate(corpus, tmp_path):
    talk(corpus / "en-de/data/tst-COMMON/wav/ted_4.wav", seed=4, rate=44100)
    prepare_mustc(corpus, "en-de", tmp_path / "out", **OPTIONS)
    assert opened(tmp_path / "out", "test").row(0)["samples"] == 8000


def test_the_command_ends_with_the_check(corpus, tmp_path, capsys):
    folders = ["--corpus", str(corpus), "--pair", "en-de", "--out", str(tmp_path / "out"), "--jobs", "1"]
    main([*folders, "--type", "char", "--normalise", "none"])
    output = capsys.readouterr().out
    assert "all good" in output and output.count("train") >= 2
    path = corpus / "en-de/data/dev/wav/ted_3.wav"
    soundfile.write(path, np.zeros(2 * RATE), RATE, subtype="PCM_16")
    with pytest.raises(SystemExit) as status:
        main([*folders, "--type", "char", "--check", "quick"])
    assert status.value.code == 1
    assert "valid.tsv:2: " in capsys.readouterr().out
    with pytest.raises(ValueError, match="--type and --size have no effect with --vocabulary"):
        main([*folders, "--type", "char", "--vocabulary", str(tmp_path / "out/vocabulary")])


def test_mistakes_are_named(corpus, tmp_path):
    def refused(kind, message, pair="en-de", **options):
        with pytest.raises(kind, match=message):
            prepare_mustc(corpus, pair, tmp_path / "out", **{**OPTIONS, **options})

    refused(ValueError, "--pair 'de': write the two languages as SOURCE-TARGET", pair="de")
    refused(FileNotFoundError, "--pair en-fr: no folder .*en-fr/data; it should hold the splits", pair="en-fr")
    refused(ValueError, "without a train split there is no text for a vocabulary", splits=["dev"])
    refused(ValueError, "--audio-format 'mp3': choose one of flac, wav, none", audio_format="mp3")
    refused(FileNotFoundError, "no spm.model and no dict.txt in it", vocabulary=VocabularyOptions(tmp_path))
    refused(FileNotFoundError, "no folder .*data/tst-HE", splits=["train", "tst-HE"])
    text = corpus / "en-de/data/dev/txt"
    (text / "dev.de").write_text("Eins\nZwei\n")
    refused(ValueError, r"dev.yaml: 1 segments, but 1 lines in dev.en and 2 in dev.de; copy the three files again")
    write_lines(text / "dev.yaml", ["- {offset: 0.5, wav: ted_3.wav}"])
    (text / "dev.de").write_text("Eins\n")
    refused(ValueError, r"dev.yaml, entry 1: no duration in seconds \({'offset': 0.5, 'wav': 'ted_3.wav'}\)")
    write_lines(text / "dev.yaml", ["- {duration: 1"])
    refused(ValueError, "dev.yaml: not YAML")
    write_lines(text / "dev.yaml", [yaml_line("ted_3.wav", 3, 1)])
    refused(ValueError, "data/dev: no segment of 1 can be used; the first: ted_3_0000: past the end of its")


def test_a_broken_talk_does_not_keep_the_others_from_being_cut(corpus, tmp_path):
    path = corpus / "en-de/data/train/wav/ted_2.wav"
    path.write_bytes(path.read_bytes()[:30])
    sizes = prepare_mustc(corpus, "en-de", tmp_path / "out", **OPTIONS)
    assert sizes[0].rows == 2 and sizes[0].left_out == {"unreadable": 4, "no translation": 1}
    assert "ted_2_0000\tunreadable (" in (tmp_path / "out/left_out/train.tsv").read_text()
    talk(path, seed=2)
    assert prepare_mustc(corpus, "en-de", tmp_path / "again", **OPTIONS)[0].rows == 4


def test_offsets_are_rounded_to_samples(corpus):
    segments = read_segments((corpus / "en-de/data").resolve(), "train", "en", "de")
    cuts = [(row.segment.start, row.segment.samples) for row in segments[:3]]
    assert cuts == [(8000, 12000), (0, 5000), (16000, 8000)]
    assert segments[2].segment.name == "ted_1_0001" and segments[3].transcript == "The end — really"

"""Manifests of one's own recordings, and manifests joined."""

import numpy as np
import pytest
import soundfile
from helpers import write_lines, write_speech

from manifest_tools.combine import combine_manifests
from manifest_tools.recordings import main, prepare_recordings
from manifest_tools.speaker_vectors import prepare_speaker_vectors
from manifest_tools.tables import Columns
from manifest_tools.vocabulary import train_vocabulary
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    for number in range(30):
        write_speech(folder / f"speaker{number % 10}/session{number}", 1, samples=[4000 + number])
    return folder


def names_of(path):
    manifest = Manifest.open(path, JOB_COLUMNS["s2t"])
    return [manifest.row(index)["path"] for index in range(len(manifest))]


def table_of(corpus, path, skip=0):
    names = sorted(file.relative_to(corpus).as_posix() for file in corpus.rglob("*.wav"))
    return write_lines(path, [f"{name}\tText of {name.split('/')[1]}." for name in names[skip:]])


def test_transcribed_recordings(corpus, tmp_path):
    table = table_of(corpus, tmp_path / "table.tsv")
    out = tmp_path / "out"
    sizes = prepare_recordings(corpus, out, transcripts=table, valid_fraction=0.2, test_fraction=0.2)
    assert sum(size.rows for size in sizes) == 30 and [size.split for size in sizes] == ["train", "valid", "test"]
    seen = []
    for split in ("train", "valid", "test"):
        names = names_of(out / f"{split}.tsv")
        texts = (out / f"{split}.txt").read_text().splitlines()
        assert texts == [f"Text of {name.split('/')[1]}." for name in names]
        seen += names
    assert len(set(seen)) == 30
    manifest = Manifest.open(out / "train.tsv", JOB_COLUMNS["s2t"])
    assert soundfile.info(manifest.path(0)).frames == manifest.samples[0]
    assert all(path.read_text() == "" for path in (out / "left_out").iterdir())


def test_more_recordings_never_move_the_others(corpus, tmp_path):
    prepare_recordings(corpus, tmp_path / "a", valid_fraction=0.2, test_fraction=0.2)
    write_speech(corpus / "new", 12)
    prepare_recordings(corpus, tmp_path / "b", valid_fraction=0.2, test_fraction=0.2)
    for split in ("train", "valid", "test"):
        assert set(names_of(tmp_path / f"a/{split}.tsv")) <= set(names_of(tmp_path / f"b/{split}.tsv"))
    assert not (tmp_path / "a/train.txt").exists()


def test_a_split_of_before_whose_recordings_train_now_is_told(corpus, tmp_path):
    out, held = tmp_path / "out", {"valid_fraction": 0.2, "test_fraction": 0.2}
    prepare_recordings(corpus, out, **held)
    combine_manifests([out], tmp_path / "all")
    with pytest.raises(ValueError, match="out/valid.tsv: this run made no valid, and .* are in train.tsv now"):
        prepare_recordings(corpus, out, valid_fraction=0, test_fraction=0.2)
    (out / "valid.tsv").unlink()
    prepare_recordings(corpus, out, valid_fraction=0, test_fraction=0.2)
    with pytest.raises(ValueError, match="all/valid.tsv: this run made no valid, and .* are in train.tsv now"):
        combine_manifests([out], tmp_path / "all")


def test_whole_speakers_are_held_out(corpus, tmp_path):
    prepare_recordings(corpus, tmp_path / "out", valid_fraction=0.3, test_fraction=0.3, split_level=1)
    speakers = [
        {name.split("/")[0] for name in names_of(path)}
        for path in sorted((tmp_path / "out").glob("*.tsv"))
        if path.stem != "left_out"
    ]
    assert sum(map(len, speakers)) == 10 == len(set().union(*speakers))
    with pytest.raises(ValueError, match="--split-level 3: .* lies in 2 folders; choose 0 to 2"):
        prepare_recordings(corpus, tmp_path / "deep", split_level=3)


def test_what_is_left_out_is_listed(corpus, tmp_path):
    write_speech(corpus / "short", 1, samples=[500])
    soundfile.write(corpus / "short/long.wav", np.full(40000, 0.1), 8000)  # 5 s at 8 kHz
    table = table_of(corpus, tmp_path / "table.tsv", skip=4)
    lines = table.read_text().splitlines()
    write_lines(table, [*lines[:-1], lines[-1].split("\t")[0] + "\t..."])
    prepare_recordings(
        corpus,
        tmp_path / "out",
        transcripts=table,
        normaliser="en",
        max_seconds=2.0,
        min_seconds=0.1,
        valid_fraction=0.2,
    )
    lists = [path.read_text().splitlines() for path in (tmp_path / "out/left_out").iterdir()]
    assert sorted(line.split("\t")[1] for lines in lists for line in lines) == [
        *["no transcript"] * 2, "too long (5.000 s, --max-seconds is 2)", "too short (0.031 s, --min-seconds is 0.1)",
        "transcript without words",
    ]  # fmt: skip


def test_transcripts_beside_and_normalised(tmp_path):
    write_speech(tmp_path / "corpus", 3)
    for number in range(3):
        write_lines(tmp_path / f"corpus/{number}.txt", ["Hello,", "World!"])
    sizes = prepare_recordings(
        tmp_path / "corpus", tmp_path / "out", transcripts="beside", normaliser="en", valid_fraction=0, test_fraction=0
    )
    assert [(size.split, size.rows) for size in sizes] == [("train", 3)]
    assert (tmp_path / "out/train.txt").read_text() == "hello world\n" * 3
    write_lines(tmp_path / "corpus/1.txt", ["9" * 400])
    with pytest.raises(ValueError, match=r"the text of 1.wav: num2words cannot read the number '999"):
        prepare_recordings(tmp_path / "corpus", tmp_path / "out", transcripts="beside", normaliser="en")


def test_mistakes_are_named(corpus, tmp_path):
    for lines, message in (
        (["a.wav Hello"], "table.tsv:1: 'a.wav Hello' is not a path, a tab and a text"),
        (["a.wav\tHello", "a.wav\tBye"], "table.tsv:2: a second text for 'a.wav'"),
        (["a.wav\tHello"], "none of its 1 paths is below"),
    ):
        with pytest.raises(ValueError, match=message):
            prepare_recordings(corpus, tmp_path / "out", transcripts=write_lines(tmp_path / "table.tsv", lines))
    with pytest.raises(FileNotFoundError, match="no file ends in .opus"):
        prepare_recordings(corpus, tmp_path / "out", extensions=["opus"])
    with pytest.raises(ValueError, match="--valid-fraction 0.6"):
        prepare_recordings(corpus, tmp_path / "out", valid_fraction=0.6, test_fraction=0.6)
    with pytest.raises(ValueError, match="no recording of train is left of .*too short"):
        prepare_recordings(corpus, tmp_path / "out", min_seconds=5.0)


def folder_of(path, prefix, count, root="../audio"):
    rows = [(f"{prefix}/{name}", samples) for name, samples in write_speech(path.parent / "audio" / prefix, count)]
    path.mkdir(parents=True, exist_ok=True)
    write_manifest(path / "train.tsv", root, rows)
    write_lines(path / "train.txt", [f"{prefix} {number}" for number in range(count)])
    return path


def test_manifests_are_joined_with_their_labels(tmp_path):
    en, fr = folder_of(tmp_path / "en", "en", 3), folder_of(tmp_path / "fr", "fr", 2, root=str(tmp_path / "audio"))
    sizes = combine_manifests([en, fr], tmp_path / "all")
    assert [(size.split, size.rows) for size in sizes] == [("train", 5)]
    manifest = Manifest.open(tmp_path / "all/train.tsv", JOB_COLUMNS["s2t"])
    assert all(manifest.path(index).is_file() for index in range(5))
    assert (tmp_path / "all/train.txt").read_text().splitlines() == ["en 0", "en 1", "en 2", "fr 0", "fr 1"]
    assert manifest.row(3)["path"] == "fr/0.wav"


def test_near_data_stays_movable(tmp_path):
    combine_manifests(
        [folder_of(tmp_path / "a/en", "en", 2), folder_of(tmp_path / "a/fr", "fr", 2)], tmp_path / "a/all"
    )
    (tmp_path / "a").rename(tmp_path / "b")
    manifest = Manifest.open(tmp_path / "b/all/train.tsv", JOB_COLUMNS["s2t"])
    assert manifest.path(3).is_file()


def test_manifests_that_do_not_fit_are_errors(tmp_path):
    en, fr = folder_of(tmp_path / "en", "en", 2), folder_of(tmp_path / "fr", "fr", 2)
    with pytest.raises(ValueError, match="is one of --inputs"):
        combine_manifests([en, fr], en)
    write_lines(fr / "train.txt", ["one line"])
    with pytest.raises(ValueError, match="has 1 lines"):
        combine_manifests([en, fr], tmp_path / "all")
    (fr / "train.txt").unlink()
    with pytest.raises(FileNotFoundError, match="fr/train.txt: missing"):
        combine_manifests([en, fr], tmp_path / "all")
    write_manifest(fr / "train.tsv", "../audio", [("fr/0.wav", 5000, "speaker.npy")])
    with pytest.raises(ValueError, match="3 columns.*2"):
        combine_manifests([en, fr], tmp_path / "all")
    (fr / "train.tsv").unlink()
    with pytest.raises(FileNotFoundError, match="fr/train.tsv: missing, while"):
        combine_manifests([en, fr], tmp_path / "all")
    with pytest.raises(FileNotFoundError, match="no other.tsv"):
        combine_manifests([en, fr], tmp_path / "all", splits=["other"])


def test_units_of_two_models_are_never_joined(tmp_path):
    inputs = [folder_of(tmp_path / name, name, 1) for name in ("en", "fr")]
    for folder in inputs:
        write_lines(folder / "train.km", ["1 2 3"])
        write_lines(folder / "dict.km.txt", [f"{unit} 1" for unit in range(4)])
        (folder / "kmeans.joblib").write_bytes(b"same")
    combine_manifests(inputs, tmp_path / "all")
    assert (tmp_path / "all/train.km").read_text() == "1 2 3\n" * 2 and (tmp_path / "all/dict.km.txt").is_file()
    (inputs[1] / "kmeans.joblib").write_bytes(b"other")
    with pytest.raises(ValueError, match="unit 5 of one is not unit 5 of the other"):
        combine_manifests(inputs, tmp_path / "all")


def test_again_keeps_the_columns_and_files_that_others_added(corpus, tmp_path, caplog):
    """Every tool that writes manifests: the speaker column stays, and files whose content stays are not touched."""
    table, out, both = table_of(corpus, tmp_path / "table.tsv"), tmp_path / "out", tmp_path / "all"

    def make():
        prepare_recordings(corpus, out, transcripts=table, valid_fraction=0.2, test_fraction=0.2)
        combine_manifests([out], both)

    make()
    for folder in (both, out):
        prepare_speaker_vectors([folder / "train.tsv"], tmp_path / "speakers")
    files = [folder / name for folder in (out, both) for name in ("train.tsv", "train.txt", "valid.tsv")]
    before = [(path.read_text(), path.stat().st_mtime_ns) for path in files]
    prepare_recordings(corpus, out, transcripts=table, valid_fraction=0.2, test_fraction=0.2)
    combine_manifests([out], both, splits=["train"])  # its input has the column by now
    assert [(path.read_text(), path.stat().st_mtime_ns) for path in files] == before
    assert Manifest.open(both / "train.tsv", JOB_COLUMNS["pretrain"]).width == 3 and not caplog.records
    (corpus / "speaker1/session1/0.wav").unlink()
    table_of(corpus, table)
    make()
    assert "train.tsv: its rows changed, so 1 more column(s) of the old ones are gone" in caplog.text
    assert Manifest.open(both / "train.tsv", JOB_COLUMNS["pretrain"]).width == 2


def test_a_manifest_joined_before_the_speakers_keeps_them(tmp_path):
    en, fr = folder_of(tmp_path / "en", "en", 2), folder_of(tmp_path / "fr", "fr", 2)
    combine_manifests([en, fr], tmp_path / "all")
    prepare_speaker_vectors([tmp_path / "all/train.tsv"], tmp_path / "speakers")
    content = (tmp_path / "all/train.tsv").read_text()
    combine_manifests([en, fr], tmp_path / "all")
    assert (tmp_path / "all/train.tsv").read_text() == content and content.count(".npy") == 4


def test_a_damaged_manifest_is_written_again(corpus, tmp_path):
    prepare_recordings(corpus, tmp_path)
    content = (tmp_path / "train.tsv").read_text()
    (tmp_path / "train.tsv").write_text(content[:-7])
    prepare_recordings(corpus, tmp_path)
    assert (tmp_path / "train.tsv").read_text() == content


def test_broken_recordings_are_left_out_and_found_when_they_are_mended(corpus, tmp_path):
    whole = (corpus / "speaker0/session0/0.wav").read_bytes()
    (corpus / "speaker0/session0/0.wav").write_bytes(b"not audio")
    options = {"valid_fraction": 0, "test_fraction": 0}
    size = prepare_recordings(corpus, tmp_path / "out", **options)[0]
    assert (size.rows, size.left_out) == (29, {"unreadable": 1})
    assert "speaker0/session0/0.wav\tunreadable (" in (tmp_path / "out/left_out/train.tsv").read_text()
    (corpus / "speaker0/session0/0.wav").write_bytes(whole)
    assert prepare_recordings(corpus, tmp_path / "out", **options)[0].rows == 30


def test_a_table_of_columns(tmp_path):
    rows = write_speech(tmp_path / "audio", 6)
    table = write_lines(
        tmp_path / "corpus.csv",
        ["who,file,words,part", *(f'{"ab"[n % 2]},{name},"One, {n}",{("train", "dev", "test")[n // 2]}' for n, (name, _)
         in enumerate(rows)), "c,none.wav,Nothing,train"],
    )  # fmt: skip
    columns = Columns("file", text="words", speaker="who", split="part")
    sizes = prepare_recordings(tmp_path / "audio", tmp_path / "out", transcripts=table, columns=columns)
    assert [(size.split, size.rows, size.speakers) for size in sizes] == [
        ("train", 2, 2), ("valid", 2, 2), ("test", 2, 2)
    ]  # fmt: skip
    assert sizes[0].left_out == {"no such file": 1} and not sizes[1].left_out
    assert (tmp_path / "out/valid.txt").read_text() == "One, 2\nOne, 3\n"
    named = (tmp_path / "out/speakers.tsv").read_text().splitlines()  # none.wav is in no manifest
    assert named == [f"{n}.wav\t{'ab'[n % 2]}" for n in range(6)]
    prepare_speaker_vectors(
        [tmp_path / "out/train.tsv"], tmp_path / "vectors", speaker_table=tmp_path / "out/speakers.tsv"
    )


def test_a_table_holds_out_whole_speakers(tmp_path):
    rows = write_speech(tmp_path / "audio", 24)
    table = write_lines(tmp_path / "t.tsv", ["file\twho", *(f"{name}\t{n % 8}" for n, (name, _) in enumerate(rows))])
    options = {"valid_fraction": 0.3, "test_fraction": 0.3, "columns": Columns("file", speaker="who")}
    sizes = prepare_recordings(tmp_path / "audio", tmp_path / "out", transcripts=table, **options)
    assert len(sizes) > 1 and sum(size.speakers for size in sizes) == 8 and not (tmp_path / "out/train.txt").exists()


def test_what_a_table_without_texts_does_not_name_is_left_out(tmp_path):
    rows = write_speech(tmp_path / "audio", 4)
    table = write_lines(tmp_path / "t.tsv", ["file\twho", *(f"{name}\ta" for name, _ in rows[:3])])
    options = {"valid_fraction": 0, "test_fraction": 0, "columns": Columns("file", speaker="who")}
    sizes = prepare_recordings(tmp_path / "audio", tmp_path / "out", transcripts=table, **options)
    assert sum(size.rows for size in sizes) == 3
    listed = [line for path in (tmp_path / "out/left_out").iterdir() for line in path.read_text().splitlines()]
    assert f"{rows[3][0]}\tnot in the table" in listed


def test_the_command_checks_the_audio_or_with_a_vocabulary_all(corpus, tmp_path, capsys):
    table = table_of(corpus, tmp_path / "table.tsv")
    options = ["--audio", str(corpus), "--transcripts", str(table), "--out", str(tmp_path / "out"), "--jobs", "1"]
    main(options)
    assert "all good" in capsys.readouterr().out and not (tmp_path / "out/dict.txt").exists()
    train_vocabulary([tmp_path / "out/train.txt"], tmp_path / "vocabulary")
    main([*options, "--vocabulary", str(tmp_path / "vocabulary"), "--check", "quick"])
    printed = capsys.readouterr().out
    assert "all good" in printed and (tmp_path / "out/dict.txt").is_file()
    with pytest.raises(ValueError, match="column options and --delimiter have no effect without --path-column"):
        main([*options, "--text-column", "words"])
    with pytest.raises(ValueError, match="--vocabulary has no effect without texts"):
        main([*options[:2], *options[4:], "--vocabulary", str(tmp_path / "vocabulary")])
    with pytest.raises(ValueError, match="--path-column and its kin have no effect without a table"):
        main([*options[:2], *options[4:], "--path-column", "file"])

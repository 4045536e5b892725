"""Speech with the texts of another language: what belongs together, and what is held out on both sides."""

import pytest
from helpers import write_lines, write_speech

from manifest_tools.translations import main, prepare_translations, row_name
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest


def language(folder, name, splits, seed=0):
    """folder/NAME/SPLIT.tsv and .txt of {split: {row's name: text}}, the audio in folder/wav/NAME."""
    for split, texts in splits.items():
        seed += 1
        (folder / name).mkdir(parents=True, exist_ok=True)
        tones = write_speech(folder / "tones", len(texts), seed=seed)
        rows = []
        for row, (tone, samples) in zip(texts, tones, strict=True):
            wav = folder / "wav" / name / f"{row}.wav"
            wav.parent.mkdir(parents=True, exist_ok=True)
            (folder / "tones" / tone).rename(wav)
            rows.append((f"{name}/{row}.wav", samples))
        write_manifest(folder / name / f"{split}.tsv", "../wav", rows)
        write_lines(folder / name / f"{split}.txt", list(texts.values()))
    return folder / name


FRENCH = {
    "train": {"digits/1": "un", "digits/2": "deux", "bye": "salut", "sorry": "pardon", "only": "seul", "moved": "ici"},
    "valid": {"hello": "bonjour", "thanks": "merci"},
    "test": {"goodbye": "au revoir", "hi": "salut à toi"},
}
ENGLISH = {  # another order; "bye" says what a held-out row says, "sorry" what one of valid does
    "train": {"digits/2": "two", "digits/1": "one", "bye": "Good  bye", "sorry": "thank you", "new": "new"},
    "valid": {"hello": "hello", "thanks": "thank you"},
    "test": {"goodbye": "good bye", "hi": "hi there", "moved": "here"},
}


@pytest.fixture
def prompts(tmp_path):
    folder = tmp_path / "prompts"
    return language(folder, "fr", FRENCH), language(folder, "en", ENGLISH, seed=10)


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def paths(out, split):
    manifest = Manifest.open(out / f"{split}.tsv", JOB_COLUMNS["s2t"])
    assert verify(manifest, progress=False).total_problems == 0
    return [manifest.row(index)["path"] for index in range(len(manifest))]


def test_each_recording_has_its_translation(prompts, tmp_path):
    out = tmp_path / "prompts/fr-en"
    sizes = prepare_translations(*prompts, out)
    assert [(size.split, size.rows) for size in sizes] == [("train", 2), ("valid", 2), ("test", 2)]
    assert paths(out, "train") == ["fr/digits/1.wav", "fr/digits/2.wav"]
    assert lines(out / "train.txt") == ["one", "two"] and lines(out / "transcripts/train.txt") == ["un", "deux"]
    assert paths(out, "test") == ["fr/goodbye.wav", "fr/hi.wav"]
    assert lines(out / "test.txt") == ["good bye", "hi there"]
    assert lines(out / "left_out/all.tsv") == [
        "en/new.wav\tof train: not in the source",
        "fr/bye.wav\tof train: the same text is in test",
        "fr/moved.wav\tof train: of test in the target",
        "fr/only.wav\tof train: not in the target",
        "fr/sorry.wav\tof train: the same text is in valid",
    ]


def test_the_other_direction_holds_out_the_same(prompts, tmp_path):
    """What is a target there is a source here."""
    prepare_translations(*prompts[::-1], tmp_path / "en-fr")
    assert lines(tmp_path / "en-fr/train.txt") == ["deux", "un"]
    reasons = dict(line.split("\t") for line in lines(tmp_path / "en-fr/left_out/all.tsv"))
    assert reasons["en/bye.wav"] == "of train: the same text is in test"
    assert reasons["en/sorry.wav"] == "of train: the same text is in valid"


def test_nothing_held_out_is_in_training(prompts, tmp_path):
    for number, (source, target) in enumerate((prompts, prompts[::-1])):
        out = tmp_path / str(number)
        prepare_translations(source, target, out)
        names = {split: {row_name(path, 1) for path in paths(out, split)} for split in ("train", "valid", "test")}
        for folder in (out, out / "transcripts"):
            texts = {split: {" ".join(text.casefold().split()) for text in lines(folder / f"{split}.txt")}
                     for split in names}  # fmt: skip
            for held in ("valid", "test"):
                assert not texts["train"] & texts[held] and not names["train"] & names[held]


def test_a_twin_in_valid_of_a_test_row_goes_too(tmp_path):
    folder = tmp_path / "prompts"
    source = language(folder, "fr", {"train": {"a": "un"}, "valid": {"b": "deux", "c": "trois"}, "test": {"d": "x"}})
    target = language(
        folder, "en", {"train": {"a": "one"}, "valid": {"b": "SAME", "c": "three"}, "test": {"d": "same"}}
    )
    prepare_translations(source, target, tmp_path / "out")
    assert lines(tmp_path / "out/valid.txt") == ["three"]
    assert lines(tmp_path / "out/left_out/all.tsv") == ["fr/b.wav\tof valid: the same text is in test"]


def test_again_leaves_the_files_alone_and_they_move_with_their_data(prompts, tmp_path):
    out = tmp_path / "prompts/fr-en"
    prepare_translations(*prompts, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    prepare_translations(*prompts, out)
    assert {path: path.stat().st_mtime_ns for path in before if path.is_file()} == {
        path: stamp for path, stamp in before.items() if path.is_file()
    }
    (tmp_path / "prompts").rename(tmp_path / "moved")
    assert len(paths(tmp_path / "moved/fr-en", "train")) == 2


def test_a_source_without_texts(prompts, tmp_path):
    for split in FRENCH:
        (prompts[0] / f"{split}.txt").unlink()
    prepare_translations(*prompts, tmp_path / "out")
    assert lines(tmp_path / "out/train.txt") == ["one", "two"] and not (tmp_path / "out/transcripts").exists()
    with pytest.raises(FileNotFoundError, match="fr/train.txt: no texts of the target"):
        prepare_translations(*prompts[::-1], tmp_path / "back")


def test_mistakes_are_named(prompts, tmp_path):
    with pytest.raises(ValueError, match="--language-folders 2: 'fr/bye.wav' lies in 1; give 0 to that"):
        prepare_translations(*prompts, tmp_path / "out", language_folders=2)
    with pytest.raises(ValueError, match="no row of .*fr has the name of one of .*check --language-folders 0"):
        prepare_translations(*prompts, tmp_path / "out", language_folders=0)
    with (prompts[0] / "test.tsv").open("a") as file:
        file.write("fr/digits/1.flac\t9000\n")
    with (prompts[0] / "test.txt").open("a") as file:
        file.write("un\n")
    with pytest.raises(ValueError, match="fr/test.tsv:4: 'digits/1' is also fr/digits/1.wav in train; delete one"):
        prepare_translations(*prompts, tmp_path / "out")


def test_the_command_line(prompts, tmp_path, capsys):
    main(["--source", str(prompts[0]), "--target", str(prompts[1]), "--out", str(tmp_path / "out")])
    assert "test" in capsys.readouterr().out


def test_another_direction_does_not_write_over_this_one(prompts, tmp_path):
    out, (french, english) = tmp_path / "prompts/pairs", prompts
    prepare_translations(french, english, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"train.tsv holds other recordings, the first 'fr/digits/1.wav'"):
        prepare_translations(english, french, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before

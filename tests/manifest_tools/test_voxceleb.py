"""VoxCeleb1, in a small folder of the same layout."""

import pytest
from helpers import write_lines, write_speech

from manifest_tools.check import check_data
from manifest_tools.voxceleb import main, prepare_voxceleb, read_split
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.scoring.trials import read_trials

SPEAKERS = ("id10001", "id10002", "id10003", "id10270", "id10271")
TRIALS = ["1 id10270/vid0/00001.wav id10270/vid1/00001.wav", "0 id10270/vid0/00001.wav id10271/vid2/00001.wav"]


@pytest.fixture
def corpus(tmp_path):
    """Each speaker has videos 0 and 1 to train, 2 to validate, 3 to test, of a recording each."""
    found, lines = tmp_path / "VoxCeleb1", []
    for number, speaker in enumerate(SPEAKERS):
        for video, part in enumerate((1, 1, 2, 3)):
            folder = found / "wav" / speaker / f"vid{video}"
            write_speech(folder, 1, seed=10 * number + video)
            (folder / "0.wav").rename(folder / "00001.wav")
            lines.append(f"{part} {speaker}/vid{video}/00001.wav")
    write_lines(found / "iden_split.txt", lines)
    write_lines(found / "veri_test.txt", TRIALS)
    return found


def test_the_official_lists(corpus, tmp_path):
    out = tmp_path / "out"
    sizes = prepare_voxceleb(corpus, out)
    assert [(size.split, size.rows) for size in sizes] == [
        ("train", 10), ("valid", 5), ("test", 5), ("verification", 3)
    ]  # fmt: skip
    assert (out / "dict.txt").read_text() == "".join(f"{speaker} 2\n" for speaker in SPEAKERS)
    manifest = Manifest.open(out / "valid.tsv", JOB_COLUMNS["s2c"])
    assert manifest.row(3)["path"] == "id10270/vid2/00001.wav" and manifest.row(3)["label"] == "id10270"
    assert not check_data("s2c", out, progress=False).errors
    trials = read_trials(out / "trials.txt")
    assert [" ".join((str(int(t.target)), t.first, t.second)) for t in trials] == TRIALS
    verified = Manifest.open(out / "verification.tsv", JOB_COLUMNS["s2c"])
    assert not verified.has("label") and verify(verified, progress=False).total_problems == 0
    assert {str(verified.row(i)["path"]) for i in range(3)} == {name for t in trials for name in (t.first, t.second)}


def test_from_the_command_line(corpus, tmp_path, capsys):
    main(["--corpus", str(corpus), "--out", str(tmp_path / "out"), "--jobs", "1"])
    assert "verification" in capsys.readouterr().out


def test_speakers_of_the_trials_can_stay_unheard(corpus, tmp_path):
    out = tmp_path / "out"
    sizes = prepare_voxceleb(corpus, out, without_trial_speakers=True)
    assert [size.rows for size in sizes] == [6, 3, 3, 3]
    assert "id1027" not in (out / "dict.txt").read_text()
    (corpus / "veri_test.txt").unlink()
    with pytest.raises(ValueError, match="--without-trial-speakers has no effect without trials"):
        prepare_voxceleb(corpus, out, without_trial_speakers=True)


def test_a_split_of_before_that_trains_now_is_told(corpus, tmp_path):
    prepare_voxceleb(corpus, tmp_path / "out")
    listing = corpus / "iden_split.txt"
    listing.write_text("".join(f"1{line[1:]}" for line in listing.read_text().splitlines(keepends=True)))
    with pytest.raises(ValueError, match="valid.tsv: this run made no valid, and 5 of the 5 .* are in train.tsv now"):
        prepare_voxceleb(corpus, tmp_path / "out")


def test_without_the_list_of_trials(corpus, tmp_path, caplog):
    (corpus / "veri_test.txt").rename(tmp_path / "mine.txt")
    prepare_voxceleb(corpus, tmp_path / "out")
    assert "veri_test.txt: no such list, so no trials" in caplog.text
    assert not (tmp_path / "out/verification.tsv").exists()
    prepare_voxceleb(corpus, tmp_path / "out", trials=tmp_path / "mine.txt")
    assert (tmp_path / "out/trials.txt").is_file()


def test_missing_recordings_are_no_accident(corpus, tmp_path):
    (corpus / "wav/id10002/vid3/00001.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 5 recordings of test are missing, the first id10002/vid3/00001"):
        prepare_voxceleb(corpus, tmp_path / "out")
    sizes = prepare_voxceleb(corpus, tmp_path / "out", allow_missing=True)
    assert sizes[2].rows == 4
    assert (tmp_path / "out/left_out/test.tsv").read_text() == "id10002/vid3/00001.wav\tno such file\n"
    (corpus / "wav/id10270/vid1/00001.wav").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 3 recordings of verification are missing"):
        prepare_voxceleb(corpus, tmp_path / "out", allow_missing=True)


@pytest.mark.parametrize(
    "line, said",
    [("4 id10001/v/1.wav", "'4 id10001/v/1.wav' is not `PART PATH`"), ("id10001/v/1.wav", "is not `PART PATH`"),
     ("1 wav/id10001/v/1.wav", "wav/id10001/v/1.wav: not SPEAKER/VIDEO/NUMBER.wav")],
)  # fmt: skip
def test_lines_of_another_list(tmp_path, line, said):
    path = write_lines(tmp_path / "iden_split.txt", ["1 id10001/v/1.wav", line])
    with pytest.raises(ValueError, match=f"iden_split.txt:2: .*{said}"):
        read_split(path)


def test_what_is_not_there_is_said(corpus, tmp_path):
    (corpus / "iden_split.txt").unlink()
    with pytest.raises(FileNotFoundError, match="iden_split.txt: no such list; download VoxCeleb1's iden_split.txt"):
        prepare_voxceleb(corpus, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="it should hold SPEAKER/VIDEO/NUMBER.wav, both parts together"):
        prepare_voxceleb(tmp_path, tmp_path / "out")


def test_broken_recordings_are_left_out_with_their_trials(corpus, tmp_path, caplog):
    for path in ("id10001/vid0", "id10271/vid2"):
        (corpus / f"wav/{path}/00001.wav").write_bytes(b"RIFF")
    sizes = prepare_voxceleb(corpus, tmp_path / "out")
    assert [(size.rows, size.speakers, size.left_out) for size in sizes] == [
        (9, 5, {"unreadable": 1}), (4, 4, {"unreadable": 1}), (5, 5, {}), (2, 1, {"unreadable": 1})
    ]  # fmt: skip
    assert (tmp_path / "out/dict.txt").read_text().startswith("id10001 1\n")
    trials = TRIALS[0].replace(" ", "\t") + "\n"
    assert (tmp_path / "out/trials.txt").read_text() == trials and "1 of 2 trials" in caplog.text


def test_another_folder_says_what_it_holds(corpus, tmp_path):
    (corpus / "wav").rename(corpus / "dev")
    with pytest.raises(FileNotFoundError, match=r"VoxCeleb1 holds dev/, iden_split.txt, veri_test.txt; unpack"):
        prepare_voxceleb(corpus, tmp_path / "out")
    (corpus / "wav/other").mkdir(parents=True)
    with pytest.raises(
        FileNotFoundError, match="none of the 10 recordings of train.*wav holds other/; unpack both parts"
    ):
        prepare_voxceleb(corpus, tmp_path / "out", allow_missing=True)

"""Audio in tar and zip archives: the same samples as from files, read in place, and errors that name what is wrong."""

import io
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from helpers import tiny_manifest

from speecht5_fairseq.data import archive_index, archives
from speecht5_fairseq.data.archives import Window, file_exists, file_state, holder, inside
from speecht5_fairseq.data.audio import audio_info, read_audio
from speecht5_fairseq.data.base import SpeechDataset
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.errors import AudioError, ManifestError
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.speaker import read_speaker

NAMES = ("a/0.wav", "a/1.flac", "b/2.wav")
FORMATS = ("plain.tar", "stored.zip", "deflated.zip")


def wave(seconds, seed=0):
    samples = int(16000 * seconds)
    return 0.3 * np.sin(np.arange(samples) / 9) + 0.05 * np.random.default_rng(seed).standard_normal(samples)


def write_archive(path, folder, names):
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as tar:
            for name in names:
                tar.add(folder / name, name)
    else:
        method = zipfile.ZIP_DEFLATED if path.stem.startswith("deflated") else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", method) as opened:
            for name in names:
                opened.write(folder / name, name)
    return path


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, wave(1 + number, number), 16000, subtype="PCM_16")
    np.save(tmp_path / "a/voice.npy", np.ones(512, dtype=np.float32))
    for file in FORMATS:
        write_archive(tmp_path / file, tmp_path, [*NAMES, "a/voice.npy"])
    return tmp_path


@pytest.mark.parametrize("archive", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_members_are_read_as_files_are(folder, archive, name):
    path = folder / f"{archive}:{name}"
    assert audio_info(path) == audio_info(folder / name)
    np.testing.assert_array_equal(read_audio(path), read_audio(folder / name))
    crop = {"start": 5001, "frames": 3000}
    np.testing.assert_array_equal(read_audio(str(path), **crop), read_audio(folder / name, **crop))


@pytest.mark.parametrize("archive", FORMATS)
def test_speaker_vectors_too(folder, archive):
    np.testing.assert_array_equal(read_speaker(folder / f"{archive}:a/voice.npy"), np.ones(512))


@pytest.mark.parametrize("archive", ["long.tar", "long.zip"])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_crop_reads_only_what_it_needs(tmp_path, monkeypatch, archive, suffix):
    soundfile.write(tmp_path / f"talk.{suffix}", wave(60), 16000, subtype="PCM_16")
    path = write_archive(tmp_path / archive, tmp_path, [f"talk.{suffix}"])
    count, plain = [], Window.readinto

    def counted(self, buffer):
        count.append(plain(self, buffer))
        return count[-1]

    monkeypatch.setattr(Window, "readinto", counted)
    crop = read_audio(f"{path}:talk.{suffix}", start=50 * 16000, frames=16000)
    assert len(crop) == 16000 and 0 < sum(count) < path.stat().st_size / 5


def test_a_file_of_such_a_name_is_that_file(folder):
    (folder / "odd.tar:a").mkdir()
    for path in (folder / "odd.tar:a/0.wav", folder / "plain.tar:9.wav", folder / "12:30.wav"):
        soundfile.write(path, wave(0.5), 16000)
        assert inside(path) is None and holder(path) == path and len(read_audio(path)) == 8000
    packed = write_archive(folder / "odd.tar:a/x.tar", folder, NAMES)  # whose folder looks like an archive
    assert inside(f"{packed}:a/0.wav") == (str(packed), "a/0.wav") and holder(f"{packed}:a/0.wav") == packed
    assert len(read_audio(f"{packed}:a/0.wav")) == 16000


def test_names_with_a_dot_in_front_hard_links_and_repeated_names(folder):
    with tarfile.open(folder / "more.tar", "w") as tar:
        tar.add(folder / "a/0.wav", "./a/0.wav")
        link = tarfile.TarInfo("./link.wav")
        link.type, link.linkname = tarfile.LNKTYPE, "./a/0.wav"
        tar.addfile(link)
        tar.add(folder / "b/2.wav", "./" + "deep/" * 40 + "2.wav")  # longer than a header has room for
        tar.add(folder / "a/0.wav", "twice.wav")
        tar.add(folder / "b/2.wav", "twice.wav")
    lengths = {name: audio_info(f"{folder}/more.tar:{name}").samples for name in ("a/0.wav", "./a/0.wav", "link.wav")}
    assert set(lengths.values()) == {16000}
    for name in ("deep/" * 40 + "2.wav", "twice.wav"):
        assert audio_info(f"{folder}/more.tar:{name}").samples == 48000


def test_an_index_is_read_once_and_again_when_the_archive_changes(folder, monkeypatch):
    reads, plain = [], archive_index._tar_members
    monkeypatch.setattr(archive_index, "_tar_members", lambda *found: reads.append(found) or plain(*found))
    path = folder / "plain.tar"
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: len(read_audio(f"{path}:a/0.wav")), range(16))) == {16000}
    assert len(reads) == 1
    os.utime(path, ns=(1, 1))
    read_audio(f"{path}:a/0.wav")
    assert len(reads) == 2
    write_archive(path, folder, ["b/2.wav"])
    assert len(read_audio(f"{path}:b/2.wav")) == 48000 and len(reads) == 3
    assert not file_exists(f"{path}:a/0.wav")


def test_states_tell_of_members_and_of_their_archive(folder):
    for archive in FORMATS:
        state = file_state(f"{folder}/{archive}:a/0.wav")
        assert state == ((folder / "a/0.wav").stat().st_size, (folder / archive).stat().st_mtime_ns)
    assert file_state(f"{folder}/plain.tar:a/9.wav") is None and file_state(f"{folder}/none.tar:a/0.wav") is None
    assert file_state(folder / "a/0.wav").size == (folder / "a/0.wav").stat().st_size
    assert file_exists(folder / "a/0.wav") and not file_exists(folder / "a/9.wav")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("plain.tar:a/1.wav", r"plain.tar:a/1.wav: no such member \(4 files in the archive, near .*a/1.flac.*\); corr"),
        ("stored.zip:2.wav", r"stored.zip:2.wav: no such member \(4 files in the archive, near .*b/2.wav.*\); "),
        ("none.tar:a/1.wav", r"none.tar:a/1.wav: no such archive \(No such file.*\); correct the path or"),
        ("plain.tar:", "plain.tar:: no such audio file; correct the path"),
        ("plain.tar.gz:a/0.wav", r"plain.tar.gz:a/0.wav: a compressed tar cannot be read in place; unpack it"),
        ("plain.TGZ:a/0.wav", r"plain.TGZ:a/0.wav: a compressed tar cannot be read in place"),
        ("torn.tar:a/0.wav", r"torn.tar: not readable as an uncompressed tar \(.*\); copy it again, or write"),
        ("gzip.tar:a/0.wav", r"gzip.tar: not readable as an uncompressed tar \(.*\); copy it again, or write"),
        ("torn.zip:a/0.wav", r"torn.zip: not readable as a zip \(.*\); copy it again"),
        ("bzip2.zip:a/0.wav", r"bzip2.zip:a/0.wav: compressed by method 12, which is not read in place; store it"),
        ("plain.tar:a/text.wav", r"plain.tar:a/text.wav: not readable as audio \(.*\); convert it"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_mend(folder, path, message):
    (folder / "a/text.wav").write_text("no audio")
    with tarfile.open(folder / "plain.tar", "a") as tar:
        if "text" in path:
            tar.add(folder / "a/text.wav", "a/text.wav")
    with tarfile.open(folder / "gzip.tar", "w:gz") as tar:
        tar.add(folder / "a/0.wav", "a/0.wav")
    (folder / "torn.tar").write_bytes((folder / "plain.tar").read_bytes()[:20_000])
    (folder / "torn.zip").write_bytes((folder / "stored.zip").read_bytes()[:20_000])
    with zipfile.ZipFile(folder / "bzip2.zip", "w", zipfile.ZIP_BZIP2) as opened:
        opened.write(folder / "a/0.wav", "a/0.wav")
    with pytest.raises(AudioError, match=message):
        read_audio(folder / path if not path.endswith(":") else f"{folder}/{path}")


def test_a_damaged_deflated_member_is_named(folder):
    path = folder / "deflated.zip"
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"deflated.zip:a/0.wav: (cannot be inflated|inflates to .* of)"):
        read_audio(f"{path}:a/0.wav")


class Slow(io.BytesIO):
    """Gives seven bytes at a time, as a network may."""

    def readinto(self, buffer):
        return super().readinto(buffer[:7])


def test_a_window_is_a_file():
    whole = bytes(range(100))
    window = Window(io.BytesIO(whole), 10, 50)
    assert window.read() == whole[10:60] and window.read(5) == b"" and window.tell() == 50
    assert window.seek(-3, os.SEEK_END) == 47 and window.read(10) == whole[57:60]
    assert window.seek(5) == 5 and window.seek(2, os.SEEK_CUR) == 7 and window.read(3) == whole[17:20]
    assert window.seek(70) == 70 and window.read(1) == b""
    slow = Window(Slow(whole), 10, 50)
    assert slow.readinto(into := bytearray(80)) == 50 and into[:50] == whole[10:60]
    with pytest.raises(ValueError, match="negative place"):
        window.seek(-51, os.SEEK_END)


def packed_manifest(folder, archive):
    """A tiny manifest of pre-training whose files lie in one archive."""
    manifest = Manifest.open(tiny_manifest(folder, 4, job="pretrain"), JOB_COLUMNS["pretrain"])
    rows = [manifest.row(index) for index in range(4)]
    names = [row[column] for row in rows for column in ("path", "speaker")]
    write_archive(manifest.root / archive, manifest.root, names)
    packed = [(f"{archive}:{row['path']}", row["samples"], f"{archive}:{row['speaker']}") for row in rows]
    write_manifest(folder / "packed.tsv", manifest.root, packed)
    return Manifest.open(folder / "packed.tsv", JOB_COLUMNS["pretrain"])


@pytest.mark.parametrize("archive", FORMATS)
def test_rows_in_an_archive_are_verified_and_heard_as_any(tmp_path, archive):
    manifest = packed_manifest(tmp_path, archive)
    report = verify(manifest, progress=False)
    report.raise_problems()
    assert report.checked == 4
    assert verify(manifest, progress=False).from_stamp
    data = SpeechDataset(manifest, seed=1, training=True)
    plain = SpeechDataset(Manifest.open(tmp_path / "train.tsv", manifest.columns), seed=1, training=True)
    for row in range(4):
        np.testing.assert_array_equal(data.read(row, 100, 2000), plain.read(row, 100, 2000))
        assert (data.speaker(row) == plain.speaker(row)).all()


def test_a_row_whose_member_is_missing_is_named_by_its_line(tmp_path):
    manifest = packed_manifest(tmp_path, "plain.tar")
    verify(manifest, progress=False).raise_problems()
    write_archive(manifest.root / "plain.tar", manifest.root, ["0.wav", "1.wav", "3.wav"])
    report = verify(manifest, progress=False)
    assert report.total_problems == 5 and not report.from_stamp  # an audio file, and all vectors
    assert "packed.tsv:2: " in report.problems[0] and "plain.tar:0.wav.npy: no such member" in report.problems[0]
    with pytest.raises(ManifestError, match=r"packed.tsv:4: .*plain.tar:2.wav: no such member .*near 0.wav, 1.wav"):
        SpeechDataset(manifest, seed=1, training=True).read(2)


def test_members_beyond_the_end_of_their_archive_are_named(folder, monkeypatch):
    path = folder / "plain.tar"
    index = archive_index._tar_members
    monkeypatch.setattr(
        archive_index, "_tar_members", lambda *found: {k: m._replace(size=10**9) for k, m in index(*found).items()}
    )
    with pytest.raises(AudioError, match="plain.tar:a/0.wav: the archive ends within it; copy .*plain.tar again"):
        read_audio(f"{path}:a/0.wav")


def test_an_archive_is_told_by_its_name_alone():
    assert inside("x/y.tar:z.wav") == ("x/y.tar", "z.wav") and inside("Y.ZIP:a:b.flac") == ("Y.ZIP", "a:b.flac")
    assert [inside(path) for path in ("a.wav", "a.tar", "a.tar:", "a.tarx:b", "12:30.wav")] == [None] * 5
    assert archives.inside("a.tar.gz:b") == ("a.tar.gz", "b")


def test_what_is_no_archive_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.tar")
    for path, kind in (("pipe.tar", "a pipe"), ("folder.zip", "a folder")):
        (tmp_path / "folder.zip").mkdir(exist_ok=True)
        with pytest.raises(AudioError, match=f"{path}:a.wav: {kind}, not an archive; correct the path"):
            read_audio(f"{tmp_path}/{path}:a.wav")


def test_a_tar_that_leads_backwards_ends(tmp_path):
    """A negative size leads back to the header that has it; read again and again, it would never end."""
    info = tarfile.TarInfo("a.wav")
    info.size = -512
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(AudioError, match="a.tar: not readable as an uncompressed tar"):
        read_audio(f"{tmp_path}/a.tar:a.wav")


def test_a_zip_without_a_members_own_header_is_named(folder):
    """The directory at the end is whole; what it points at is not."""
    data = bytearray((folder / "stored.zip").read_bytes())
    with zipfile.ZipFile(folder / "stored.zip") as archive:
        start = archive.getinfo("a/0.wav").header_offset
    data[start : start + 4] = b"xxxx"
    (folder / "stored.zip").write_bytes(data)
    with pytest.raises(AudioError, match=r"stored.zip:a/0.wav: no member at byte [\d,]+; copy the archive again"):
        read_audio(f"{folder}/stored.zip:a/0.wav")


@pytest.mark.parametrize("whole", [99, 101, (1 << 32) - 2])
def test_a_deflated_member_of_another_size_than_it_says(folder, whole):
    """What inflates to more is stopped at what it says, and what says very much is not begun."""
    path = folder / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(100))
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\x01\x02") + 24
    data[start : start + 4] = whole.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(
        AudioError, match=r"bomb.zip:a.wav: inflates to (more than the 99|100 bytes, not the 101|4,294,967,294)"
    ):
        read_audio(f"{path}:a.wav")

"""When a recording is the one of before, and when another."""

import os
import shutil

from manifest_tools.origins import Origin


def test_a_recording_is_known_until_it_changes(tmp_path):
    audio, out = tmp_path / "corpus/a.wav", tmp_path / "out"
    audio.parent.mkdir()
    audio.write_bytes(b"12345")
    first = Origin.of(audio, out)
    assert first == ("../corpus/a.wav", 5, audio.stat().st_mtime_ns) == Origin.of(audio, out)
    os.utime(audio, ns=(0, 1))  # older: another release, unpacked with its own times
    assert Origin.of(audio, out) == first._replace(time=1)
    audio.write_bytes(b"123456")
    assert Origin.of(audio, out).size == 6
    audio.unlink()
    assert Origin.of(audio, out) is None


def test_what_moves_together_stays_the_same_and_another_root_is_another(tmp_path):
    audio = tmp_path / "here/corpus/a.wav"
    audio.parent.mkdir(parents=True)
    audio.write_bytes(b"12345")
    first = Origin.of(audio, tmp_path / "here/out")
    shutil.copytree(tmp_path / "here/corpus", tmp_path / "here/other")
    assert Origin.of(tmp_path / "here/other/a.wav", tmp_path / "here/out") != first
    (tmp_path / "here").rename(tmp_path / "there")
    assert Origin.of(tmp_path / "there/corpus/a.wav", tmp_path / "there/out") == first

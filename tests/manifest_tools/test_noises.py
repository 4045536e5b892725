"""What noise is made of: sound files, colours, music."""

import numpy as np
import pytest
import soundfile

from manifest_tools import noises
from manifest_tools.noises import FileNoise, Stretch, coloured, find_source


def test_short_noise_is_repeated(tmp_path):
    ramp = np.arange(100, dtype=np.float32) / 200
    soundfile.write(tmp_path / "ramp.wav", ramp, 16000, subtype="FLOAT")
    source = FileNoise((Stretch(tmp_path / "ramp.wav", 20, 50),))
    noise = source.draw(np.random.default_rng(0), 1000)
    assert len(noise.wave) == 1000 and np.allclose(noise.wave[:50], noise.wave[50:100]) and noise.offset >= 20
    assert noise.wave.min() == ramp[20] and noise.wave.max() == ramp[69]


@pytest.mark.parametrize(("slope", "octave_db"), [(0.0, 0.0), (1.0, -3.0), (2.0, -6.0)])
def test_colours(slope, octave_db):
    power = np.abs(np.fft.rfft(coloured(np.random.default_rng(0), 1 << 17, slope))) ** 2
    low, high = (power[int(f / 16000 * (1 << 17)) :][: int(f / 2 / 16000 * (1 << 17))].mean() for f in (1000, 2000))
    assert 10 * np.log10(high / low) == pytest.approx(octave_db, abs=0.3)


def test_music_in_g722_is_decoded_once(tmp_path, monkeypatch):
    codec = pytest.importorskip("G722")
    folder = tmp_path / "package/usr/share/asterisk/moh"
    folder.mkdir(parents=True)
    tone = (9000 * np.sin(np.arange(16000 * 31) * 0.3)).astype(np.int16)
    (folder / "song.g722").write_bytes(bytes(codec.G722(16000, 64000).encode(tone)))
    monkeypatch.setattr(noises, "unpack_packages", lambda packages, target, mend: tmp_path / "package")
    for split in ("train", "test"):
        source = find_source("music", split, tmp_path / "cache", None)
        assert len(source.stretches) == 1
    assert len(list((tmp_path / "cache/decoded").glob("song-*.wav"))) == 1

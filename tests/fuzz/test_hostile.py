"""The table of README.md beside this file: each case is done, and says what the table says."""

import io
import os
import re
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fuzz.hostile_pickles import archived, calling, claiming
from helpers import tiny_dictionary, tiny_model, tiny_piece_model

from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.dictionary import load_text_dictionary, load_unit_dictionary
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.piece_model import load_sentencepiece
from speecht5_fairseq.models.checkpoint import read_checkpoint
from speecht5_fairseq.models.errors import CheckpointError

README = Path(__file__).with_name("README.md")
SAMPLES = 2000


@pytest.fixture
def audio(tmp_path):
    """DATA/audio/a.wav with its speaker vector, and a recording outside the root."""
    folder = tmp_path / "audio"
    folder.mkdir()
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, SAMPLES)
    for path in (folder / "a.wav", tmp_path / "secret.wav"):
        soundfile.write(path, wave, 16000)
    np.save(folder / "a.npy", np.ones(512, np.float32))
    return folder


def checked(folder, path="a.wav", speaker="a.npy", samples=SAMPLES, **options):
    (folder.parent / "train.tsv").write_text(f"{folder}\n{path}\t{samples}\t{speaker}\n")
    manifest = Manifest.open(folder.parent / "train.tsv", JOB_COLUMNS["pretrain"], **options)
    verify(manifest, progress=False).raise_problems()
    return manifest


def changed(file, start, number, kind):
    data = bytearray(file.read_bytes())
    data[start : start + struct.calcsize(kind)] = struct.pack(kind, number)
    return bytes(data)


def pipe(audio):
    os.mkfifo(audio / "pipe.wav")
    checked(audio, "pipe.wav")


def device(audio):
    (audio / "zero.wav").symlink_to("/dev/zero")
    checked(audio, "zero.wav")


def long_flac(audio):
    soundfile.write(audio / "a.flac", np.zeros(SAMPLES), 16000)
    head = struct.unpack(">Q", (audio / "a.flac").read_bytes()[18:26])[0]
    (audio / "long.flac").write_bytes(changed(audio / "a.flac", 18, head | (1 << 36) - 1, ">Q"))
    checked(audio, "long.flac", samples=(1 << 36) - 1)


def fast_wav(audio):
    (audio / "fast.wav").write_bytes(changed(audio / "a.wav", 24, (1 << 31) - 1, "<I"))
    checked(audio, "fast.wav")


def odd_wav(audio):
    (audio / "odd.wav").write_bytes(changed(audio / "a.wav", 24, 44101, "<I"))
    checked(audio, "odd.wav")


def object_vector(audio):
    np.save(audio / "object.npy", np.array([{}] * 512, dtype=object), allow_pickle=True)
    checked(audio, speaker="object.npy")


def huge_vector(audio):
    with open(audio / "huge.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    checked(audio, speaker="huge.npy")


def zipped(path, content, whole):
    """A deflated member whose headers say that it inflates to so many bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", content)
    data = path.read_bytes()
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(mark) + place
        data = data[:start] + struct.pack("<I", whole) + data[start + 4 :]
    path.write_bytes(data)


def bomb(audio):
    zipped(audio / "bomb.zip", bytes(1_000_000), 100)
    checked(audio, "bomb.zip:a.wav")


def claim(audio):
    zipped(audio / "claim.zip", bytes(1_000_000), (1 << 32) - 2)
    checked(audio, "claim.zip:a.wav")


def minus(audio):
    info = tarfile.TarInfo("a.wav")
    info.size = -1024
    head = info.tobuf(tarfile.GNU_FORMAT)
    (audio / "minus.tar").write_bytes(head + bytes(10240))
    checked(audio, "minus.tar:a.wav")


def high_unit(audio):
    (audio.parent / "dict.km.txt").write_text("1 1\n99999999999 1\n")
    load_unit_dictionary(audio.parent / "dict.km.txt")


def folder_dictionary(audio):
    (audio.parent / "dict.txt").mkdir()
    load_text_dictionary(audio.parent / "dict.txt")


def cut_pieces(audio):
    file = tiny_piece_model(audio.parent / "spm.model")
    file.write_bytes(file.read_bytes()[:300])
    load_sentencepiece(file)


def checkpoint(audio, state):
    data = state
    if not isinstance(state, bytes):
        made = io.BytesIO()
        torch.save(state, made)
        data = made.getvalue()
    (audio.parent / "c.pt").write_bytes(data)
    read_checkpoint(audio.parent / "c.pt")


# {"model": {}, "cfg": [[[...]]]}
DEEP = b"\x80\x02}(X\x05\0\0\0model}X\x03\0\0\0cfg" + b"]" * 1000 + b"a" * 999 + b"u."


def nan_weights(audio):
    model = tiny_model("s2t")
    state = model.state_dict()
    state["encoder.layers.0.feed_forward.fc1.weight"][3, 2] = float("nan")
    tiny_model("s2t").load_state_dict(state)


CASES = {
    "a row leads out of the audio root": lambda audio: checked(audio, "../secret.wav"),
    "a row is an absolute path": lambda audio: checked(audio, "/etc/passwd"),
    "a member of an archive has `..`": lambda audio: checked(audio, "a.tar:../../secret.wav"),
    "a path holds a control character": lambda audio: checked(audio, "a\x1b[2J.wav"),
    "the audio is a pipe": pipe,
    "the audio is a link to a device": device,
    "a FLAC claims 68,719,476,735 samples": long_flac,
    "a WAV claims 2,147,483,647 Hz": fast_wav,
    "a WAV of a rate that no ratio resamples": odd_wav,
    "a speaker vector is a pickle": object_vector,
    "a speaker vector claims 10^12 numbers": huge_vector,
    "a zip's member inflates to more than it says": bomb,
    "a zip's member says that it inflates to 4 GB": claim,
    "a tar's member has a negative size": minus,
    "a dictionary of units goes to 10^11": high_unit,
    "a dictionary is a folder": folder_dictionary,
    "a sentencepiece model is cut": cut_pieces,
    "a checkpoint calls a command": lambda audio: checkpoint(audio, calling("posix\nsystem", "touch intruded")),
    "a tensor of one number claims a terabyte": lambda audio: checkpoint(
        audio, {"model": {"encoder.x": torch.zeros(1).expand(1 << 38)}}
    ),
    "a tensor claims more than is stored": lambda audio: checkpoint(
        audio, archived(claiming((1000,), (1,), 0, 1000), {"data/0": bytes(40)})
    ),
    "options lie 1,000 levels deep": lambda audio: checkpoint(audio, archived(DEEP, {})),
    "weights are NaN": nan_weights,
}


def table():
    """First column -> second, without its quotes."""
    rows = re.findall(r"^\| (.+?) \| `(.+)` \|$", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize("case", table())
def test_each_case_says_what_the_table_says(case, audio):
    with pytest.raises((DataError, CheckpointError)) as caught:
        CASES[case](audio)
    said = str(caught.value).replace(str(audio.parent / "c.pt"), "CHECKPOINT").replace(str(audio.parent), "DATA")
    assert said.startswith(table()[case])


def test_every_case_is_in_the_table():
    assert table().keys() == CASES.keys() and len(CASES) >= 10


def test_good_input_passes(audio):
    """The cases would all pass if everything were refused."""
    checked(audio)
    tiny_model("s2t").load_state_dict(tiny_model("s2t", seed=3).state_dict())
    assert len(tiny_dictionary()) > 4


def test_what_is_allowed_or_stays_open(audio):
    np.testing.assert_array_equal(
        read_audio(checked(audio, "../secret.wav", outside=True).path(0)), read_audio(audio / "a.wav")
    )
    (audio.parent / "elsewhere").mkdir()
    np.save(audio.parent / "elsewhere/b.npy", np.ones(512))
    (audio / "linked").symlink_to(audio.parent)
    checked(audio, "linked/secret.wav", "../elsewhere/b.npy")
    checked(audio, str(audio / "a.wav"))
    with pytest.raises(DataError, match=re.escape("leads out of the audio root")):
        checked(audio, "linked/../secret.wav")
    with pytest.raises(DataError, match=re.escape("leads out of the audio root")):
        checked(audio, speaker="../secret.wav")

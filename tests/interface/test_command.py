"""The `speecht5` command."""

import json

import numpy as np
import pytest
import soundfile
import torch
from checkpoints import tiny_checkpoint
from helpers import CLASSES, tiny_piece_model

from speecht5_fairseq.interface.command import main


@pytest.fixture
def recordings(tmp_path):
    files = []
    for number, samples in enumerate((6000, 9000)):
        file = tmp_path / f"{'ab'[number]}.wav"
        wave = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(number))
        soundfile.write(file, wave.numpy(), 16_000)
        files.append(str(file))
    return files


@pytest.fixture
def voice(tmp_path):
    np.save(tmp_path / "voice.npy", np.ones(512, dtype=np.float32))
    return ["--speaker", str(tmp_path / "voice.npy")]


def output(capsys, *line: object) -> list[str]:
    main([str(word) for word in line])
    return capsys.readouterr().out.splitlines()


def test_transcribe(tmp_path, capsys, recordings):
    model = ["-m", tiny_checkpoint(tmp_path / "asr.pt", "s2t"), "--beam", 2]
    lines = output(capsys, "transcribe", *model, *recordings)
    assert [line.split("\t")[0] for line in lines] == recordings
    (alone,) = output(capsys, "transcribe", *model, recordings[0])
    assert lines[0] == f"{recordings[0]}\t{alone}"
    (segment,) = output(capsys, "transcribe", *model, recordings[0], "--segments")
    assert segment == f"{recordings[0]}\t0.00\t0.38\t{alone}"
    (told,) = map(json.loads, output(capsys, "transcribe", *model, recordings[0], "--json"))
    assert told["text"] == alone and told["segments"][0]["end"] == 6000 / 16_000 and told["score"] < 0


def test_say_one_or_several(tmp_path, capsys, voice):
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    model = ["-m", tiny_checkpoint(tmp_path / "tts.pt", "t2s", spm_model=spm_model), *voice]
    (line,) = output(capsys, "say", *model, "--out", tmp_path / "one.wav", "AB")
    assert line.startswith(f"{tmp_path / 'one.wav'}\t") and soundfile.info(tmp_path / "one.wav").frames > 0
    lines = output(capsys, "say", *model, "--out", tmp_path / "many", "AB", "CD")
    assert [line.split("\t")[0] for line in lines] == [str(tmp_path / "many" / f"{n}-text.wav") for n in (1, 2)]
    with pytest.raises(SystemExit, match="error: --out .*one.wav: a file, and there are 2 results"):
        main([*map(str, ["say", *model, "--out", tmp_path / "one.wav", "AB", "CD"])])


def test_enhance_and_convert(tmp_path, capsys, recordings, voice):
    options = {"speech_prediction": "mask", "reduction_factor": 1}
    model = ["-m", tiny_checkpoint(tmp_path / "se.pt", "s2s", **options), *voice]
    lines = output(capsys, "enhance", *model, "--out", tmp_path / "clean", *recordings, "--json")
    assert [json.loads(line)["seconds"] for line in lines] == [0.375, 0.562]
    assert soundfile.info(tmp_path / "clean" / "2-b.wav").frames == 9000
    (line,) = output(capsys, "convert", *model, "--out", tmp_path / "x.wav", "--vocoder", "source", recordings[0])
    assert line.endswith("0.38 s")


def test_identify_embed_and_features(tmp_path, capsys, recordings):
    model = ["-m", tiny_checkpoint(tmp_path / "sid.pt", "s2c")]
    lines = output(capsys, "identify", *model, "--top", 2, *recordings)
    assert len(lines) == 2 and len(lines[0].split("\t")) == 3
    (told,) = map(json.loads, output(capsys, "identify", *model, recordings[0], "--json"))
    assert told["name"] in CLASSES
    output(capsys, "embed", *model, "--out", tmp_path / "vectors", *recordings)
    assert np.load(tmp_path / "vectors" / "2-b.npy").shape == (24,)
    (line,) = output(capsys, "features", *model, "--layer", 1, "--out", tmp_path / "states", recordings[0])
    assert line == f"{tmp_path / 'states' / '1-a.npy'}\t[18, 24]"


@pytest.mark.parametrize(
    "line, message",
    [
        ("transcribe -m MISSING a.wav", "MISSING: no such checkpoint"),
        ("transcribe -m MODEL nothing.wav", "nothing.wav: no such audio file"),
        ("identify -m MODEL nothing.wav", "a checkpoint of s2t, and identify needs"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, line, message):
    model = str(tiny_checkpoint(tmp_path / "asr.pt", "s2t"))
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        main(line.replace("MODEL", model).split())

"""The `speecht5` command."""

import inspect
import json

import numpy as np
import pytest
import soundfile
import torch
from checkpoints import tiny_checkpoint
from helpers import CLASSES, model_over, tiny_base, tiny_piece_model

from speecht5_fairseq.interface import Segment, SpeechT5, Transcript
from speecht5_fairseq.interface.arguments import build_parser
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


def test_json_of_a_recording_in_which_no_text_was_possible_is_json(tmp_path, capsys, recordings, monkeypatch):
    nothing = Transcript("", [Segment(0.0, 0.375, "", float("-inf"), 1)])
    monkeypatch.setattr(SpeechT5, "transcribe", lambda self, recordings, **options: [nothing for _ in recordings])
    (line,) = output(capsys, "transcribe", "-m", tiny_checkpoint(tmp_path / "asr.pt", "s2t"), recordings[0], "--json")
    told = json.loads(line, parse_constant=pytest.fail)
    assert told["score"] is None and told["segments"][0] == {**nothing.segments[0]._asdict(), "score": None}


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
        ("transcribe -m MODEL --device gpu a.wav", "device 'gpu': not usable here"),
        ("transcribe -m MODEL --longest-seconds 0 FILE", "longest_seconds 0.0: give a second or more"),
        ("transcribe -m MODEL --base-checkpoint b.pt a.wav", "base_checkpoint 'b.pt' has no effect"),
        ("translate -m MODEL --segments --json FILE", "--segments has no effect beside --json"),
        ("say -m MODEL --speaker v.npy --out x.txt A", "x.txt: no audio of 16 bits can be written"),
        ("say -m MODEL --speaker v.npy --out x.ogg A", "x.ogg: no audio of 16 bits can be written"),
        ("say -m MODEL --speaker v.npy --out x.wav A B", "--out x.wav: a file, and there are 2 results"),
        ("say -m MODEL --speaker v.npy --out FILE/x.wav A", "--out FILE: FILE is a file, and a folder is needed"),
        ("say -m MODEL --speaker v.npy --out x.wav --vocoder none A", "--vocoder none: makes no waveform"),
        ("enhance -m MODEL --speaker v.npy --out FILE FILE", "--out FILE: FILE is one of the recordings, and would be"),
        ("convert -m MODEL --speaker v.npy --out FOLDER FILE FOLDER/1-some.wav", "FOLDER/1-some.wav is one of the rec"),
        ("embed -m MODEL --out FILE a.wav", "--out FILE: FILE is a file, and a folder is needed there"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, line, message):
    model, file = str(tiny_checkpoint(tmp_path / "asr.pt", "s2t")), str(tmp_path / "some.wav")
    soundfile.write(file, np.zeros(8000), 16_000)
    told, line = (text.replace("FILE", file).replace("FOLDER", str(tmp_path)) for text in (message, line))
    with pytest.raises(SystemExit, match=f"^error: .*{told}"):
        main(line.replace("MODEL", model).split())


def test_where_results_go_is_said_before_the_model_is_read(voice, tmp_path):
    with pytest.raises(SystemExit, match="--out x.wav: a file, and there are 2 results"):
        main(["say", "-m", str(tmp_path / "gone.pt"), *voice, "--out", "x.wav", "A", "B"])


def test_a_package_that_is_missing_is_one_line(tmp_path, monkeypatch, voice):
    def missing(*args, **options):
        raise ImportError("num2words is not installed")

    monkeypatch.setattr(SpeechT5, "from_pretrained", missing)
    with pytest.raises(SystemExit, match="^error: num2words is not installed$"):
        main(["say", "-m", "a.pt", *voice, "--out", str(tmp_path / "a.wav"), "A"])


def broken_among(tmp_path, recordings) -> list[str]:
    """With a file that is no audio, and one that is too short, between two recordings."""
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    return [recordings[0], str(tmp_path / "text.wav"), str(tmp_path / "short.wav"), recordings[1]]


def test_recordings_that_cannot_be_used_are_told_and_the_others_are_done(tmp_path, capsys, recordings):
    model = ["-m", str(tiny_checkpoint(tmp_path / "sid.pt", "s2c"))]
    files = broken_among(tmp_path, recordings)
    expected = output(capsys, "identify", *model, *recordings)
    with pytest.raises(
        SystemExit, match="^error: 2 of 4 recordings cannot be used, as told above; the others are done"
    ):
        main(["identify", *model, *files])
    told = capsys.readouterr()
    assert told.out.splitlines() == expected
    text, short = told.err.splitlines()
    assert text.startswith(f"error: {files[1]}: not readable as audio") and f"{files[2]}: 100 samples" in short
    with pytest.raises(SystemExit, match="2 of 4 recordings"):
        main(["embed", *model, "--out", str(tmp_path / "vectors"), *files])
    assert {file.name for file in (tmp_path / "vectors").iterdir()} == {"1-a.npy", "4-b.npy"}


def test_converted_recordings_keep_their_numbers(tmp_path, capsys, recordings, voice):
    model = ["-m", str(tiny_checkpoint(tmp_path / "vc.pt", "s2s", speech_prediction="mask", reduction_factor=1))]
    line = ["enhance", *model, *voice, "--out", str(tmp_path / "clean")]
    with pytest.raises(SystemExit, match="2 of 4 recordings"):
        main([*line, *broken_among(tmp_path, recordings)])
    assert {file.name for file in (tmp_path / "clean").iterdir()} == {"1-a.wav", "4-b.wav"}
    capsys.readouterr()
    np.save(tmp_path / "voice.npy", np.zeros(512, dtype=np.float32))
    with pytest.raises(SystemExit, match="^error: .*voice.npy: "):  # once, not for each recording
        main([*line, *recordings])
    assert not capsys.readouterr().err


def test_what_was_found_is_printed_before_the_next_slice(tmp_path, capsys, recordings, monkeypatch):
    """So that Ctrl-C costs one slice at most."""
    monkeypatch.setattr("speecht5_fairseq.interface.slices.SLICE_SECONDS", 0.5)
    model = ["-m", str(tiny_checkpoint(tmp_path / "sid.pt", "s2c"))]
    expected = output(capsys, "identify", *model, *recordings)
    identify = SpeechT5.identify

    def interrupted(self, files, **options):
        if recordings[1] in map(str, files):
            raise KeyboardInterrupt
        return identify(self, files, **options)

    monkeypatch.setattr(SpeechT5, "identify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(["identify", *model, *recordings])
    assert capsys.readouterr().out.splitlines() == expected[:1]


METHODS = {
    "transcribe": SpeechT5.transcribe,
    "translate": SpeechT5.transcribe,
    "say": SpeechT5.synthesize,
    "convert": SpeechT5.convert_voice,
    "enhance": SpeechT5.convert_voice,
    "identify": SpeechT5.identify,
    "embed": SpeechT5.embed,
    "features": SpeechT5.extract_features,
}
NAMES = {"normaliser": "text_normaliser", "path": "model"}  # argument of Python -> of the command
PYTHON_ALONE = {"cls", "self", "sample_rate", "limits", "max_len_a", "max_len_b"}  # files tell their sample rate


@pytest.mark.parametrize("name", METHODS)
def test_the_command_has_the_options_of_python(name):
    subparsers = next(action for action in build_parser("")._actions if action.dest == "command")
    options = {action.dest for action in subparsers.choices[name]._actions}
    wanted = set(inspect.signature(METHODS[name]).parameters) - PYTHON_ALONE
    assert {NAMES.get(each, each) for each in wanted} <= options
    files = {"model", "device", "base_checkpoint"} | ({"spm_model"} if name == "say" else set())
    files |= set() if name in ("convert", "enhance") else {"dictionary"}
    files |= {"precision"} if "beam" in options or "vocoder" in options else set()
    assert files <= options


def test_options_reach_python(tmp_path, monkeypatch, voice, recordings):
    """Each at another value than its default."""
    found = {}

    def take(self, *args, **options):
        found.update(options)
        raise ValueError("taken")

    def took(*line):
        found.clear()
        with pytest.raises(SystemExit, match="^error: taken$"):
            main([str(word) for word in line])
        return found

    for method in ("transcribe", "synthesize", "convert_voice", "identify", "embed", "extract_features"):
        monkeypatch.setattr(SpeechT5, method, take)
    asr = ["-m", tiny_checkpoint(tmp_path / "asr.pt", "s2t")]
    line = ["--ctc-weight", 0.25, "--longest-seconds", 9, "--beam", 2, recordings[0]]
    assert took("transcribe", *asr, *line) == {"beam": 2, "ctc_weight": 0.25, "longest_seconds": 9}
    assert took("translate", *asr, recordings[0])["ctc_weight"] == 0.0
    tts = ["-m", tiny_checkpoint(tmp_path / "tts.pt", "t2s"), *voice, "--out", tmp_path / "a.wav", "A"]
    line = ["--text-normaliser", "en", "--longest-text", 7, "--vocoder", "griffin-lim:3", "--seed", 4]
    expected = {"normaliser": "en", "longest_text": 7, "vocoder": "griffin-lim:3", "seed": 4}
    assert took("say", *tts, *line) == expected
    out = [*voice, "--out", tmp_path / "out", "--longest-seconds", 9, recordings[0]]
    vc = ["-m", tiny_checkpoint(tmp_path / "vc.pt", "s2s")]
    assert took("convert", *vc, *out) == {"seed": 1, "longest_seconds": 9}
    for command, more in (("identify", {"top": 3}), ("embed", {}), ("features", {"layer": None})):
        place = [] if command == "identify" else ["--out", tmp_path / "out"]
        line = [*asr, *place, "--longest-seconds", 9, recordings[0]]
        assert took(command, *line) == {"longest_seconds": 9, **more}


def test_the_base_that_was_moved_is_given(tmp_path, capsys, recordings):
    base = tiny_base(tmp_path / "base.pt", "s2t")
    path = tiny_checkpoint(tmp_path / "lora.pt", "s2t", lora_rank=2, base_checkpoint="/gone/base_of_all.pt")
    torch.save({**torch.load(path), "model": model_over(base, "s2t", lora_rank=2).state_dict()}, path)
    with pytest.raises(SystemExit, match="no such file .*the command speecht5 take --base-checkpoint,"):
        main(["features", "-m", str(path), "--out", str(tmp_path / "out"), recordings[0]])
    (line,) = output(
        capsys, "features", "-m", path, "--base-checkpoint", base, "--out", tmp_path / "out", recordings[0]
    )
    assert line.endswith("[18, 24]")


def test_help_says_the_names_of_the_files_and_the_vocoder(capsys):
    for command, files, vocoder in (
        ("say", "1-text.wav", "(default: griffin-lim)"),
        ("convert", "1-STEM.wav", "(default: griffin-lim)"),
        ("enhance", "1-STEM.wav", "own phases"),
    ):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        told = " ".join(capsys.readouterr().out.split())
        assert files in told and vocoder in told

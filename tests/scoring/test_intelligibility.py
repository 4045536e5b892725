"""Recognisers as programs, functions and pocketsphinx, and the texts made comparable."""

import shlex
import sys

import numpy as np
import pytest

from speecht5_fairseq.data.audio import write_audio
from speecht5_fairseq.scoring.errors import ScoreError
from speecht5_fairseq.scoring.intelligibility import find_recogniser, pcm16, plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("It\u2019s 5 o'clock \u2014 e-mail \u201cme\u201d!", "it's 5 o'clock e mail me"),
        ("'tis  the dogs' \n DAY.", "tis the dogs day"),
        ("\u00c9t\u00e9, e\u0301te\u0301 \uff21", "\u00e9t\u00e9 \u00e9t\u00e9 a"),
        ("snake_case ... '", "snake case"),
        ("\u0928\u092e\u0938\u094d\u0924\u0947!", "\u0928\u092e\u0938\u094d\u0924\u0947"),  # signs
        ("", ""),
    ],
)
def test_plain_text(text, plain):
    assert plain_text(text) == plain


def test_samples_of_16_bits():
    samples = np.frombuffer(pcm16(np.array([0.0, 0.5, -1.0, 1.0, 7.0, -7.0])), np.int16)
    assert samples.tolist() == [0, 16384, -32768, 32767, 32767, -32768]


def python_command(code, *arguments):
    return "command:" + shlex.join([sys.executable, "-c", code, *arguments])


def test_a_program_gets_the_path_and_no_shell(tmp_path):
    wav = tmp_path / "it's $HOME; a.wav"
    name = python_command("import sys; print(sys.argv[1:]); print(' two  lines ')", "{wav}", "--in={wav}", "$HOME")
    assert find_recogniser(name)(wav) == f"{[str(wav), f'--in={wav}', '$HOME']} two lines"


def test_a_program_that_fails_is_named_with_its_last_line(tmp_path):
    recognise = find_recogniser(python_command("import sys; sys.exit('first\\nno such model')", "{wav}"))
    with pytest.raises(ScoreError, match="a.wav.* ended with exit code 1: no such model"):
        recognise(tmp_path / "a.wav")


def test_a_program_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr("speecht5_fairseq.scoring.intelligibility.COMMAND_SECONDS", 0.2)
    with pytest.raises(ScoreError, match="took longer than 0.2 s"):
        find_recogniser(python_command("import time; time.sleep(20)", "{wav}"))(tmp_path / "a.wav")


def test_a_function_gets_the_waveform(tmp_path, monkeypatch):
    (tmp_path / "my_recogniser.py").write_text(
        "def text(wave):\n    return f'{wave.dtype} {len(wave)}\\n samples'\ndef number(wave):\n    return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    write_audio(tmp_path / "a.wav", np.zeros(400))
    assert find_recogniser("my_recogniser:text")(tmp_path / "a.wav") == "float32 400 samples"
    with pytest.raises(ScoreError, match="returned int, not str"):
        find_recogniser("my_recogniser:number")(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("whisper", "--asr 'whisper': choose pocketsphinx"),
        ("command:cat", "put {wav} where its path belongs"),
        ("command:", "put {wav} where its path belongs"),
        ("command:no-such-program-here {wav}", "no program 'no-such-program-here'"),
    ],
)
def test_unknown_recognisers(name, problem):
    with pytest.raises(ValueError, match=problem):
        find_recogniser(name)


def test_pocketsphinx_repeats_itself_whatever_came_before(tmp_path, speech, noisy):
    pytest.importorskip("pocketsphinx")
    for name, wave in (("speech", speech), ("noise", noisy(-20) / 20), ("loud", np.clip(4 * speech, -1, 1))):
        write_audio(tmp_path / f"{name}.wav", wave[:9000])
    write_audio(tmp_path / "nothing.wav", np.zeros(10))
    recognise = find_recogniser("pocketsphinx")
    names = ("speech", "noise", "loud", "nothing")
    first = {name: recognise(tmp_path / f"{name}.wav") for name in names}
    second = {name: recognise(tmp_path / f"{name}.wav") for name in reversed(names)}
    assert first == second
    assert all(isinstance(text, str) for text in first.values()) and first["nothing"] == ""

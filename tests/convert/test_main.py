"""The command: what it prints, and one line for each mistake."""

import subprocess
import sys

import pytest
from conversions import full_checkpoint
from helpers import tiny_piece_model

from speecht5_fairseq.convert.__main__ import main


def test_it_says_what_was_written_and_what_was_left(tmp_path, capsys):
    source = full_checkpoint(tmp_path / "ours.pt", "s2t")
    spm = tiny_piece_model(tmp_path / "spm.model")
    main([str(source), str(tmp_path / "hf"), "--to", "hf", "--spm-model", str(spm)])
    assert capsys.readouterr().out.splitlines() == [
        f"wrote {tmp_path / 'hf'}",
        "  SpeechT5ForSpeechToText, for the job s2t",
        "  kept beside for the way back (speecht5_fairseq.json, speecht5_fairseq.safetensors): ctc_head, the symbols, "
        "our options",
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing.pt", "out", "--to", "hf"], "error: nothing.pt: no such file or folder; correct the path"),
        (
            ["ours.pt", "out.pt", "--to", "fairseq"],
            "error: ours.pt: is the checkpoint file of this code already; copy it",
        ),
        (["ours.pt", "out", "--to", "hf", "--job", "s2c"], "error: ours.pt: has no speaker_head, which"),
        (["text.pt", "out", "--to", "hf"], "error: text.pt: no readable checkpoint"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    full_checkpoint(tmp_path / "ours.pt", "s2s")
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert str(stop.value).startswith(message) and "\n" not in str(stop.value)


def test_it_runs_without_transformers(tmp_path):
    """Nothing but torch, sentencepiece and safetensors is needed to convert."""
    source, spm = full_checkpoint(tmp_path / "ours.pt", "t2s"), tiny_piece_model(tmp_path / "spm.model")
    arguments = [str(source), str(tmp_path / "hf"), "--to", "hf", "--spm-model", str(spm)]
    program = (
        "import sys; sys.modules['transformers'] = None; sys.modules['google.protobuf'] = None; "
        f"from speecht5_fairseq.convert.__main__ import main; main({arguments!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"wrote {tmp_path / 'hf'}\n")

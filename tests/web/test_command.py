"""The command before it serves, and `make web` without a demo."""

import importlib
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests
import torch
import uvicorn

from speecht5_fairseq.interface import SpeechT5
from speecht5_fairseq.models.released_format import to_released
from speecht5_fairseq.web import command
from speecht5_fairseq.web.arguments import build_parser
from speecht5_fairseq.web.command import build_site, main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def log_of_the_test(monkeypatch) -> None:
    """The command sets how the process logs; here that is pytest's."""
    monkeypatch.setattr(command, "_log", lambda: None)


@pytest.mark.parametrize(
    "line, message",
    [
        ("--recognise FOLDER/missing.pt", "missing.pt: no such checkpoint"),
        ("--recognise FOLDER/sid.pt", "a checkpoint of s2c, and transcribe needs one of s2t"),
        ("--say FOLDER/tts.pt --voices FOLDER/voices --vocoder source", "vocoder 'source' is for enhancement"),
        ("--say FOLDER/tts.pt --voices FOLDER/voices --text-normaliser xx", "no normaliser 'xx': choose one of en"),
        ("--recognise FOLDER/asr.pt spm_model=FOLDER/spm.model", "spm_model .* has no effect"),
        ("", "no checkpoint: give one or more of"),
    ],
)
def test_what_is_wrong_is_one_line(folder, line, message):
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        main([*line.replace("FOLDER", str(folder)).split(), "--port", "0", "--device", "cpu"])


def test_a_published_checkpoint_with_its_dictionary(folder, tmp_path):
    state = torch.load(folder / "asr.pt")
    torch.save({**state, "model": to_released(state["model"]), "task_state": {}}, tmp_path / "released.pt")
    ours = SpeechT5.from_pretrained(folder / "asr.pt", device="cpu")
    symbols = ours.loaded.dictionary.symbols[4:-2]
    (tmp_path / "dict.txt").write_text("".join(f"{symbol} 1\n" for symbol in symbols))
    line = ["--recognise", str(tmp_path / "released.pt"), f"dictionary={tmp_path / 'dict.txt'}", "--device", "cpu"]
    site = build_site(build_parser().parse_args(line))
    served = site.tabs["recognise"].served.model
    assert served.transcribe(folder / "0.wav") == ours.transcribe(folder / "0.wav")


def test_the_precision_is_that_of_the_models_that_decode(folder):
    line = f"--recognise {folder}/asr.pt --identify {folder}/sid.pt --precision float16 --device cpu"
    site = build_site(build_parser().parse_args(line.split()))
    models = [site.tabs[name].served.model.model for name in ("recognise", "identify")]
    kept_in = [model.decoder_steps.layers[0].widen.kept_in for model in models]
    assert kept_in == [torch.float16, torch.float32]


def test_a_port_that_is_taken(folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=f"error: --host 127.0.0.1 --port {port}: .*; give another --port"):
            main(["--recognise", str(folder / "asr.pt"), "--port", str(port)])


def test_packages_that_are_not_installed(folder, monkeypatch):
    real = importlib.import_module

    def absent(name: str, *rest: object) -> object:
        if name == "uvicorn":
            raise ModuleNotFoundError("No module named 'uvicorn'", name=name)
        return real(name, *rest)

    monkeypatch.setattr(command.importlib, "import_module", absent)
    with pytest.raises(SystemExit, match=r"the page needs the Python package uvicorn: pip install .*\[web\]"):
        main(["--recognise", str(folder / "asr.pt")])


def test_it_serves_until_it_is_stopped(folder, monkeypatch, capsys):
    servers = []

    class Server(uvicorn.Server):
        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            servers.append(self)

    monkeypatch.setattr(uvicorn, "Server", Server)
    line = ["--identify", str(folder / "sid.pt"), "--port", "0", "--device", "cpu"]
    thread = threading.Thread(target=main, args=[line])
    thread.start()
    while not (servers and servers[0].started):
        assert thread.is_alive()
        time.sleep(0.01)
    address, told = capsys.readouterr().out.split(maxsplit=1)
    assert address.startswith("http://127.0.0.1:") and told == "(identify; Ctrl-C stops)\n"
    with requests.Session() as session, open(folder / "0.wav", "rb") as file:
        session.trust_env = False  # no proxy between this process and itself
        answer = session.post(f"{address}api/identify", files={"recording": file})
    assert len(answer.json()["classes"]) == 5
    servers[0].should_exit = True
    thread.join()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(address.rstrip("/").rsplit(":", 1)[1])))


def test_make_web_without_a_demo(tmp_path):
    environment = {**os.environ, "WORK": str(tmp_path)}
    found = subprocess.run(
        ["bash", ROOT / "examples/demo/web.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1 and "run `make demo` first" in found.stderr

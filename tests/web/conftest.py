"""One site of tiny checkpoints of every tab, and a server of it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import uvicorn
from checkpoints import tiny_checkpoint
from helpers import tiny_piece_model, write_speech

from speecht5_fairseq.web.arguments import build_parser, check
from speecht5_fairseq.web.command import build_site, listen
from speecht5_fairseq.web.server import Site


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Recordings 0.wav, 1.wav, voices anna.npy and ben.npy, a checkpoint for each tab."""
    folder = tmp_path_factory.mktemp("web")
    write_speech(folder, 2, samples=[9000, 14000])
    for number, name in enumerate(("anna", "ben")):
        (folder / "voices").mkdir(exist_ok=True)
        vector = np.random.default_rng(number).standard_normal(512).astype(np.float32)
        np.save(folder / "voices" / f"{name}.npy", vector)
    spm_model = tiny_piece_model(folder / "spm.model")
    tiny_checkpoint(folder / "asr.pt", "s2t")
    tiny_checkpoint(folder / "tts.pt", "t2s", spm_model=spm_model)
    tiny_checkpoint(folder / "vc.pt", "s2s")
    tiny_checkpoint(folder / "se.pt", "s2s", speech_prediction="mask", reduction_factor=1)
    tiny_checkpoint(folder / "sid.pt", "s2c")
    return folder


def site_of(folder: Path, *more: object) -> Site:
    """The site of a command line with a tab for each checkpoint of `folder`."""
    files = {"recognise": "asr", "say": "tts", "convert": "vc", "enhance": "se", "identify": "sid", "voices-of": "sid"}
    words = [word for option, stem in files.items() for word in (f"--{option}", folder / f"{stem}.pt")]
    line = [*words, "--voices", folder / "voices", "--device", "cpu", "--max-seconds", 8, "--max-megabytes", 1]
    args = build_parser().parse_args([str(word) for word in [*line, *more]])
    check(args)
    return build_site(args)


class Server:
    """A site that is served in a thread of this process; `with` it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.listening = listen("127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        app = site.app(loopback=True)
        self.uvicorn = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5))
        self.thread = threading.Thread(target=self.uvicorn.run, kwargs={"sockets": [self.listening]})

    def __enter__(self) -> "Server":
        self.thread.start()
        while not self.uvicorn.started:
            assert self.thread.is_alive()
            time.sleep(0.01)
        return self

    def __exit__(self, *error: object) -> None:
        self.uvicorn.should_exit = True
        self.thread.join()

    def get(self, path: str, **options: object) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False  # no proxy between this process and itself
            return session.get(f"{self.address}{path}", **options)

    def post(self, tab: str, *, headers: dict | None = None, data: object = None, **files: object) -> requests.Response:
        """A form: fields in `data`, and files by their paths or as (name, bytes)."""
        opened = {name: (file.name, file.read_bytes()) for name, file in files.items() if isinstance(file, Path)}
        with requests.Session() as session:
            session.trust_env = False
            return session.post(
                f"{self.address}/api/{tab}", data=data, files={**files, **opened} or None, headers=headers
            )


@pytest.fixture(scope="session")
def site(folder) -> Site:
    return site_of(folder)


@pytest.fixture(scope="session")
def server(site) -> Iterator[Server]:
    with Server(site) as server:
        yield server

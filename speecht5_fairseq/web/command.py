"""`python -m speecht5_fairseq.web`: load the checkpoints, then serve the page until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from ..interface import SpeechT5
from ..interface.texts import parts_of_texts
from ..ranges import typed
from .arguments import READ_BY, SPEAKING, TABS, Checkpoint, build_parser, check, checkpoint_of

logger = logging.getLogger(__name__)

CHARACTERS = 1000  # of a text
PACKAGES = ("uvicorn", "starlette", "python_multipart")  # of the extra "web"
MEND = "pip install -c constraints.txt -e '.[web]'"


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the page; exits with 1 and one line where something is wrong before."""
    args = build_parser().parse_args(argv)
    _log()
    try:
        check(args)
        uvicorn, *_ = [importlib.import_module(name) for name in PACKAGES]
        listening = listen(args.host, args.port)
        app = build_site(args).app(loopback=is_loopback(listening))
    except (ValueError, OSError, ImportError) as error:
        missing = isinstance(error, ImportError) and error.name in PACKAGES
        sys.exit(f"error: the page needs the Python package {error.name}: {MEND}" if missing else f"error: {error}")
    _announce(listening, args)
    config = uvicorn.Config(app, log_config=None, log_level="warning", timeout_graceful_shutdown=5)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends in order, then hands Ctrl-C on
        uvicorn.Server(config).run(sockets=[listening])


def _log() -> None:
    """Everything from INFO on to the terminal, in place of what fairseq set."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s | %(levelname)s | %(message)s", force=True)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ValueError: the port is taken, or the host is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        mend = f"give another --port than {port}, 0 for any that is free, or another --host"
        raise ValueError(f"--host {host} --port {port}: {error.strerror or error}; {mend}") from error


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine reaches a socket."""
    address = listening.getsockname()[0]
    return address.startswith("127.") or address == "::1"


def build_site(args: argparse.Namespace) -> Any:
    """Load every checkpoint once, and what belongs to the tabs; ``args`` are checked.

    Raises:
        ValueError: a checkpoint, voice, vocoder or option that does not fit; says which and the mend.
    """
    from .server import Served, Site, Tab
    from .turns import Turns
    from .uploads import Limits
    from .voices import check_speaker_model, read_voices

    loaded: dict[Checkpoint, Served] = {}

    def served(option: str) -> Served:
        checkpoint = checkpoint_of(typed(option), getattr(args, option))
        if checkpoint not in loaded:
            logger.info("loading %s", checkpoint.path)
            precision = args.precision if option in READ_BY["precision"] and args.precision else "float32"
            model = SpeechT5.from_pretrained(
                checkpoint.path, device=args.device, precision=precision, **dict(checkpoint.files)
            )
            loaded[checkpoint] = Served(model, Turns(args.max_waiting))
        return loaded[checkpoint]

    tabs = {}
    for name in (name for name in TABS if getattr(args, name)):
        one = served(name)
        tabs[name] = Tab(one, _options(name, one.model, args), name in SPEAKING)
    speaker = served("voices_of") if args.voices_of else None
    if speaker is not None:
        check_speaker_model(speaker.model)
    limits = Limits(args.max_seconds, args.max_megabytes, args.max_characters or CHARACTERS)
    return Site(tabs, voices=read_voices(args.voices or []), speaker=speaker, limits=limits)


def _options(tab: str, model: SpeechT5, args: argparse.Namespace) -> dict[str, Any]:
    """What a tab hands to its method, checked now: the job, the vocoder, which is loaded, and the normaliser."""
    from .jobs import METHODS

    model.require(METHODS[tab])
    options: dict[str, Any] = {}
    if tab in SPEAKING and args.vocoder is not None:
        options["vocoder"] = model.voicing.ready(args.vocoder, source=tab != "say")
    if tab == "say":
        parts_of_texts([], model.loaded, normaliser=args.text_normaliser)
        options["normaliser"] = args.text_normaliser
    if tab == "recognise" and args.beam is not None:
        options["beam"] = args.beam
    return options


def _announce(listening: socket.socket, args: argparse.Namespace) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    tabs = ", ".join(name for name in TABS if getattr(args, name))
    print(f"http://{shown}:{port}/  ({tabs}; Ctrl-C stops)", flush=True)
    if not is_loopback(listening):
        logger.warning(
            "--host %s: whoever reaches this machine (%s) can use the page; it asks for no password, and browsers give "
            "it no microphone without https",
            args.host,
            os.uname().nodename,
        )

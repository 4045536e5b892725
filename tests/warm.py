"""Commands that start warm: a server does their imports, most of the seconds that a tiny run takes, once for all runs.

    python tests/warm.py fairseq-train 7    (the descriptor of a socket; `start` calls it)

The server of a command loads its entry point, so imports what the command itself does, and forks for each run. The
forked process sets the arguments, environment, folder and output of the run, leads a session of its own and ends as any
program ends. The user dir is not imported by the server: each run registers its classes and warns for itself. All runs
of a server share the seed of str's hashes; `commands.start` without `warm` and `make stress` have one of their own.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import numpy as np

LARGEST = 1 << 17  # bytes of a request: arguments and environment
NUMBER = 8  # bytes of what is reported of a run: its process as it starts, its status when it has ended


class Run:
    """A warm command; of `subprocess.Popen` it has what the tests use.

    Attributes:
        pid: of the process, which leads its group.
        stdout: what it prints, errors too, as it comes.
        returncode: its exit status, negative where a signal ended it; None until `poll` or `wait` has found it.
    """

    def __init__(self, output: int, report: int) -> None:
        self._report = report
        self.pid = read_number(report)
        self.stdout = open(output)  # noqa: SIM115  (closed with the run)
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status.

        Raises:
            subprocess.TimeoutExpired: it goes on after so many seconds.
        """
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            self.returncode = read_number(self._report)
            os.close(self._report)
        return self.returncode

    def poll(self) -> int | None:
        """The exit status, or None while it goes on."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None


def read_number(report: int) -> int:
    """What is reported of a run next.

    Raises:
        RuntimeError: nothing will be, for its server has ended.
    """
    number = os.read(report, NUMBER)
    if len(number) != NUMBER:
        raise RuntimeError("the server of a warm command has ended; what it printed tells why")
    return int.from_bytes(number, "big", signed=True)


class Server(NamedTuple):
    process: subprocess.Popen
    requests: socket.socket  # it ends when no one has this open any more


@cache
def server(command: str) -> Server:
    """Of this process; it has imported the command when it answers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        arguments = [sys.executable, __file__, command, str(theirs.fileno())]
        process = subprocess.Popen(arguments, pass_fds=[theirs.fileno()], start_new_session=True)
    return Server(process, ours)


def start(command: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Start a console script of this environment."""
    program = str(Path(sys.executable).with_name(command))
    request = {"arguments": [program, *arguments], "environment": dict(environment), "folder": os.getcwd()}
    output, printed = os.pipe()
    report, reported = os.pipe()
    try:
        socket.send_fds(server(command).requests, [json.dumps(request).encode()], [printed, reported])
    finally:
        os.close(printed)
        os.close(reported)
    return Run(output, report)


def serve(requests: socket.socket) -> dict:
    """Fork for each request until no one can send any more; returns in each forked process, with its request."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that wait for the runs leave nothing behind
    gc.freeze()  # what is shared stays shared
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, LARGEST, 2)
        if not message:
            os._exit(0)
        if not os.fork():
            break
        for descriptor in descriptors:
            os.close(descriptor)
    requests.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    lead(*descriptors)
    return json.loads(message)


def lead(printed: int, reported: int) -> None:
    """Return in a process that leads a session and prints there; the one that calls tells of it, its status too."""
    if process := os.fork():
        os.close(printed)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.write(reported, status.to_bytes(NUMBER, "big", signed=True))
        os._exit(0)
    os.setsid()
    os.write(reported, os.getpid().to_bytes(NUMBER, "big", signed=True))
    for stream in (1, 2):
        os.dup2(printed, stream)
    os.close(printed)
    os.close(reported)


def main(command: str, descriptor: str) -> Callable[[], object]:
    """Serve, and in each forked process: make it that of a run, and return what its command calls."""
    (entry,) = entry_points(group="console_scripts", name=command)
    function = entry.load()
    request = serve(socket.socket(fileno=int(descriptor)))
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = request["arguments"]
    sys.path[0] = str(Path(sys.argv[0]).parent)  # as in a process of its own
    np.random.seed()  # fresh from the system, as in a new process; random does so itself
    return function


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:])())

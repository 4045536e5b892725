"""fairseq's commands on tiny data, as a user types them: the arguments, the run, and what it printed or saved."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Timer
from typing import NamedTuple

import torch
import warm
from helpers import TINY_SIZES

import speecht5_fairseq

USER_DIR = Path(speecht5_fairseq.__file__).parent
SIZES = [f"--{name.replace('_', '-')}={value}" for name, value in TINY_SIZES.items()]
NOISE = [
    "--dropout=0.1",
    "--positional-dropout=0.1",
    "--attention-dropout=0.1",
    "--encoder-layerdrop=0.2",
    "--decoder-layerdrop=0.2",
]
LEGACY = ["--ddp-backend", "legacy_ddp"]
CPU = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
SECONDS = 120  # no command takes a tenth of this


class Data(NamedTuple):
    """Folders of one session's data."""

    pretrain: Path  # train, valid
    text: Path  # fairseq binary: train, valid
    s2t: Path  # train, valid, test
    language: Path  # fairseq binary of text lines for a language model
    t2s: Path  # train, valid


def start(program: str, *arguments: object, **environment: object) -> warm.Run:
    """Start a command of fairseq, on the CPU with one thread; its imports are done already."""
    environment = {**os.environ, **CPU, **{name: str(value) for name, value in environment.items()}}
    return warm.start(program, list(map(str, arguments)), environment)


def start_cold(program: str, *arguments: object, before: Callable[[], None] | None = None) -> subprocess.Popen:
    """Start any command of this environment in a process of its own, in which `before` is called."""
    environment = {**os.environ, **CPU}
    command = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=before, **streams)


def finish(process: warm.Run | subprocess.Popen, *, fails: bool = False) -> str:
    """Wait for a command and return what it printed; it must succeed, or fail where the test says so."""
    watch = Timer(SECONDS, os.killpg, [process.pid, signal.SIGKILL])  # it hangs, perhaps with processes of its own
    watch.start()
    output = process.stdout.read()
    status = process.wait()
    watch.cancel()
    assert (status != 0) == fails, output[-6000:]
    return output


def run(program: str, *arguments: object, fails: bool = False) -> str:
    """`start`, or `start_cold` where it is no command of fairseq, and `finish`."""
    begin = start if program.startswith("fairseq-") else start_cold
    return finish(begin(program, *arguments), fails=fails)


def two_processes(*arguments: object, second: Sequence[object] = (), fails: bool = False) -> str:
    """Data parallel training on the CPU, in processes as torchrun starts them; what they printed, one after the other.

    The second process may have options of its own. `test_crashes` has torchrun itself.
    """
    group = ["--distributed-init-method", "env://", "--distributed-no-spawn", "--distributed-backend", "gloo"]
    group += ["--distributed-world-size", 2, "--distributed-rank"]
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": free_port()}
    ranks = [start("fairseq-train", *arguments, *own, *group, rank, **place) for rank, own in enumerate(((), second))]
    return "".join(finish(process, fails=fails) for process in ranks)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("localhost", 0))
        return bound.getsockname()[1]


def training(*options: object) -> list[object]:
    """What every training here has in common: adam, four updates, a schedule that does not depend on when it stops."""
    return [
        "--user-dir", USER_DIR, "--cpu", "--optimizer", "adam", "--lr", 0.002, "--lr-scheduler", "polynomial_decay",
        "--total-num-update", 10, "--max-update", 4, "--log-format", "json", "--log-interval", 1, "--num-workers", 0,
        *options,
    ]  # fmt: skip


def pretraining(data: Data, *options: object) -> list[object]:
    arguments = [data.pretrain, "--task", "speecht5_pretrain", "--criterion", "speecht5_pretrain"]
    arguments += ["--text-data", data.text, "--max-tokens", 20_000, "--text-batch-ratio", 0.001]
    return [*arguments, "--arch", "speecht5_small", *SIZES, *training(*options)]


def recognition(data: Data, *options: object) -> list[object]:
    arguments = [data.s2t, "--task", "speecht5_s2t", "--criterion", "speecht5_s2t", "--max-tokens", 20_000]
    return [*arguments, "--arch", "speecht5_small", *SIZES, *training(*options)]


def synthesis(data: Data, *options: object) -> list[object]:
    arguments = [data.t2s, "--task", "speecht5_t2s", "--criterion", "speecht5_speech", "--max-tokens", 20_000]
    return [*arguments, "--arch", "speecht5_small", *SIZES, *training(*options)]


def generation(data: Data, checkpoint: Path, *options: object) -> list[object]:
    arguments = [data.s2t, "--user-dir", USER_DIR, "--task", "speecht5_s2t", "--path", checkpoint, "--cpu"]
    return [*arguments, "--gen-subset", "test", "--max-tokens", 100_000, "--num-workers", 0, *options]


def hypotheses(output: str) -> dict[int, tuple[float, str]]:
    """Utterance -> (score, pieces) of fairseq-generate's H lines."""
    found = re.findall(r"^H-(\d+)\t(\S+)\t(.*)$", output, re.MULTILINE)
    return {int(number): (float(score), text) for number, score, text in found}


def load(checkpoint: Path) -> dict:
    return torch.load(checkpoint)


def differing(first: dict, second: dict) -> list[str]:
    """Names of the tensors that are not equal bit for bit."""
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]


def logged(checkpoint: dict, group: str = "train") -> dict[str, float]:
    """The averages that a checkpoint keeps of its epoch so far, unrounded."""
    meters = {key: state for _, key, _, state in checkpoint["extra_state"]["metrics"][group]}
    return {key: state["sum"] / state["count"] for key, state in meters.items() if state.get("count")}

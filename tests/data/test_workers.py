"""Forked workers: what their parent has thrown away, and who may end them."""

import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap

import speecht5_fairseq.data.base  # noqa: F401  (importing it is what is tested)
from speecht5_fairseq.data import workers


class Iterator:
    """In a cycle with itself; tells which process finalizes it."""

    def __init__(self, file):
        self.file, self.itself = file, self

    def __del__(self):
        with open(self.file, "a") as file:
            file.write(f"{os.getpid()}\n")


def test_a_worker_does_not_finalize_its_parents_objects(tmp_path):
    gc.collect()
    gc.disable()
    try:
        Iterator(tmp_path / "finalized")
        worker = multiprocessing.get_context("fork").Process(target=gc.collect)
        worker.start()
        worker.join(30)
        assert worker.exitcode == 0 and not (tmp_path / "finalized").exists()
        gc.collect()
        assert (tmp_path / "finalized").read_text() == f"{os.getpid()}\n"
    finally:
        gc.enable()


WORKER = """
    import multiprocessing, os, signal, sys, time
    sys.path.insert(0, "PLACE")
    from workers import end_with_parents_alone

    def wait(pipe):
        pipe.send("ready")
        time.sleep(60)

    end_with_parents_alone()
    here, there = multiprocessing.get_context("fork").Pipe()
    worker = multiprocessing.get_context("fork").Process(target=wait, args=(there,))
    worker.start()
    here.recv()
    os.system(f"kill -TERM {worker.pid}; kill -INT {worker.pid}")
    worker.join(1)
    print(worker.is_alive())
    worker.terminate()
    worker.join(30)
    print(worker.exitcode)
"""


def test_a_worker_ends_with_its_parents_word_and_not_with_a_schedulers():
    """In a process of its own: what is registered at a fork stays for good."""
    script = textwrap.dedent(WORKER).replace("PLACE", os.path.dirname(workers.__file__))
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.stdout.split() == ["True", "143"], ended.stderr

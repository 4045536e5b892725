"""Forked workers and what their parent has thrown away."""

import gc
import multiprocessing
import os

import speecht5_fairseq.data.base  # noqa: F401  (importing it is what is tested)


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

"""Work on a Dask cluster of two workers: as on this machine, lazily, with the errors of items and of set-ups."""

import importlib.util
import itertools
import json
import os
import signal
import sys

import numpy as np
import pytest
from checkpoints import tiny_checkpoint
from helpers import write_speech

from manifest_tools import cluster, librilight, vocabulary
from manifest_tools.parallel import on_backend, parallel_map
from manifest_tools.unit_clusters import Fitting
from manifest_tools.units import main, prepare_units
from speecht5_fairseq.data.audio import write_audio
from speecht5_fairseq.data.manifest import write_manifest

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler on this machine with two workers, each a process."""
    distributed = pytest.importorskip("distributed")
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": 0}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as made:
        yield made.scheduler_address


def process_and_square(number):
    if number == 13:
        raise ValueError("13 is refused")
    return os.getpid(), number * number


def once_killed(mark):
    """A function whose process ends at the first call with 3; a closure, which workers run without this file."""

    def function(number):
        if number == 3 and not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return function


def mapped(function, items, total=0):
    return parallel_map(function, items, total=total, n_jobs=1, description="test")


def test_order_workers_and_the_error_of_an_item(scheduler):
    with on_backend("dask", scheduler=scheduler):
        found = list(mapped(process_and_square, [n for n in range(200) if n != 13]))
        with pytest.raises(ValueError, match="^13 is refused$"):
            list(mapped(process_and_square, range(40)))
    assert [square for _, square in found] == [n * n for n in range(200) if n != 13]
    assert os.getpid() not in {process for process, _ in found}
    assert mapped(process_and_square, [2]).__next__()[0] == os.getpid()  # outside, this process again


def test_an_endless_manifest_is_read_no_further_than_the_tasks_in_flight(scheduler):
    read = itertools.count()
    with on_backend("dask", scheduler=scheduler):
        results = mapped(process_and_square, (-next(read) for _ in itertools.count()))
        assert [square for _, square in itertools.islice(results, 100)] == [n * n for n in range(100)]
        assert next(read) <= 100 + 8 * (2 * cluster.PER_WORKER + 1)


def test_a_killed_worker_ends_the_map():
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        on_backend("dask", jobs=1),
        pytest.raises(RuntimeError, match="Dask gave a task up .* out of memory"),
    ):
        list(mapped(os._exit, [1]))


def test_work_of_a_lost_worker_is_done_again(tmp_path):
    with on_backend("dask", jobs=1):
        assert list(mapped(once_killed(str(tmp_path / "mark")), range(12))) == list(range(12))
    assert (tmp_path / "mark").exists()


def test_a_preparer_writes_what_it_writes_here(scheduler, tmp_path, capsys):
    for number, name in enumerate(("100/emma/01", "100/emma/02", "233/ivanhoe/1")):
        write_audio(tmp_path / f"small/{name}.flac", np.random.default_rng(number).uniform(-0.4, 0.4, 4 * 16000))
        activity = {"voice_activity": [[0.1, 0.6], [0.8, 1.3], [2.2, 3.9]]}
        (tmp_path / f"small/{name}.json").write_text(json.dumps(activity))
    written = []
    for options in (["--jobs", "1"], ["--backend", "dask", "--scheduler", scheduler]):
        out = tmp_path / f"out{len(written)}"
        line = ["--corpus", str(tmp_path / "small"), "--min-seconds", "0.3", "--max-seconds", "1", "--max-pause", "0.1"]
        librilight.main([*line, "--valid-fraction", "0", "--out", str(out), *options])
        rows = (out / "train.tsv").read_text().splitlines()[1:]
        written.append((rows, [path.read_bytes() for path in sorted(out.rglob("*.flac"))]))
    assert written[0] == written[1] and len(written[0][0]) == len(written[0][1]) == 12


@pytest.mark.parametrize("extractor", ["mfcc", "speecht5"])
def test_units_equal_those_made_here(extractor, scheduler, tmp_path, capsys):
    for split, count in (("train", 20), ("valid", 3)):
        write_manifest(tmp_path / f"{split}.tsv", split, write_speech(tmp_path / split, count, seed=count))
    options = {"extractor": extractor}
    if extractor == "speecht5":
        options |= {"checkpoint": str(tiny_checkpoint(tmp_path / "model.pt", "s2t")), "layer": 2}
    prepare_units(tmp_path, ("train", "valid"), fitting=Fitting(clusters=8), out=tmp_path / "here", **options)
    line = ["--data", str(tmp_path), "--clusters", "8", "--out", str(tmp_path / "there")]
    line += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    main([*line, "--backend", "dask", "--scheduler", scheduler])
    for name in ("train.km", "valid.km", "units.json", "dict.km.txt"):
        assert (tmp_path / "here" / name).read_text() == (tmp_path / "there" / name).read_text()


def test_a_bad_row_is_named_from_a_worker(scheduler, tmp_path):
    (name, samples), *rows = write_speech(tmp_path / "train", 6)
    write_manifest(tmp_path / "train.tsv", "train", [(name, samples + 5000), *rows])
    with on_backend("dask", scheduler=scheduler), pytest.raises(ValueError, match="train.tsv:2: .* the manifest says"):
        prepare_units(tmp_path, ("train",), fitting=Fitting(clusters=4))


def test_no_worker(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with (
        distributed.LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        pytest.raises(RuntimeError, match="no worker within 1 s; start some: dask worker tcp:"),
        on_backend("dask", scheduler=empty.scheduler_address),
    ):
        raise AssertionError("the block runs")


def test_no_scheduler_no_package(scheduler, monkeypatch):
    monkeypatch.setattr(cluster, "NEEDED", ("manifest_tools", "absent_package"))
    with (
        pytest.raises(RuntimeError, match="worker tcp.* cannot import absent_package .*install this project there"),
        on_backend("dask", scheduler=scheduler),
    ):
        raise AssertionError("the block runs")
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with (
        pytest.raises(ConnectionError, match="--scheduler tcp://127.0.0.1:9: no Dask scheduler answers"),
        on_backend("dask", scheduler="tcp://127.0.0.1:9"),
    ):
        raise AssertionError("the block runs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "loky", "scheduler": "tcp://a:1"}, "--scheduler tcp://a:1 has no effect with --backend loky"),
        ({"backend": "dask", "scheduler": "tcp://a:1", "jobs": 2}, "--jobs 2 has no effect with --scheduler"),
        ({"backend": "spark"}, "--backend spark: give one of loky, dask, ray"),
        ({"jobs": -1}, "--jobs -1: give a number"),
    ],
)
def test_options_without_effect(options, message):
    with pytest.raises(ValueError, match=message), on_backend(**options):
        raise AssertionError("the block runs")


def test_standard_input_needs_no_cluster():
    with pytest.raises(ValueError, match="no effect on standard input"):
        vocabulary.main(["encode", "--model", "spm.model", "--backend", "dask"])


@pytest.mark.parametrize(("backend", "package"), [("dask", r"dask\[distributed\]"), ("ray", r"ray\[default\]")])
def test_what_to_install(backend, package, monkeypatch):
    monkeypatch.setitem(sys.modules, {"dask": "distributed"}.get(backend, backend), None)
    with pytest.raises(ImportError, match=f'pip install "{package}"'), on_backend(backend):
        raise AssertionError("the block runs")


@needs_ray
def test_ray(tmp_path):
    with on_backend("ray", jobs=2):
        found = list(mapped(process_and_square, range(-60, 0)))
        with pytest.raises(ValueError, match="^13 is refused$"):
            list(mapped(process_and_square, range(40)))
    assert [square for _, square in found] == [n * n for n in range(-60, 0)]
    assert os.getpid() not in {process for process, _ in found}

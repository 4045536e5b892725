"""--allow-outside-root, of every tool that reads recordings by a manifest: without it nothing outside is read."""

import argparse
import importlib
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from helpers import write_lines, write_speech

import manifest_tools
from manifest_tools import check, combine, mix_noise, pack, pairs, speaker_vectors, speakers, units
from manifest_tools.command import run
from manifest_tools.files import write_lines as write_whole
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest

SPLITS = ("train", "valid", "test")
PARALLEL = [
    file.stem
    for file in sorted(Path(manifest_tools.__file__).parent.glob("*.py"))
    if file.stem != "command" and "add_jobs_option(" in file.read_text(encoding="utf-8")
]


@pytest.fixture
def escaping(tmp_path):
    """Two folders of manifests, the second of which has a row that leads to a recording beside its root."""
    for folder, seed in (("one", 1), ("two", 2)):
        for split in SPLITS:
            rows = write_speech(tmp_path / folder / "wav" / split, 3, seed=seed, samples=[9000] * 3)
            named = [(f"{split}/{name}", samples, "../v.npy") for name, samples in rows]
            write_manifest(tmp_path / folder / f"{split}.tsv", "wav", named)
        np.save(tmp_path / folder / "v.npy", np.ones(512, np.float32))
    train = tmp_path / "two/train.tsv"
    (tmp_path / "two/wav/train/1.wav").rename(tmp_path / "two/1.wav")
    write_lines(train, train.read_text().replace("train/1.wav", "../1.wav").splitlines())
    return tmp_path


def arguments(folder):
    """Tool -> its command line on the second folder."""
    one, two, out = folder / "one", folder / "two", folder / "out"
    jobs = ("--jobs", "1")
    return {
        check: ["--job", "audio", "--data", two],
        combine: ["--inputs", one, two, "--out", out],
        mix_noise: ["--manifest", two / "train.tsv", "--noise", "synthetic:pink", "--out", out, *jobs],
        pack: ["--manifests", two / "train.tsv", "--out", out, *jobs],
        pairs: ["--source", one, "--target", two, "--match", "stem", "--out", out, *jobs],
        speaker_vectors: ["--manifests", two / "train.tsv", "--out", out, *jobs],
        speakers: ["--voices", f"a={one}", f"b={two}", "--out", out],
        units: ["--data", two, "--splits", "train", "--clusters", "3", "--out", out, *jobs],
    }


@pytest.mark.parametrize("tool", arguments(Path()), ids=lambda tool: tool.__name__.split(".")[-1])
def test_a_row_outside_is_refused_unless_it_is_allowed(tool, escaping, capsys):
    line = list(map(str, arguments(escaping)[tool]))
    with pytest.raises((ValueError, SystemExit)) as caught:
        tool.main(line)
    said = capsys.readouterr().out if tool is check else str(caught.value)
    assert f"{escaping}/two/train.tsv:3: the path leads out of the audio root" in said
    assert "--allow-outside-root" in said
    tool.main([*line, "--allow-outside-root"])


def test_what_was_allowed_stays_as_it_was(escaping):
    """Joined manifests name the same recordings."""
    combine.combine_manifests([escaping / "one", escaping / "two"], escaping / "out", allow_outside_root=True)
    manifest = Manifest.open(escaping / "out/train.tsv", JOB_COLUMNS["pretrain"])
    assert manifest.path(4).resolve() == (escaping / "two/1.wav").resolve()


def test_babble_is_no_way_round(escaping):
    options = {"noise": ["synthetic:babble"], "babble_dir": escaping / "two"}
    with pytest.raises(ValueError, match="two/train.tsv:3: the path leads out"):
        mix_noise.mix_manifests([escaping / "one/train.tsv"], escaping / "out", **options)


def required(parser):
    """A command line with nothing but what the parser asks for."""
    line = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            name, chosen = next(iter(action.choices.items()))
            line += [name, *required(chosen)]
        elif action.required:
            value = str(next(iter(action.choices))) if action.choices else "x"
            line += [*action.option_strings[:1], *[value] * (action.nargs if isinstance(action.nargs, int) else 1)]
    return line


@pytest.mark.parametrize("name", PARALLEL)
def test_the_options_of_parallel_work_are_read(name):
    tool = importlib.import_module(f"manifest_tools.{name}")
    line = required(tool.build_parser())
    with pytest.raises(ValueError, match="--jobs -5: give a number of processes, or 0 for one a core"):
        tool.main([*line, "--jobs", "-5"])
    with pytest.raises(ValueError, match="--scheduler tcp://a:1 has no effect with --backend loky"):
        tool.main([*line, "--scheduler", "tcp://a:1"])


def test_a_tool_that_is_stopped_leaves_nothing_half_written(tmp_path):
    def lines():
        yield "1 2 3"
        assert list(tmp_path.glob(".train.*.part.km"))
        os.kill(os.getpid(), signal.SIGTERM)
        yield "4 5 6"

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as stopped:
            run(lambda: write_whole(tmp_path / "train.km", lines()))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.value.code == 143 and not list(tmp_path.iterdir())

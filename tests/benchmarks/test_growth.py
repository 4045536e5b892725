"""The program on tiny models: counted products, what memory asks for, the report, RESULTS.md and the pictures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import results
from benchmarks.cases import OURS, Work
from benchmarks.floors import forward_flops
from benchmarks.growth import SWEEPS, growths, point, scores, step_memory
from benchmarks.measure import Measurement
from benchmarks.training_step import OPTIMIZERS, training

ROOT = Path(__file__).parents[2]
SMALL = {"batch": 1, "seconds": 1.0, "size": "tiny"}


@pytest.mark.parametrize("case", [case.__name__ for case in OURS])
def test_every_case_of_ours_steps_and_what_learns_moves(case: str) -> None:
    step = training(case, device="cpu", work=Work(batch=2, seconds=1.0, size="tiny"), optimizer="adam")
    weights = {name: p.detach().clone() for name, p in step.model.named_parameters()}
    step.step()
    moved = {name for name, p in step.model.named_parameters() if not p.equal(weights[name])}
    learning = {name for name, p in step.model.named_parameters() if p.requires_grad}
    assert moved and moved <= learning


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_takes_the_step_of_adam(optimizer: str) -> None:
    moved = []
    for name in ("adam", optimizer):
        made = training("t2s", device="cpu", work=Work(**SMALL), optimizer=name)
        before = [p.detach().clone() for p in made.model.parameters()]
        made.step()
        moved.append(torch.cat([(p - q).flatten() for p, q in zip(made.model.parameters(), before, strict=True)]))
    reference, found = moved
    assert (found - reference).norm() < 0.1 * reference.norm()  # where fairseq adds Adam's epsilon differs


def test_counted_products_are_linear_in_the_batch_and_more_than_that_in_the_length() -> None:
    one, two, longer = (
        forward_flops("s2t", Work(**{**SMALL, **other})) for other in ({}, {"batch": 2}, {"seconds": 4.0})
    )
    assert two.learning == 2 * one.learning
    assert two.still == pytest.approx(2 * one.still, rel=1e-3)  # the extractor's products run over the batch's seams
    assert longer.learning > 4.2 * one.learning  # four times as long: 16 times as much in the attentions
    assert one.still > 0 and one.step == one.still + 3 * one.learning


def test_a_point_is_measured_and_counted() -> None:
    found = point("s2t", SMALL, device="cpu", dtype="fp32", repeats=1)
    work = Work(**SMALL, options={"encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0})
    assert found.flops == forward_flops("s2t", work).step
    assert found.seconds > 0 and found.weights == 98_481


def test_memory_asked_for() -> None:
    """1 GiB of moments and gradients; of the first point's 3 GiB the rest grows with the batch, scores with symbols."""
    weights = 2**30 // 12
    works = [Work(batch=1), Work(batch=2), Work(batch=2, vocabulary=10_000)]
    found = [Measurement("", 1.0, 1.0, 1.0, 9.0, 3.0, 1, weights) for _ in works]
    one, two, wide = step_memory("s2t", works, found)
    assert one == pytest.approx(3.0) and two == pytest.approx(5.0)
    assert wide - two == pytest.approx(8 * (scores("s2t", works[2]) - scores("s2t", works[1])) / 2**30)
    assert scores("s2t", Work(batch=2, seconds=10.0, vocabulary=100)) == 2 * (100 + 500) * 100
    assert scores("pretrain_speech", Work(batch=2, seconds=10.0, units=30)) == 2 * 500 * 30


def test_a_step_that_grows_faster_than_its_products_is_flagged() -> None:
    sweep = SWEEPS["batch"]
    settings = [{**sweep.fixed, "batch": batch} for batch in (1, 2, 4)]
    found = [Measurement("", float(n * n), 1.0, 1.0, 1.0, float(n), 100 * n, 1) for n in (1, 2, 4)]
    time, memory = growths("s2t", sweep, settings, found)
    assert (time.worse, memory.worse) == (True, False)
    assert time.fitted == pytest.approx(2.0) and time.asked_fitted == pytest.approx(1.0)


def test_program_report_results_and_pictures(tmp_path: Path) -> None:
    file = tmp_path / "growth.json"
    tiny = ["--size", "tiny", "--points", "2", "--repeats", "1", "--threads", "1"]
    command = [sys.executable, "-m", "benchmarks.growth", "--only", "units", *tiny, "--json", str(file)]
    subprocess.run([*command, "--plots", str(tmp_path / "own")], cwd=ROOT, check=True, capture_output=True)
    report = json.loads(file.read_text())
    assert [m["name"] for m in report["measurements"]] == [f"pretrain_speech, {n} units" for n in (100, 500)]
    assert [(g["what"], g["points"]) for g in report["growths"]] == [("time", [100, 500]), ("memory", [100, 500])]
    assert (tmp_path / "own" / "units.svg").read_text().count("</svg>") == 1
    text = results([report], "nothing", 1, plots=tmp_path / "plots")
    assert "## How cost grows" in text and "![plots/units.svg](plots/units.svg)" in text
    assert (tmp_path / "plots" / "units.svg").is_file()

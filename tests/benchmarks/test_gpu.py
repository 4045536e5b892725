"""The GPU's program tried on the CPU: its parts, its budget of time, and that nothing wrong passes."""

from collections.abc import Iterator

import pytest
import torch

from benchmarks import gpu, gpu_checks, gpu_times
from benchmarks.cases import CASES
from benchmarks.floors import rates
from benchmarks.gpu_checks import Check
from benchmarks.measure import Measurement
from benchmarks.training_step import OPTIMIZERS


def part(*found: Check | str, seconds: float = 0.0, error: Exception | None = None) -> gpu.Part:
    def work(device: str, size: str) -> Iterator[Check | str]:
        yield from found
        if error:
            raise error

    return gpu.Part(work, seconds)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few utterances and texts instead of eight; a step of each kind, not compiled; rates of float32 alone."""
    monkeypatch.setattr(gpu_times, "rates", lambda device, _: rates(device, torch.float32))
    for module in (gpu_checks, gpu_times):
        monkeypatch.setattr(module, "SECONDS", (1.0, 0.6))
        monkeypatch.setattr(module, "TOKENS", (4, 9, 3, 5))
    steps = {(step.optimizer, step.dtype): step for step in gpu_times.STEPS if step.batch == 4 and not step.compiled}
    monkeypatch.setattr(gpu_times, "STEPS", (*steps.values(), gpu_times.Step("s2s")))


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", gpu.PARTS)
def test_every_part_runs_on_the_cpu_and_finds_nothing_wrong(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = gpu.run({name: gpu.PARTS[name]}, "cpu", "tiny", 60)
    printed = capsys.readouterr().out
    assert outcome == ([], []), printed
    assert f"{name}: " in printed and len(printed.splitlines()) > 4


def test_what_is_wrong_and_what_fails_is_named_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    parts = {
        "first": part(Check("close", 0.1, 0.2), Check("far", 0.3, 0.2), Check("not a number", float("nan"), 0.2)),
        "second": part("a line", error=RuntimeError("no kernel")),
        "third": part("another line"),
    }
    outcome = gpu.run(parts, "cpu", "tiny", 1)
    assert outcome == (["far", "not a number", "second (RuntimeError)"], [])
    printed = capsys.readouterr().out
    assert "WRONG far" in printed and "ok    close" in printed
    assert "no kernel" in printed and "another line" in printed


def test_parts_that_would_end_after_the_budget_are_left_out() -> None:
    parts = {"short": part("a"), "long": part("b", seconds=120.0), "last": part("c", seconds=30.0)}
    assert gpu.run(parts, "cpu", "tiny", 1) == ([], ["long"])


@pytest.mark.parametrize(
    ("found", "minutes", "code", "words"),
    [
        (Check("near", 0.0, 0.1), "8", 0, "nothing wrong"),
        (Check("far", 1.0, 0.1), "8", 1, "WRONG: far"),
        (Check("near", 0.0, 0.1), "0.1", 2, "left out after --minutes 0.1: only"),
    ],
)
def test_exit_status(monkeypatch, capsys, found: Check, minutes: str, code: int, words: str) -> None:
    monkeypatch.setattr(gpu, "PARTS", {"only": part(found, seconds=10.0)})
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu", "--size", "tiny", "--minutes", minutes])
    assert gpu.main() == code
    assert words in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_machine_without_gpu_is_told_what_to_do(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["gpu"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "--device cpu tries the program itself" in capsys.readouterr().err


def test_the_parts_fit_into_the_budget_and_the_steps_name_what_exists() -> None:
    assert sum(each.seconds for each in gpu.PARTS.values()) <= 8 * 60
    assert {step.case for step in gpu_times.STEPS} == set(CASES)
    assert {step.optimizer for step in gpu_times.STEPS} == set(OPTIMIZERS)


def test_utilisation_is_counted_products_over_time_over_the_rate() -> None:
    step = gpu_times.Step("s2t", batch=2)
    products = 2 * gpu_times.flops("s2t", "tiny")
    took = Measurement("", 0.5, 0.5, 0.5, 0.0, 0.0)
    assert gpu_times.utilisation(step, took, "tiny", 4.0 * products).endswith(" 50% of a product's")
    assert gpu_times.utilisation(gpu_times.Step("transformers_s2t"), took, "base", 1.0) == ""

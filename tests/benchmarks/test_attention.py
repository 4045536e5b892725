"""The choices of attention compute the same, and one that does not run is named."""

import pytest
import torch

from benchmarks import attention
from benchmarks.attention import CHOICES, PARTS, compare, inputs, lines


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice != "flex"])
def test_every_choice_agrees_with_float64(choice: str) -> None:
    measured, errors = compare(choice, inputs(2, 24, "cpu", torch.float32), device="cpu", repeats=1)
    assert tuple(errors) == PARTS and max(errors.values()) < 1e-5, errors
    assert measured.name == f"{choice}, fp32" and measured.seconds > 0


def test_flex_computes_the_same() -> None:
    """Forward only: torch has no backward pass of it on a CPU."""
    given = inputs(2, 24, "cpu", torch.float32)
    given = attention.Inputs(*(tensor.detach() for tensor in given.learning), given.lengths)
    torch.testing.assert_close(attention.flex(given), attention.plain(given), rtol=0, atol=1e-5)


def test_a_wrong_gradient_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHOICES, "ours", lambda given: attention.plain(given._replace(table=1.1 * given.table)))
    _, errors = compare("ours", inputs(1, 16, "cpu", torch.float32), device="cpu", repeats=1)
    assert errors["table"] > 0.01


def test_a_choice_that_does_not_run_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(given: attention.Inputs) -> torch.Tensor:
        raise NotImplementedError("no such kernel\nand a long story")

    monkeypatch.setitem(CHOICES, "flex", missing)
    found = lines(device="cpu", dtypes=["bf16"], batch=1, frames=16, repeats=1)
    assert len(found) == 1 + len(CHOICES) and found[-1] == "flex, bf16: not here: NotImplementedError: no such kernel"

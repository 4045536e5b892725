"""What floors count: products of a known net, and a decoder's steps by reading or by multiplying."""

import pytest
import torch

from benchmarks import floors
from benchmarks.floors import Rates, encoding_flops, search_floor, steps_floor, synthesis_floor, weights_a_step
from benchmarks.models import random_model

AT_BEST = Rates(flops=1000.0, bytes=1.0, weights=100.0)
WIDTH, FFN, TOKENS = 48, 96, 10  # of models.SIZES["tiny"]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "random_model", lambda job: random_model(job, "tiny"))
    monkeypatch.setattr(floors, "rates", lambda device, dtype: AT_BEST)


@pytest.mark.parametrize(("rows", "dtype", "seconds"), [
    ([1], torch.float32, 40.0),  # 4,000 bytes are read, 2,000 operations take 2 s
    ([1], torch.float16, 20.0),
    ([100], torch.float32, 200.0),  # 200,000 operations
    ([100, 100, 1], torch.float32, 440.0),
])  # fmt: skip
def test_a_step_reads_or_multiplies_whichever_takes_longer(rows, dtype, seconds):
    assert steps_floor(1000, rows, AT_BEST, dtype) == pytest.approx(seconds)


def test_a_steps_weights_are_those_of_its_products_without_what_is_made_once():
    model = random_model("t2s", "tiny").eval()
    layer = 4 * WIDTH * WIDTH + 2 * WIDTH * WIDTH + 2 * WIDTH * FFN  # of itself; query and output of the other; FFN
    assert weights_a_step(model.decoder) == layer


def test_the_encoders_products_are_counted():
    model = random_model("t2s", "tiny").eval()
    one, two = (encoding_flops(model, {"source_tokens": torch.full((n, TOKENS), 4)}) for n in (1, 2))
    layer = 4 * WIDTH * WIDTH + 2 * WIDTH * FFN
    assert two == 2 * one and one > 2 * 2 * TOKENS * layer  # two layers


@pytest.mark.usefixtures("tiny")
def test_floors_of_decoding_grow_with_their_work():
    cpu = ("cpu", torch.float32)
    once, twice = (synthesis_floor(batch, TOKENS, 7, *cpu) for batch in (100, 200))
    assert twice == pytest.approx(2 * once)  # multiplying, not reading
    longer = synthesis_floor(100, TOKENS, 14, *cpu)
    weights = weights_a_step(*_around_steps())
    assert longer - once == pytest.approx(steps_floor(weights, [100] * 7, AT_BEST, torch.float32))
    both, alone = (search_floor(seconds, 5, 10, *cpu) for seconds in ((1.0, 1.0), (1.0,)))
    assert alone < both < 2 * alone  # steps of five rows read, those of ten do too


def _around_steps():
    model = random_model("t2s", "tiny").eval()
    return model.decoder, model.speech_decoder_prenet, model.speech_decoder_postnet

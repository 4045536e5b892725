"""A counted step against a real one: parameters, products, and the bytes that the allocator gives out."""

import pytest
from helpers import CLASSES, UNITS, tiny_dictionary, tiny_model
from torch.utils.flop_counter import FlopCounterMode

from speecht5_fairseq.plan.allocations import most_allocated
from speecht5_fairseq.plan.batches import Sizes
from speecht5_fairseq.plan.step import IN_PLACE, build, count, parameters, parts_of, prepared, run

SIZES = Sizes(
    samples=24_000, tokens=12, text_tokens=30, symbols=len(tiny_dictionary()), units=UNITS, classes=len(CLASSES)
)
JOBS = ("pretrain", "s2t", "t2s", "s2s", "s2c")
TOLERANCE = 0.25  # of memory, as the README says
ROWS = 5


@pytest.fixture
def built(config):
    def made(job, *flags):
        text = ["--text-data", "text"] if job == "pretrain" else []
        return build(config(job, *text, *flags), job, SIZES)

    return made


@pytest.mark.parametrize("job", JOBS)
def test_parameters_are_those_of_the_built_model(built, job):
    """The tiny model of all tests, of as many symbols, units and classes."""
    expected = tiny_model(job)
    found = parameters(built(job).model)
    assert sum(net.parameters for net in found) == sum(p.numel() for p in expected.parameters())
    assert {net.net for net in found} == {name.split(".")[0] for name, _ in expected.named_parameters()}


def test_parameters_that_do_not_learn_are_told(built):
    found = {net.net: net for net in parameters(built("s2t", "--feature-grad-mult", 0).model)}
    prenet = found["speech_encoder_prenet"]
    assert 0 < prenet.learning < prenet.parameters and found["encoder"].learning == found["encoder"].parameters


@pytest.mark.parametrize("flags", [(), ("--checkpoint-activations",), ("--bf16",)], ids=["plain", "again", "half"])
@pytest.mark.parametrize("job", JOBS)
def test_products_are_those_of_a_step_of_more_rows(built, job, flags):
    model = built(job, *flags)
    for part in parts_of(job):
        batch = prepared(model, part.batch(ROWS, SIZES))
        with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
            run(model, batch)
        assert count(model, part, SIZES).flops_of(ROWS) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_recomputed_layers_make_more_products_and_keep_less(built):
    (part,) = parts_of("s2t")
    sizes = SIZES._replace(samples=60_000)
    flags = ["--encoder-layers", 8, "--embed-dim", 96, "--ffn-dim", 384, "--conv-channels", 4]
    plain, again = (count(built("s2t", *flags, *more), part, sizes) for more in ([], ["--checkpoint-activations"]))
    assert again.flops_of(ROWS) > 1.1 * plain.flops_of(ROWS)
    assert again.bytes_of(ROWS) < 0.8 * plain.bytes_of(ROWS)


def test_half_precision_takes_half_the_bytes(built):
    (part,) = parts_of("s2t")
    whole, half = (count(built("s2t", *flags), part, SIZES).bytes_of(ROWS) for flags in ([], ["--bf16"]))
    assert 0.4 * whole < half < 0.75 * whole


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("flags", [(), ("--checkpoint-activations",)], ids=["plain", "again"])
def test_activations_are_the_allocators_within_the_tolerance(built, job, flags):
    model = built(job, *flags)
    for part in parts_of(job):
        estimate = count(model, part, SIZES).bytes_of(ROWS)  # leaves gradients to add to
        measured = most_allocated(lambda part=part: run(model, prepared(model, part.batch(ROWS, SIZES))))
        assert estimate == pytest.approx(measured, rel=TOLERANCE)


def test_layers_that_are_skipped_at_random_are_counted(built):
    model = built("s2t", "--encoder-layerdrop", 0.9, "--decoder-layerdrop", 0.9)
    (part,) = parts_of("s2t")
    assert count(model, part, SIZES) == count(built("s2t"), part, SIZES)

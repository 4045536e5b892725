"""From flags to batches, memory and time: by hand, and the page that says it."""

import json

import numpy as np
import pytest
import torch
from fairseq.data.data_utils import batch_by_size
from helpers import UNITS, tiny_manifest, tiny_text_binary

from speecht5_fairseq.plan.__main__ import main
from speecht5_fairseq.plan.estimate import Assumed, plan, rows_of, sizes_of
from speecht5_fairseq.plan.gpus import GPUS, device_named, product_rate
from speecht5_fairseq.plan.report import Said, changes, report

GB = 10**9
RECOGNITION = ("--max-tokens", 96_000, "--max-speech-samples", 32_000, "--max-update", 1000, "--update-freq", 3)


def test_sizes_of_what_is_there(config, tmp_path):
    """Lengths of the manifest and entries of the dictionaries; nothing is assumed."""
    tiny_manifest(tmp_path, job="pretrain", samples=[5000, 9000, 7000, 6000])
    text = tiny_text_binary(tmp_path / "text", [[5, 6]])
    cfg = config("pretrain", "--text-data", text, "--crop-samples", 8000)
    sizes, notes = sizes_of(cfg, "pretrain", Assumed())
    assert (sizes.samples, sizes.symbols, sizes.units, sizes.text_tokens) == (8000, 34, UNITS, 512)
    assert len(notes) == 1 and "the longest utterance of" in notes[0]
    assert sizes_of(cfg, "pretrain", Assumed(seconds=0.25))[0].samples == 4000


def test_what_is_not_there_is_assumed_and_said(config):
    sizes, notes = sizes_of(config("s2t"), "s2t", Assumed(tokens_a_second=2))
    assert (sizes.samples, sizes.tokens, sizes.symbols) == (240_000, 30, 87)
    assert len(notes) == 3 and all(note.startswith("assumed: ") for note in notes)


def test_rows_of_a_batch(config):
    sizes, _ = sizes_of(config("s2t", *RECOGNITION), "s2t", Assumed())
    assert rows_of(config("s2t", *RECOGNITION), "speech", sizes) == 3
    assert rows_of(config("s2t", *RECOGNITION, "--batch-size", 2), "speech", sizes) == 2
    with pytest.raises(ValueError, match="bound no batch: give --max-tokens .* or --batch-size"):
        rows_of(config("s2t"), "speech", sizes)
    with pytest.raises(ValueError, match="--max-tokens 20000 is less than one utterance of 32000 samples"):
        rows_of(config("s2t", "--max-tokens", 20_000), "speech", sizes)
    text = config("pretrain", "--text-data", "text", "--max-tokens", 1_400_000)
    sizes, _ = sizes_of(text, "pretrain", Assumed())
    assert (rows_of(text, "speech", sizes), rows_of(text, "text", sizes)) == (5, 16)  # 250,000 samples, 512 tokens


@pytest.mark.parametrize("tokens", [None, 1, 7, 9, 15, 17, 31, 64])
@pytest.mark.parametrize("count", [None, 3, 8, 21])
@pytest.mark.parametrize("multiple", [1, 8])
def test_rows_are_those_of_fairseqs_batches(config, tokens, count, multiple):
    if tokens is None and count is None:
        return
    flags = ["--max-speech-samples", 32_000, "--required-batch-size-multiple", multiple]
    flags += [] if tokens is None else ["--max-tokens", tokens * 32_000]
    flags += [] if count is None else ["--batch-size", count]
    cfg = config("s2t", *flags)
    sizes, _ = sizes_of(cfg, "s2t", Assumed())
    limits = {"max_tokens": cfg.dataset.max_tokens, "max_sentences": count, "required_batch_size_multiple": multiple}
    batches = batch_by_size(np.arange(200), lambda index: sizes.samples, **limits)
    assert rows_of(cfg, "speech", sizes) == len(batches[0])


@pytest.mark.parametrize(
    "option", [("--utterance-seconds", "0"), ("--utterance-seconds", "0.01"), ("--tokens-a-second", "nan"),
               ("--reduce-gb", "0"), ("--utterance-seconds", "inf")]
)  # fmt: skip
def test_numbers_that_cannot_be_meant_are_refused(option, capsys):
    with pytest.raises(SystemExit):
        main([*option, "--", "data", "--task", "speecht5_s2t"])
    assert f"{option[0]} " in capsys.readouterr().err.splitlines()[-1]


def test_time_by_hand(config):
    """Operations over the rate, and gradients there and back over the network."""
    cfg, device = config("s2t", *RECOGNITION, "--ddp-backend", "legacy_ddp"), GPUS["a100-40g"]
    found = plan(cfg, gpus=4, device=device, assumed=Assumed(utilisation=0.5, reduce_bytes=1e6))
    (part,) = found.rows
    assert found.flops == 3 * 3 * part.counted.flops  # --update-freq, rows
    reducing = 2 * 3 / 4 * found.memory.gradients / 1e6
    assert found.reduce_seconds == pytest.approx(reducing)
    assert found.step_seconds == pytest.approx(found.flops / (0.5 * 19.5e12) + reducing)
    assert found.days == pytest.approx(1000 * found.step_seconds / 86_400)
    assert found.tokens.samples == 4 * 3 * 3 * 32_000 and found.tokens.text == 4 * 3 * 3 * 30
    faster = plan(cfg, gpus=1, device=device, assumed=Assumed(), rate=1e9)
    assert faster.step_seconds == pytest.approx(found.flops / 1e9) and faster.memory.buffers == 0


def test_what_does_not_fit_is_told_with_what_does(config):
    cfg = config("s2t", *RECOGNITION)
    tight = GPUS["v100"]._replace(bytes=GB + 20_000_000)
    found = plan(cfg, gpus=1, device=tight, assumed=Assumed())
    assert found.fits
    (part,) = found.rows
    less = tight._replace(bytes=found.memory.total - part.counted.more_bytes // 2)
    found = found._replace(device=less)
    said = Said("config", cfg, Assumed(), None, recomputed=found)
    assert not found.fits
    told = changes(found, said)
    assert told[0].startswith("--max-tokens 64000 --update-freq 5: ")  # two rows five times for three rows three times
    assert told[1].startswith("--checkpoint-activations: ") and told[2] == "--fp16: half the activations"
    assert "It does not fit: " in report(found, said)
    fewer = cfg.copy()
    fewer.dataset.max_tokens = 64_000
    assert plan(fewer, gpus=1, device=less, assumed=Assumed()).fits
    nothing = changes(found._replace(device=less._replace(bytes=GB)), said)
    assert nothing[-1].startswith("shorter utterances: one of 32000 samples does not fit")


def test_the_command_prints_a_page_or_json(capsys, tmp_path):
    sizes = ["--arch", "speecht5_small", "--encoder-layers", "1", "--decoder-layers", "1"]
    flags = [str(tmp_path), "--task", "speecht5_s2t", "--criterion", "speecht5_s2t", "--optimizer", "adam", *sizes]
    flags += ["--max-speech-samples", "16000", "--max-tokens", "32000", "--max-update", "10"]
    main(["--gpus", "2", "--gpu", "v100", "--json", "--", *flags])
    found = json.loads(capsys.readouterr().out)
    assert found["gpus"] == 2 and found["fits"] and found["memory"]["total"] > GB
    main(["--gpu", "cpu", "--measure", "--", *flags])
    page = capsys.readouterr().out
    assert "all" in page and "It fits" in page and "a step measured on this machine" in page
    assert f"{sum(net['parameters'] for net in found['trained']):,}" in page


@pytest.mark.parametrize(
    "given, message",
    [
        ([], "give a CONFIG, or the flags"),
        (["--gpus", "0", "--", "data"], "--gpus 0: give 1 or more"),
        (["--utilisation", "1.5", "--", "data"], "--utilisation 1.5: give a share"),
    ],
)
def test_options_out_of_range(given, message, capsys):
    with pytest.raises(SystemExit):
        main(given)
    assert message in capsys.readouterr().err


def test_this_machines_rate_is_measured():

    rate = product_rate("cpu", torch.float32)
    device = device_named("cpu", dtype=torch.float32)
    assert 1e8 < rate < 1e14 and 0.1 < device.rates["float32"] / rate < 10 and device.measured

"""What this machine can do at best, and what a step, an encoder or a decoder of ours needs at the least.

    python -m benchmarks.floors                     the rates, and the floor of every training step of ours

Products are counted in the forward pass; where weights learn, the backward pass takes twice as many. The rate is that
of one product of the encoder's widest layer (2,000 rows, 768 by 3,072), the bytes a second those of a copy that fits no
cache. A decoder's step reads its weights, at the rate of a product with one vector, or multiplies the batch's rows with
them, whichever takes longer. No floor has attention to the cache, the vocoder or anything else in it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .cases import CASES, Work
from .measure import DTYPES, machine
from .models import random_model, waveforms

ADAM_PASSES = 7  # reads of weight, gradient and both moments; writes of weight and moments


class Rates(NamedTuple):
    flops: float  # a second, in a product
    bytes: float  # a second, read and written by a copy
    weights: float  # bytes a second, read by a float32 product with one vector


def rates(device: str, dtype: torch.dtype) -> Rates:
    """Medians of nine runs each."""
    rows = 2000 if device == "cpu" else 16_000
    states, weight = torch.randn(rows, 768, device=device), torch.randn(3072, 768, device=device)
    states, weight = states.to(dtype), weight.to(dtype)
    product = _seconds(lambda: torch.nn.functional.linear(states, weight), device)
    numbers = torch.randn(1 << 26, device=device)
    other = torch.empty_like(numbers)
    copy = _seconds(lambda: other.copy_(numbers), device)
    matrix, vector = numbers.view(-1, 4096), torch.randn(1, 4096, device=device)
    reading = _seconds(lambda: torch.nn.functional.linear(vector, matrix), device)
    of_product, of_copy = 2 * states.numel() * len(weight), 2 * numbers.numel() * 4
    return Rates(of_product / product, of_copy / copy, numbers.numel() * 4 / reading)


def _seconds(work: Callable[[], Any], device: str) -> float:
    found = []
    for _ in range(12):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return statistics.median(found[3:])


class Flops(NamedTuple):
    """Of a forward pass."""

    still: int  # where nothing learns
    learning: int  # where weights learn

    @property
    def step(self) -> int:
        """Of a training step: the backward pass takes twice as many where weights learn."""
        return self.still + 3 * self.learning


def forward_flops(case: str, work: Work) -> Flops:
    """Of one of ``cases.CASES`` on the CPU."""
    return counted(*CASES[case]("cpu", work))


def counted(model: nn.Module, loss: Callable[[], Any]) -> Flops:
    """Of ``loss()``, whose gradient goes to ``model``'s weights but, with ``feature_grad_mult`` 0, to the extractor."""
    prenet = getattr(model, "speech_encoder_prenet", None)
    frozen = prenet is not None and prenet.feature_grad_mult == 0
    with _counter() as counter:
        loss()
    total, inside = counter.get_total_flops(), 0
    if frozen:
        extractor = next(name for name in counter.get_flop_counts() if name.endswith("speech_encoder_prenet.extractor"))
        inside = sum(counter.get_flop_counts()[extractor].values())
    return Flops(inside, total - inside)


def _counter() -> FlopCounterMode:
    """Of products, those in place too."""
    aten = torch.ops.aten
    return FlopCounterMode(display=False, custom_mapping={aten.addmm_: _of_product, aten.baddbmm_: _of_product})


def _of_product(_: Any, left: Any, right: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Of self.addmm_(left, right) or self.baddbmm_(left, right), by their shapes."""
    *batch, rows, inner = left
    return 2 * torch.Size(batch).numel() * rows * inner * right[-1]


def step_floor(case: str, device: str, dtype: torch.dtype) -> float:
    """Seconds that a training step takes at the least: its products, and Adam's way through memory."""
    at_best = rates(device, dtype)
    model, loss = CASES[case]("cpu", Work())
    weights = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return counted(model, loss).step / at_best.flops + ADAM_PASSES * 4 * weights / at_best.bytes


def encoding_flops(model: nn.Module, inputs: dict[str, Tensor]) -> int:
    """Of the encoder and the net before it, without a gradient."""
    with torch.no_grad(), _counter() as counter:
        model.encode(**inputs)
    return counter.get_total_flops()


def encoder_floor(seconds: float, device: str, dtype: torch.dtype) -> float:
    """Seconds that encoding an utterance takes at the least."""
    return encoding_flops(random_model("s2t").eval(), waveforms((seconds,))) / rates(device, dtype).flops


def weights_a_step(decoder: nn.Module, *others: nn.Module) -> int:
    """Weights that one step of a decoder and the nets around it multiply."""
    linear = [part for net in (decoder, *others) for part in net.modules() if isinstance(part, nn.Linear)]
    once = [part for layer in decoder.layers for part in (layer.encoder_attn.k_proj, layer.encoder_attn.v_proj)]
    return sum(part.weight.numel() for part in linear) - sum(part.weight.numel() for part in once)


def steps_floor(weights: int, rows: Iterable[int], at_best: Rates, dtype: torch.dtype) -> float:
    """Seconds of a decoder's steps at the least: each reads ``weights`` and multiplies so many rows with them."""
    read = weights * dtype.itemsize / at_best.weights
    return sum(max(read, 2 * weights * each / at_best.flops) for each in rows)


def synthesis_floor(batch: int, tokens: int, steps: int, device: str, dtype: torch.dtype) -> float:
    """Seconds of ``batch`` utterances of ``tokens`` symbols; ``dtype`` is that of the decoder's weights."""
    model, at_best = random_model("t2s").eval(), _decoding_rates(device, dtype)
    text = torch.full((batch, tokens), 4)
    weights = weights_a_step(model.decoder, model.speech_decoder_prenet, model.speech_decoder_postnet)
    encoding = encoding_flops(model, {"source_tokens": text}) / at_best.flops
    return encoding + steps_floor(weights, [batch] * steps, at_best, dtype)


def search_floor(
    seconds: tuple[float, ...], beam: int, tokens_a_second: float, device: str, dtype: torch.dtype
) -> float:
    """Seconds of a search over a batch of utterances, each of which leaves it at its limit of tokens."""
    model, at_best = random_model("s2t").eval(), _decoding_rates(device, dtype)
    limits = [int(each * tokens_a_second) for each in seconds]
    rows = [beam * sum(limit > step for limit in limits) for step in range(max(limits))]
    weights = weights_a_step(model.decoder, model.text_decoder_postnet)
    encoding = encoding_flops(model, waveforms(seconds)) / at_best.flops
    return encoding + steps_floor(weights, rows, at_best, dtype)


def _decoding_rates(device: str, dtype: torch.dtype) -> Rates:
    """A CPU reads float16 and multiplies in float32."""
    return rates(device, torch.float32 if device == "cpu" and dtype == torch.float16 else dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="whose rates")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    for name in ("fp32", "bf16"):
        found = rates(options.device, DTYPES[name])
        print(f"{name}: {found.flops / 1e9:.0f} GFLOP/s in a product, {found.bytes / 1e9:.1f} GB/s in a copy")
        for case in ("pretrain_speech", "s2t", "s2t_ce", "t2s"):
            print(f"  {case:18}{step_floor(case, options.device, DTYPES[name]):8.2f} s at the least")


if __name__ == "__main__":
    main()

"""The encoder's self-attention with relative positions, forward and backward: ours beside what torch offers.

    python -m benchmarks.attention                         4 utterances of 500 frames, 12 heads of 64
    python -m benchmarks.attention --device cuda --dtypes fp32 bf16

"ours" is what training uses; "plain" is operation by operation; "fused" hands the relative term to
scaled_dot_product_attention as an additive mask that learns; "flex" is FlexAttention with the relative term in its
score_mod, compiled on CUDA (torch has no backward pass of it on a CPU). Errors are those of the result and of each
gradient, in norm, beside the same formulas in float64 on the same rounded inputs. Without dropout. What does not run
here is named with its reason.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from speecht5_fairseq.modules.attention import padding_bias
from speecht5_fairseq.modules.chunked_attention import ChunkedAttention
from speecht5_fairseq.modules.positions import relative

from .measure import DTYPES, Measurement, machine, measure

HEADS, WIDTH, DISTANCES = 12, 64, 320


class Inputs(NamedTuple):
    """What is attended to; the query is divided by sqrt(width) already."""

    query: Tensor  # (B, H, T, d), and so are key and value
    key: Tensor
    value: Tensor
    table: Tensor  # (R, d)
    lengths: Tensor  # (B,)

    @property
    def learning(self) -> tuple[Tensor, ...]:
        return self[:4]

    @property
    def rows(self) -> Tensor:
        return relative(self.table, self.query.size(2), self.key.size(2)).rows

    @property
    def padding(self) -> Tensor:
        """(B, T), True at padding."""
        return torch.arange(self.key.size(2), device=self.lengths.device) >= self.lengths[:, None]

    @property
    def bias(self) -> Tensor:
        return padding_bias(self.padding, self.query.dtype)

    @property
    def relative(self) -> Tensor:
        """(B, H, T, T) of the relative term."""
        return torch.gather(self.query @ self.table.T, -1, self.rows.expand(*self.query.shape[:2], *self.rows.shape))


class Row(NamedTuple):
    """What a choice took, and how far it was off: of the output, query, key, value and table."""

    measured: Measurement
    errors: dict[str, float]


def inputs(batch: int, frames: int, device: str, dtype: torch.dtype) -> Inputs:
    """Random, the same at every call; every utterance is an eighth shorter than the one before."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(batch, HEADS, frames, WIDTH)] * 3 + [(DISTANCES, WIDTH)]
    made = [torch.randn(shape, generator=generator) for shape in shapes]
    made[0] *= WIDTH**-0.5
    lengths = torch.tensor([max(frames - row * frames // 8, 1) for row in range(batch)], device=device)
    return Inputs(*(each.to(device, dtype).requires_grad_() for each in made), lengths)


def ours(given: Inputs) -> Tensor:
    return ChunkedAttention.apply(*given.learning, given.rows, given.bias, 0.0)


def fused(given: Inputs) -> Tensor:
    mask = given.relative + given.bias
    return scaled_dot_product_attention(given.query, given.key, given.value, attn_mask=mask, scale=1.0)


def flex(given: Inputs) -> Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    relative, lengths, half = given.query @ given.table.T, given.lengths, len(given.table) // 2

    def score(value: Tensor, row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        place = (query - key).clamp(-half, half - 1) + half
        return torch.where(key < lengths[row], value + relative[row, head, query, place], float("-inf"))

    attend = torch.compile(flex_attention) if given.query.is_cuda else flex_attention
    return attend(given.query, given.key, given.value, score_mod=score, scale=1.0)


def plain(given: Inputs) -> Tensor:
    """The formula, operation by operation."""
    scores = given.query @ given.key.transpose(-2, -1) + given.relative + given.bias
    return scores.softmax(-1) @ given.value


CHOICES: dict[str, Callable[[Inputs], Tensor]] = {"ours": ours, "plain": plain, "fused": fused, "flex": flex}
PARTS = ("output", "query", "key", "value", "table")


def results(attend: Callable[[Inputs], Tensor], given: Inputs) -> dict[str, Tensor]:
    """Output and gradients, of a fixed random direction, padded queries left out."""
    output = attend(given)
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
    direction = direction.masked_fill(given.padding[:, None, :, None], 0)
    found = torch.autograd.grad(output, given.learning, direction)
    return dict(zip(PARTS, (output.detach() * (direction != 0), *found), strict=True))


def compare(choice: str, given: Inputs, *, device: str, repeats: int) -> Row:
    """Time a choice and hold it against float64."""
    exact = [tensor.detach().double().requires_grad_() for tensor in given.learning]
    reference = results(plain, Inputs(*exact, given.lengths))
    found = results(CHOICES[choice], given)
    errors = {part: float((found[part].double() - true).norm() / true.norm()) for part, true in reference.items()}
    del exact, reference, found

    def step() -> object:
        return torch.autograd.grad(CHOICES[choice](given).sum(), given.learning)

    dtype = next(name for name, each in DTYPES.items() if each == given.query.dtype)
    return Row(measure(f"{choice}, {dtype}", step, device=device, warm_up=2, repeats=repeats), errors)


def lines(*, device: str, dtypes: list[str], batch: int, frames: int, repeats: int) -> list[str]:
    """The table, a line each; a choice that fails has a line that says why."""
    found = [f"{'attention':14}{'ms':>9}{'extra GiB':>11}" + "".join(f"{part:>10}" for part in PARTS)]
    for dtype in dtypes:
        for choice in CHOICES:
            given = inputs(batch, frames, device, DTYPES[dtype])
            try:
                measured, errors = compare(choice, given, device=device, repeats=repeats)
            except (RuntimeError, NotImplementedError, ValueError, ImportError) as error:
                reason = str(error).strip().splitlines()
                found.append(f"{choice}, {dtype}: not here: {type(error).__name__}: {reason[0] if reason else ''}")
                continue
            numbers = "".join(f"{errors[part]:10.1e}" for part in PARTS)
            found.append(f"{measured.name:14}{1000 * measured.seconds:9.2f}{measured.extra_gib:11.3f}{numbers}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where to run")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"], choices=DTYPES, help="of the inputs")
    parser.add_argument("--batch", type=int, default=4, help="utterances")
    parser.add_argument("--frames", type=int, default=500, help="of the longest utterance, 50 a second")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each, of which the median counts")
    options = vars(parser.parse_args())
    torch.set_num_threads(options.pop("threads"))
    print(machine())
    print("\n".join(lines(**options)))


if __name__ == "__main__":
    main()

"""How the time and the memory of a training step and of a search grow, and how the mathematics says that they must.

    python -m benchmarks.growth                         all sweeps at base size, some ten minutes
    python -m benchmarks.growth --only length beam --plots FOLDER
    python -m benchmarks.growth --size tiny             tries the program

Utterances get longer (one of them, with ten symbols and 62.5 mel frames a second), batches, vocabularies, units and
beams larger. Each point runs in a process of its own: median seconds, and the peak of its memory above the model that
stands there before the first step. Layers are never dropped, so that every step does the same.

Beside the exponent of a step's time stands that of its counted products: attention's are quadratic in the length, all
others linear, and both are linear in the batch. Beside that of its memory stands the exponent of a gradient and two
moments of every weight, the scores of the symbols or units with their gradient, and what the first point takes besides,
which grows as the batch and the length do. A search may be linear in what grows.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .cases import CASES, Work
from .exponents import Growth
from .measure import DTYPES, Measurement, Report, add_options, apart, measure, start_of_peak, tell
from .models import SIZES, random_model, waveforms
from .training_step import training

SEARCH = "search"
UNDROPPED = {"encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0}


class Sweep(NamedTuple):
    """What grows (``field``), for which cases, and what stays."""

    cases: tuple[str, ...]
    over: str  # in words
    field: str  # of ``Work``; of a search: batch, seconds, vocabulary or beam
    points: tuple[float, ...]
    fixed: dict[str, Any]


SWEEPS = {
    "length": Sweep(("pretrain_speech", "s2t"), "seconds of speech", "seconds", (2, 4, 8, 16, 30), {"batch": 1}),
    "batch": Sweep(("pretrain_speech", "s2t"), "utterances of a batch", "batch", (1, 2, 4, 8, 16), {"seconds": 2.0}),
    "vocabulary": Sweep(
        ("s2t", SEARCH), "symbols", "vocabulary", (100, 1000, 3000, 10_000), {"batch": 2, "seconds": 4.0}
    ),
    "units": Sweep(("pretrain_speech",), "units", "units", (100, 500, 1000, 2000), {"batch": 2, "seconds": 4.0}),
    "beam": Sweep((SEARCH,), "hypotheses of a beam", "beam", (1, 2, 5, 10, 20), {"batch": 2, "seconds": 6.0}),
}


def step_point(case: str, settings: dict[str, Any], *, device: str, dtype: str, repeats: int) -> Measurement:
    """A training step in this process; its products are counted where that is sure, on a CPU."""
    from .floors import counted

    work = Work(**settings, options=UNDROPPED)
    model, loss, step = training(case, device=device, dtype=dtype, work=work)
    before = start_of_peak(device)
    found = measure(case, step, device=device, warm_up=1, repeats=repeats)
    weights = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    flops = (counted(model, loss) if device == "cpu" else counted(*CASES[case]("cpu", work))).step
    return replace(found, extra_gib=found.peak_gib - before, flops=flops, weights=weights)


@torch.no_grad()
def search_point(
    *, batch: int, seconds: float, size: str, vocabulary: int = 100, beam: int = 5, device: str, repeats: int
) -> Measurement:
    """Beam search with joint CTC scores, ten symbols a second, in this process."""
    from .search import beam_search

    model = random_model("s2t", size, symbols=vocabulary).eval().to(device)
    model.prepare_decoding()
    sample = {"net_input": waveforms((seconds,) * batch, device)}
    search = beam_search(beam, vocabulary)
    before = start_of_peak(device)
    step = partial(search.generate, [model], sample)
    found = measure(SEARCH, step, device=device, warm_up=1, repeats=repeats)
    return replace(found, extra_gib=found.peak_gib - before)


def point(case: str, settings: dict[str, Any], *, device: str, dtype: str, repeats: int) -> Measurement:
    if case == SEARCH:
        return search_point(**settings, device=device, repeats=repeats)
    return step_point(case, settings, device=device, dtype=dtype, repeats=repeats)


def step_memory(case: str, works: list[Work], found: list[Measurement]) -> list[float]:
    """GiB that the mathematics asks for at each point, if the first is as it should be."""
    fixed = [(12 * each.weights + 8 * scores(case, work)) / 2**30 for work, each in zip(works, found, strict=True)]
    rest = max(found[0].extra_gib - fixed[0], 0.0)
    amounts = [work.batch * work.seconds for work in works]
    return [known + rest * amount / amounts[0] for known, amount in zip(fixed, amounts, strict=True)]


def scores(case: str, work: Work) -> int:
    """Numbers that say how likely each symbol or unit is: of the decoder and the CTC head, or of the unit head."""
    if case == "pretrain_speech":
        return work.batch * work.unit_frames * work.units
    return work.batch * (work.tokens + work.unit_frames) * work.vocabulary


def growths(case: str, sweep: Sweep, settings: list[dict[str, Any]], found: list[Measurement]) -> list[Growth]:
    """Of time and of memory."""
    points = [float(each[sweep.field]) for each in settings]
    if case == SEARCH:
        asked, memory, laws = points, points, ("search: linear at the most",) * 2
    else:
        memory = step_memory(case, [Work(**each) for each in settings], found)
        asked = [float(each.flops) for each in found]
        laws = ("step: its counted products", "step: weights, scores, and the first point's rest in proportion")
    work = "search" if case == SEARCH else f"{case} step"
    seconds, extra = [each.seconds for each in found], [each.extra_gib for each in found]
    return [
        Growth(work, sweep.over, "time", "s", points, seconds, asked, laws[0]),
        Growth(work, sweep.over, "memory", "GiB", points, extra, memory, laws[1]),
    ]


def run(case: str, sweep: Sweep, options: argparse.Namespace) -> tuple[list[Measurement], list[Growth]]:
    """Every point of a sweep, in a process each."""
    settings = [{**sweep.fixed, sweep.field: value, "size": options.size} for value in sweep.points[: options.points]]
    flags = ["--device", options.device, "--dtype", options.dtype, "--threads", str(options.threads)]
    flags += ["--repeats", str(options.repeats), "--single", case]
    found = []
    for each in settings:
        measured = apart("benchmarks.growth", [*flags, "--settings", json.dumps(each)])
        found.append(replace(measured, name=f"{case}, {each[sweep.field]:g} {sweep.over}"))
        print(f"{found[-1].name:42}{measured.seconds:10.3f} s{measured.extra_gib:8.2f} GiB more", flush=True)
    return found, growths(case, sweep, settings, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SWEEPS, default=list(SWEEPS), help="sweeps to run (default: all)")
    parser.add_argument("--size", default="base", choices=SIZES, help="of the model")
    parser.add_argument("--points", type=int, help="the first points of each sweep, at least 2 (default: all)")
    parser.add_argument("--dtype", default="fp32", choices=DTYPES, help="of a training step's products (autocast)")
    parser.add_argument("--plots", type=Path, help="folder for pictures (SVG)")
    parser.add_argument("--single", choices=(*CASES, SEARCH), help=argparse.SUPPRESS)
    parser.add_argument("--settings", type=json.loads, help=argparse.SUPPRESS)
    add_options(parser, repeats=3)
    options = parser.parse_args()
    if options.points is not None and options.points < 2:
        parser.error(f"--points {options.points}: an exponent needs two points; give 2 or more")
    torch.set_num_threads(options.threads)
    if options.single:
        flags = {"device": options.device, "dtype": options.dtype, "repeats": options.repeats}
        tell(point(options.single, options.settings, **flags))
        return
    measured, grown = [], []
    for name in options.only:
        for case in SWEEPS[name].cases:
            found, of_sweep = run(case, SWEEPS[name], options)
            measured += found
            grown += of_sweep
    Report("growth", measured, [], growths=grown).publish(options.json)
    if options.plots:
        from .growth_plots import draw

        print("wrote", *draw(grown, options.plots))


if __name__ == "__main__":
    main()

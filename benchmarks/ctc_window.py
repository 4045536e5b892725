"""Windowed CTC prefix scores beside exact ones: what they lose, and how many frames they read.

    python -m benchmarks.ctc_window                                        posteriors drawn like those of a trained CTC
    python -m benchmarks.ctc_window --checkpoint asr.pt --data prompts/en  a trained model on its test.tsv

Each window decodes all utterances beside the exact search. Drawn posteriors: 8 utterances of 5-15 s, some 10 symbols a
second with pauses of up to 2 s, a symbol one or two frames long, every fifth in doubt; decoded by CTC alone, beam 5. A
model decodes with its decoder and CTC 0.5. Scores are those by which hypotheses are ranked, nats a token.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from speecht5_fairseq.generation.beam_search import JointBeamSearch
from speecht5_fairseq.generation.ctc_prefix import CTCPrefixScorer
from speecht5_fairseq.outputs import EncoderOutput

from .measure import Measurement, Ratio, Report, add_options, take_turns
from .models import VOCABULARY, dictionary

SECONDS = (5.0, 15.0, 7.5, 12.0, 9.0, 6.0, 13.5, 10.5)
BEAM, FRAMES_A_SECOND = 5, 50
WINDOWS = (5.0, 10.0, 20.0, 30.0, 50.0)  # nats
EXACT = "exact, every frame"
BATCH = 16  # recordings of a trained model
FIRST_SYMBOL = 4  # of the dictionary, after fairseq's own


class Work(NamedTuple):
    """A model, the dictionary of its texts, batches and the weight of CTC."""

    model: Any
    dictionary: Any
    batches: list[dict]
    ctc_weight: float


class DrawnModel(nn.Module):
    """What ``JointBeamSearch`` asks of a model, for log-probabilities (B, T, V) that are there already."""

    has_ctc = True

    def __init__(self, log_probs: Tensor, lengths: Tensor) -> None:
        super().__init__()
        self.log_probs, self.lengths = log_probs, lengths

    def encode(self) -> EncoderOutput:
        return EncoderOutput(self.log_probs, self.lengths, None)

    def ctc_log_probs(self, encoded: EncoderOutput) -> Tensor:
        return encoded.states


def drawn(device: str = "cpu", seed: int = 1) -> Work:
    """Posteriors like those of a trained CTC."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [int(seconds * FRAMES_A_SECOND) for seconds in SECONDS]
    rows = [_posteriors(frames, generator) for frames in lengths]
    log_probs = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    model = DrawnModel(log_probs.to(device), torch.tensor(lengths, device=device))
    return Work(model, dictionary(), [{"net_input": {}}], 1.0)


def _posteriors(frames: int, generator: torch.Generator) -> Tensor:
    """(T, V) log-probabilities: blanks, and symbols at peaks; a doubtful one shares its frames with another."""
    blank, symbols = VOCABULARY - 1, VOCABULARY - 2 - FIRST_SYMBOL
    logits = torch.randn(frames, VOCABULARY, generator=generator)
    logits[:, blank] += 10

    def draw(below: int) -> int:
        return int(torch.randint(below, (1,), generator=generator))

    frame = draw(30)
    while frame < frames:
        peak = slice(frame, frame + 1 + draw(2))
        logits[peak, blank] -= 8
        for symbol in range(2 if draw(5) == 0 else 1):
            logits[peak, FIRST_SYMBOL + draw(symbols)] += 9 - symbol
        frame += draw(100) if draw(20) == 0 else 3 + draw(5)
    return logits.log_softmax(-1)


def trained(checkpoint: Path, data: Path, device: str) -> Work:
    """A checkpoint of recognition, and the recordings of DATA/test.tsv by length."""
    from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
    from speecht5_fairseq.data.s2t import S2TDataset
    from speecht5_fairseq.interface import SpeechT5

    recogniser = SpeechT5.from_pretrained(checkpoint, device=device)
    known = recogniser.loaded.dictionary
    speech = S2TDataset(Manifest.open(data / "test.tsv", JOB_COLUMNS["s2t"]), None, known, seed=1, training=False)
    batches = []
    for rows in speech.batch_by_size(speech.ordered_indices(), max_sentences=BATCH):
        heard = speech.collater([speech[row] for row in rows])["net_input"]
        batches.append({"net_input": {name: part.to(device) for name, part in heard.items()}})
    return Work(recogniser.model, known, batches, 0.5)


class Found(NamedTuple):
    best: list[dict]  # hypothesis of each utterance
    frames: float  # read for the scores of a step, a batch: mean


def decode(work: Work, window: float | None) -> Found:
    """The best hypotheses, with the windows' frames counted."""
    search = JointBeamSearch(
        work.dictionary, beam=BEAM, ctc_weight=work.ctc_weight, ctc_window=window, max_len_a=0.5, max_len_b=5
    )
    with counted_frames() as frames:
        best = [found[0] for batch in work.batches for found in search.generate([work.model], batch)]
    return Found(best, sum(frames) / len(frames))


@contextmanager
def counted_frames() -> Iterator[list[int]]:
    """The list that grows by the frames of each call of ``extend``."""
    frames: list[int] = []
    extend = CTCPrefixScorer.extend

    def counting(scorer: CTCPrefixScorer, state: Any) -> Tensor:
        frames.append(state.either.size(2) - 1)
        return extend(scorer, state)

    CTCPrefixScorer.extend = counting
    try:
        yield frames
    finally:
        CTCPrefixScorer.extend = extend


def loss(exact: Found, windowed: Found, window: float) -> str:
    """What a window changes, in words."""
    pairs = list(zip(exact.best, windowed.best, strict=True))
    same = [torch.equal(one["tokens"], other["tokens"]) for one, other in pairs]
    apart = [abs(float(one["score"]) - float(other["score"])) for one, other in pairs]
    return (
        f"window {window:g}: the same best hypothesis for {sum(same)} of {len(pairs)}; scores apart by "
        f"{sum(apart) / len(apart):.1e} nats a token on average, {max(apart):.1e} at most; "
        f"{windowed.frames:.0f} frames a step, exact {exact.frames:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=float, nargs="+", default=WINDOWS, help="nats")
    parser.add_argument("--checkpoint", type=Path, help="of recognition with a CTC head; none: posteriors are drawn")
    parser.add_argument("--data", type=Path, help="folder of the checkpoint's test.tsv")
    add_options(parser)
    options = parser.parse_args()
    if (options.checkpoint is None) != (options.data is None):
        parser.error("--checkpoint and --data go together: give both, or neither")
    torch.set_num_threads(options.threads)
    work = drawn(options.device) if options.data is None else trained(options.checkpoint, options.data, options.device)
    exact = decode(work, None)
    notes = [loss(exact, decode(work, window), window) for window in options.windows]
    steps = {name: lambda window=window: decode(work, window) for name, window in _names(options.windows)}
    found = take_turns(steps, device=options.device, repeats=options.repeats, warm_up=0)
    what = "drawn posteriors, CTC alone" if options.data is None else f"{options.data.name}, CTC {work.ctc_weight}"
    Report("ctc_window", list(found.values()), _ratios(what, found), notes).publish(options.json)


def _names(windows: list[float]) -> list[tuple[str, float | None]]:
    return [(EXACT, None), *((f"window {window:g}", window) for window in windows)]


def _ratios(work: str, found: dict[str, Measurement]) -> list[Ratio]:
    """Of each window to the exact search."""
    peer = found[EXACT].seconds
    return [Ratio(f"{work}, {name}", m.seconds, peer, "s", EXACT) for name, m in found.items() if name != EXACT]


if __name__ == "__main__":
    main()

"""Beam search with joint CTC scores at base size: a batch beside its utterances alone, and beside ESPnet's CTC scorer.

    python -m benchmarks.search                    beam 5, CTC 0.5, 8 utterances of 5-15 s, 10 tokens a second
    python -m benchmarks.search --precision bfloat16

All take turns in one process: the batch, its utterances one by one, and the batch with the CTC prefix scores of
ESPnet's CTCPrefixScoreTH in the place of ours (`pip install --no-deps espnet`; left out where it is not installed), of
every symbol and of the 1.5 x beam symbols that the decoder likes best, as ESPnet's own search asks it. The weights are
random, so that every hypothesis runs to the length limit. Seconds are those of the whole batch, encoder included.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from speecht5_fairseq.constants import ENCODER_FRAME_RATE
from speecht5_fairseq.generation.beam_search import JointBeamSearch
from speecht5_fairseq.generation.options import ctc_log_probs
from speecht5_fairseq.generation.score_sources import ScoreSources
from speecht5_fairseq.outputs import EncoderOutput

from .floors import search_floor
from .measure import Ratio, Report, add_options, take_turns
from .models import VOCABULARY, dictionary, random_model, waveforms

BEAM, CTC_WEIGHT, TOKENS_A_FRAME = 5, 0.5, 0.2
TOKENS_A_SECOND = TOKENS_A_FRAME * ENCODER_FRAME_RATE
SECONDS = (5.0, 15.0, 7.5, 12.0, 9.0, 6.0, 13.5, 10.5)
PRE_BEAM = 1.5  # ESPnet's pre_beam_ratio


class EspnetPrefixScores:
    """ESPnet's CTCPrefixScoreTH behind the interface of ``score_sources.CTCPrefixScores``.

    Args:
        log_probs: (B, T, V) of the CTC head, lengths (B,).
        candidates: symbols scored a hypothesis; None: all.
    """

    def __init__(self, log_probs: Tensor, lengths: Tensor, blank: int, eos: int, candidates: int | None) -> None:
        from espnet.nets.ctc_prefix_score import CTCPrefixScoreTH

        self._arguments = (blank, eos)
        self._make = CTCPrefixScoreTH
        self._log_probs, self._lengths = log_probs.float(), lengths
        self._scorer = self._make(self._log_probs.clone(), lengths, *self._arguments)
        self._candidates = candidates
        self._state: Any = None
        self._scored: Any = None
        self._hypotheses = [[eos]] * (len(log_probs) * BEAM)

    def cumulative_log_probs(self, decoder: Tensor) -> Tensor:
        """log psi of the candidates (B, K, V), by the decoder's scores (B, K, V)."""
        chosen = None if self._candidates is None else decoder.flatten(0, 1).topk(self._candidates).indices
        _, self._scored = self._scorer(self._hypotheses, self._state, chosen)
        return self._scored[1].view_as(decoder).double()

    def follow(self, kept: Tensor, parent: Tensor, token: Tensor, utterances: int) -> None:
        if len(kept) < utterances:
            self._drop(kept)
        picked = parent * VOCABULARY + token
        self._state = self._scorer.index_select_state(self._scored, picked)
        rows = (torch.arange(len(kept))[:, None] * BEAM + parent).flatten().tolist()
        self._hypotheses = [
            [*self._hypotheses[row], symbol] for row, symbol in zip(rows, token.flatten().tolist(), strict=True)
        ]

    def _drop(self, kept: Tensor) -> None:
        """Keep the utterances ``kept``: their scorer is made anew, their states are picked."""
        self._log_probs, self._lengths = self._log_probs[kept], self._lengths[kept]
        self._scorer = self._make(self._log_probs.clone(), self._lengths, *self._arguments)
        rows = (kept[:, None] * BEAM + torch.arange(BEAM)).flatten()
        forward, scores, first, last, places = self._scored
        self._scorer.scoring_num = forward.size(-1) if places is not None else 0
        places = None if places is None else places[rows]
        self._scored = (forward[:, :, rows], scores[rows], first, last, places)
        self._hypotheses = [self._hypotheses[row] for row in rows.tolist()]


class EspnetScoreSources(ScoreSources):
    """``ScoreSources`` that tells the CTC scorer what the decoder scored."""

    def score(self, live: Any) -> tuple[Tensor, Tensor]:
        prefix, self._prefix = self._prefix, None
        partial, _ = super().score(live)
        self._prefix = prefix
        weight, source = prefix
        return partial, partial.add(source.cumulative_log_probs(partial), alpha=weight)


class EspnetBeamSearch(JointBeamSearch):
    """The same search with ESPnet's CTC prefix scores."""

    candidates: int | None = None

    def _sources(self, model: Any, encoded: EncoderOutput) -> ScoreSources:
        ours = super()._sources(model, encoded)
        blank = self.symbols.require_blank()
        scores = EspnetPrefixScores(
            ctc_log_probs(model, encoded), encoded.lengths, blank, self.symbols.eos, self.candidates
        )
        return EspnetScoreSources(
            self.symbols.size, ours._stepwise, (self.ctc_weight, scores), self.symbols.unk, self.unk_penalty
        )


def beam_search(beam: int = BEAM, vocabulary: int = VOCABULARY, of: type[JointBeamSearch] = JointBeamSearch) -> Any:
    """A search with this program's settings."""
    return of(dictionary(vocabulary), beam=beam, ctc_weight=CTC_WEIGHT, max_len_a=TOKENS_A_FRAME, max_len_b=0)


def searches(model: nn.Module, batch: dict[str, Tensor], *, espnet: bool) -> dict[str, Callable[[], list]]:
    """What is timed, by name; each returns the best hypothesis of every utterance."""
    search = beam_search()

    def together(generator: JointBeamSearch = search) -> list:
        return [found[0] for found in generator.generate([model], {"net_input": batch})]

    def alone() -> list:
        return [search.generate([model], {"net_input": one})[0][0] for one in split(batch)]

    steps = {f"ours, batch {len(SECONDS)}": together, "ours, one by one": alone}
    if espnet:
        every, some = beam_search(of=EspnetBeamSearch), beam_search(of=EspnetBeamSearch)
        some.candidates = int(PRE_BEAM * BEAM)
        steps["ESPnet's scores of every symbol"] = lambda: together(every)
        steps["ESPnet's scores, pre-beam"] = lambda: together(some)
    return steps


def split(batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Each utterance alone, without padding."""
    found = []
    for row, samples in enumerate(batch["sample_lengths"].tolist()):
        one = {name: tensor[row : row + 1] for name, tensor in batch.items()}
        found.append(one | {"waveform": one["waveform"][:, :samples]})
    return found


def has_espnet() -> bool:
    from importlib.util import find_spec

    return find_spec("espnet") is not None


def check(results: dict[str, list]) -> list[str]:
    """Whether all found the same, a line each."""
    first, *others = results
    notes = []
    for name in others:
        pairs = list(zip(results[first], results[name], strict=True))
        same = sum(torch.equal(one["tokens"], other["tokens"]) for one, other in pairs)
        apart = max(abs(float(one["score"] - other["score"])) for one, other in pairs)
        notes.append(f"{name}: the same best hypothesis for {same} of {len(pairs)}, scores within {apart:.1e}")
    return notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"], help="of the products")
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = random_model("s2t").eval().to(options.device)
    products = torch.bfloat16 if options.precision == "bfloat16" else None
    model.prepare_decoding(products)
    steps = searches(model, waveforms(SECONDS, options.device), espnet=has_espnet())
    notes = check({name: step() for name, step in steps.items()})
    found = take_turns(steps, device=options.device, repeats=options.repeats, warm_up=0)
    ours, *others = found.values()
    aims = (5.0, 3.0, None)
    work = f"beam {BEAM}, CTC {CTC_WEIGHT}, batch {len(SECONDS)}, {options.precision}"
    floor = search_floor(SECONDS, BEAM, TOKENS_A_SECOND, options.device, products or torch.float32)
    ratios = [
        Ratio(work, ours.seconds, other.seconds, "s", other.name, aim, floor)
        for other, aim in zip(others, aims, strict=False)
    ]
    if not has_espnet():
        notes.append("ESPnet's scorer was left out: pip install --no-deps espnet")
    Report("search", list(found.values()), ratios, notes).publish(options.json)


if __name__ == "__main__":
    main()

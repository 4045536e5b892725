"""Greedy CTC decoding: the best symbol of each frame, repeats merged, blanks dropped. One pass, no search.

Source: Graves et al., "Connectionist Temporal Classification", 2006 (best path decoding).
Shapes: B utterances, T encoder frames, L output tokens, V vocabulary.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from fairseq.data import Dictionary
from torch import Tensor

from .hypotheses import hypothesis
from .options import ctc_log_probs, encoder_inputs, only_model, reject_forced_output, reject_unsupported
from .symbols import text_symbols


class GreedyOutput(NamedTuple):
    tokens: Tensor  # (B, L + 1) int64: the symbols, then `eos` from each utterance's own end on
    lengths: Tensor  # (B,) int64, symbols of each utterance
    scores: Tensor  # (B, L + 1): log-probability of the frames that led to each symbol; the rest counts for the end


def ctc_greedy(
    log_probs: Tensor, lengths: Tensor, blank: int, eos: int, *, forbidden: Iterable[int] = ()
) -> GreedyOutput:
    """Merge repeats and drop blanks of the best path of each utterance.

    Args:
        log_probs: (B, T, V); frames past `lengths` are not read.
        lengths: (B,) int64, valid frames.
        eos: end-of-sentence, which no frame may spell.
        forbidden: further indices that no frame may spell.
    """
    never = torch.tensor(sorted({eos, *forbidden} - {blank}), device=log_probs.device)
    valid = torch.arange(log_probs.size(1), device=log_probs.device) < lengths[:, None]
    score, symbol = log_probs.index_fill(2, never, -torch.inf).max(-1)
    symbol = symbol.masked_fill(~valid, blank)
    before = torch.nn.functional.pad(symbol[:, :-1], (1, 0), value=blank)
    spelled = (symbol != blank) & (symbol != before)
    # Frame t leads to the symbol that it spells, or to the next one (the end, after the last).
    place = spelled.cumsum(1) - spelled.long()
    count = spelled.sum(1)
    tokens = torch.full((len(lengths), int(count.max()) + 1), eos, device=log_probs.device)
    row, frame = spelled.nonzero(as_tuple=True)
    tokens[row, place[row, frame]] = symbol[row, frame]
    scores = score.new_zeros(tokens.shape).scatter_add_(1, place, score.masked_fill(~valid, 0.0))
    return GreedyOutput(tokens, count, scores)


class CTCGreedySearch:
    """A generator for fairseq-generate that runs the encoder and its CTC head only.

    Its hypothesis has the log-probability of its best path, divided by its tokens (</s> included), as score.

    Args:
        dictionary: of the output text.

    Raises:
        ValueError: the dictionary has no CTC blank.
    """

    def __init__(self, dictionary: Dictionary) -> None:
        self.symbols = text_symbols(dictionary)
        self.blank = self.symbols.require_blank()
        self.symbols_to_strip_from_output = {self.symbols.eos, *self.symbols.never}

    @classmethod
    def from_config(cls, cfg: Any, dictionary: Dictionary) -> "CTCGreedySearch":
        """Build from fairseq's generation options.

        Raises:
            ValueError: an option that has no effect is set.
        """
        reject_unsupported(cfg, "greedy CTC")
        return cls(dictionary)

    @torch.no_grad()
    def generate(
        self, models: list, sample: dict, prefix_tokens: Tensor | None = None, constraints: Tensor | None = None
    ) -> list[list[dict]]:
        """Decode a batch; arguments, result and errors as `JointBeamSearch.generate`, one hypothesis an utterance."""
        reject_forced_output(prefix_tokens, constraints)
        model = only_model(models)
        encoded = model.encode(**encoder_inputs(sample))
        log_probs = ctc_log_probs(model, encoded)
        output = ctc_greedy(log_probs, encoded.lengths, self.blank, self.symbols.eos, forbidden=self.symbols.never)
        tokens, scores = output.tokens.cpu(), output.scores.float().cpu()
        return [
            [hypothesis(tokens[place, : count + 1], scores[place].sum() / (count + 1), scores[place, : count + 1])]
            for place, count in enumerate(output.lengths.tolist())
        ]

"""A codebook that collapses: frames of all kinds choose the same few codes, which the losses do not show."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from ..modules.quantizer import perplexity
from ..ranges import COUNT, SIZE, WEIGHT, ranged

logger = logging.getLogger(__name__)

COUNTS = ("codes_speech", "codes_text")  # entries of a logging output, (G, C) each: how often a code was chosen


@dataclass
class CodebookConfig(FairseqDataclass):
    """Options of the tasks whose model has a codebook."""

    codebook_perplexity_bound: float = ranged(
        4.0, "warn of codes whose perplexity (at least the groups' number) stays under this", WEIGHT
    )
    codebook_perplexity_updates: int = ranged(
        500, "updates in a row under --codebook-perplexity-bound before the warning", SIZE
    )
    revive_codes: int = ranged(
        0, "seed a code anew, from recent encoder states, after so many updates unchosen (0: never)", COUNT
    )


class CodebookWatch:
    """Warns once of each stretch of updates whose codes are too few. A resumed run begins to count anew.

    Args:
        bound: of the perplexity of all codes that an update's frames and tokens chose, summed over the groups.
        updates: a stretch's length, 1 or more.
    """

    def __init__(self, *, bound: float, updates: int) -> None:
        self.bound, self.updates = bound, updates
        self.under = 0  # updates in a row

    def note(self, outputs: Sequence[dict[str, Tensor]]) -> None:
        """Take in the logging outputs of one update; where every batch was left out, they say nothing."""
        tables = [output[name].detach().double().cpu() for output in outputs for name in COUNTS if name in output]
        counts = torch.stack(tables).sum(0) if tables else torch.zeros(1, 1)
        if not counts.any():
            return
        found = perplexity(counts / counts.sum(-1, keepdim=True)).item()
        self.under = self.under + 1 if found < self.bound else 0
        if self.under == self.updates:
            groups, entries = counts.shape
            logger.warning(
                "the codes' perplexity has been under --codebook-perplexity-bound %g for %d updates (now %.2f, of %d "
                "to %d): the codebook has collapsed. Go on from an earlier checkpoint with a higher "
                "--diversity-weight, --revive-codes, a higher --gumbel-end or a lower --lr",
                *(self.bound, self.updates, found, groups, groups * entries),
            )

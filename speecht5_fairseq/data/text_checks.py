"""The checks of a fairseq-preprocess binary before its first use: tokens that the dictionary lacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from fairseq.data import ConcatDataset, Dictionary

from ..constants import MASK_SYMBOL
from .errors import MAX_LISTED, DataError, listed

logger = logging.getLogger(__name__)

QUICK_SENTENCES = 10_000  # evenly spaced sentences that the level "quick" checks
_CHUNK = 65_536  # sentences looked at at a time


class Sentences(NamedTuple):
    """Some of a binary's n sentences."""

    numbers: np.ndarray  # (n,) int64, from 0
    sizes: np.ndarray  # (n,) int64, tokens with </s>
    tokens: np.ndarray  # (sum of sizes,), one sentence after the other


def check_text_binary(
    binary: torch.utils.data.Dataset, dictionary: Dictionary, *, level: str = "full", name: str = "text"
) -> float:
    """Check sentences; log and return the share of their tokens that is unknown.

    Args:
        binary: `open_text_binary(...)`.
        level: "full" reads every sentence, "quick" QUICK_SENTENCES of them.
        name: of the binary, for messages.

    Raises:
        DataError: sentences of unknown symbols only, or of indices beyond the dictionary: how many, and the first of
            them; or a .bin that is not its .idx's.
    """
    problems, bad, unknown, total = [], 0, 0, 0
    for part in _every(binary, name) if level == "full" else _spread(binary):
        ends = part.sizes.cumsum()
        starts = ends - part.sizes
        stops = np.maximum(ends - 1, starts)  # without </s>
        pieces = stops - starts
        beyond = _count(part.tokens >= dictionary.index(MASK_SYMBOL), starts, stops)
        unknowns = _count(part.tokens == dictionary.unk(), starts, stops)
        wrong = np.flatnonzero((beyond > 0) | ((unknowns == pieces) & (pieces > 0)))
        for row in wrong[: MAX_LISTED - len(problems)].tolist():
            if beyond[row]:
                index = part.tokens[starts[row] : stops[row]].max()
                problem = f"token index {index} is beyond the dictionary"
            else:
                problem = f"all {unknowns[row]} symbols are unknown to the dictionary"
            problems.append(f"{name}: sentence {part.numbers[row]}: {problem}")
        bad, unknown, total = bad + len(wrong), unknown + int(unknowns.sum()), total + int(pieces.sum())
    if problems:
        mend = "encode the text with the dictionary's own sentencepiece model and preprocess it with this dict.txt"
        raise DataError(f"{listed(problems, bad)}; {mend}")
    share = unknown / max(total, 1)
    logger.info("%s: %s sentences, %.2f%% of the tokens unknown", name, f"{len(binary):,}", 100 * share)
    return share


def _count(marks: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """How many of `marks` (tokens,) bool are set between each start and stop (n,): int64 (n,)."""
    before = np.concatenate([[0], marks.cumsum(dtype=np.int64)])
    return before[stops] - before[starts]


def _spread(binary: torch.utils.data.Dataset) -> Iterator[Sentences]:
    """QUICK_SENTENCES evenly spaced sentences, or all where there are fewer."""
    numbers = np.unique(np.linspace(0, len(binary) - 1, min(len(binary), QUICK_SENTENCES)).astype(np.int64))
    found = [binary[int(number)].numpy() for number in numbers]
    if found:
        yield Sentences(numbers, np.array([len(tokens) for tokens in found], dtype=np.int64), np.concatenate(found))


def _every(binary: torch.utils.data.Dataset, name: str) -> Iterator[Sentences]:
    """All sentences, some at a time, as views of the memory-mapped files: one by one they would take minutes."""
    first = 0
    for part in binary.datasets if isinstance(binary, ConcatDataset) else [binary]:
        tokens, done = _tokens(part, name), 0
        for start in range(0, len(part), _CHUNK):
            sizes = np.asarray(part.sizes[start : start + _CHUNK], dtype=np.int64)
            stop = done + int(sizes.sum())
            yield Sentences(first + start + np.arange(len(sizes)), sizes, tokens[done:stop])
            done = stop
        first += len(part)


def _tokens(part: torch.utils.data.Dataset, name: str) -> np.ndarray:
    """All tokens of one memory-mapped file, which fairseq has under private names only.

    Raises:
        DataError: the file has another size than the index tells.
    """
    kind = np.dtype(part._index.dtype)
    expected = int(part.sizes.sum(dtype=np.int64)) * kind.itemsize
    if len(part._bin_buffer) != expected:
        problem = f"the .bin has {len(part._bin_buffer):,} bytes, its .idx tells of {expected:,}"
        raise DataError(f"{name}: {problem}; copy both files again, or preprocess the text again")
    return np.frombuffer(part._bin_buffer, dtype=kind)

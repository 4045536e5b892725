"""Shallow fusion with a fairseq language model, run incrementally. Shapes: N rows (utterances x beam), L tokens,
V our vocabulary."""

from typing import Any

from fairseq.data import Dictionary
from fairseq.models import FairseqIncrementalDecoder
from torch import Tensor
from torch.nn.functional import pad

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL

_APPENDED = (MASK_SYMBOL, CTC_BLANK_SYMBOL)
_FILLER = "madeupword"  # fairseq-preprocess fills a dictionary up to a multiple of 8 with these


class FusedLanguageModel:
    """A language model over the same symbols as ours.

    Args:
        model: a fairseq language model (`FairseqLanguageModel` with an incremental decoder).
        dictionary: ours. The model's must hold the same symbols in the same order; it may lack `<mask>` and
            `<ctc_blank>`, and may have fairseq's filler words at the end: none of these is ever produced.

    Raises:
        ValueError: the dictionaries differ.
        TypeError: the model does not decode incrementally.
    """

    def __init__(self, model: Any, dictionary: Dictionary) -> None:
        if not isinstance(model.decoder, FairseqIncrementalDecoder):
            raise TypeError(
                f"--lm-path holds a {type(model).__name__}, whose decoder is not incremental: give a left-to-right "
                "language model such as transformer_lm or lstm_lm"
            )
        check_same_symbols(model.decoder.dictionary, dictionary)
        model.eval()  # as a statement: fairseq's prepare_for_inference_ makes it return None
        self.model = model
        self.vocabulary = len(dictionary)
        # The prefix holds </s> and the output: the longest output has one token less than the model has positions.
        self.max_output = int(model.max_positions()) - 1

    def start(self) -> "LanguageModelState":
        """State before the first token, for any number of rows."""
        return LanguageModelState(self.model, self.vocabulary)


class LanguageModelState:
    """The incremental state of one batch of rows."""

    def __init__(self, model: Any, vocabulary: int) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._cache: dict = {}

    def next_log_probs(self, prefix: Tensor) -> Tensor:
        """log p(next | prefix): (N, L) int64 with </s> first, one token longer each call -> (N, V) float32.

        Columns of symbols that the model lacks hold 0: they are never candidates.
        """
        logits = self._model.decoder(prefix, incremental_state=self._cache)
        log_probs = self._model.get_normalized_probs(logits, log_probs=True, sample=None)[:, -1, :].float()
        return pad(log_probs, (0, self._vocabulary - log_probs.size(-1)))

    def select(self, rows: Tensor) -> None:
        """Keep the rows `rows` (N',) int64, in that order; a row may be taken more than once."""
        self._model.decoder.reorder_incremental_state_scripting(self._cache, rows)


def check_same_symbols(theirs: Dictionary, ours: Dictionary) -> None:
    """Hold that a language model's dictionary matches ours.

    Raises:
        ValueError: naming the first symbol that differs.
    """
    base = [symbol for symbol in ours.symbols if symbol not in _APPENDED]
    shared = theirs.symbols[: len(base)]
    for index, (expected, found) in enumerate(zip(base, shared, strict=False)):
        if expected != found:
            raise _mismatch(f"entry {index} is {found!r} there and {expected!r} here")
    if len(shared) < len(base):
        raise _mismatch(f"it ends after {len(shared)} entries, ours has {len(base)}")
    extra = [s for s in theirs.symbols[len(base) :] if s not in _APPENDED and not s.startswith(_FILLER)]
    if extra:
        raise _mismatch(f"it has {len(extra)} more entries, the first is {extra[0]!r}")


def _mismatch(reason: str) -> ValueError:
    return ValueError(
        f"the language model's dictionary is not the recogniser's: {reason}. Train the language model on data "
        "prepared with the recogniser's dict.txt (fairseq-preprocess --srcdict dict.txt)"
    )

"""The scores that a joint beam search adds up: decoder, language model, CTC prefix.

Shapes: B utterances still searched, K beam, N = B * K rows (utterance b owns rows b * K to b * K + K - 1), L output
tokens so far, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from ..outputs import EncoderOutput
from .ctc_prefix import CTCPrefixScorer
from .hypotheses import LiveHypotheses
from .language_model import FusedLanguageModel


class DecoderScores:
    """log p(next token | tokens so far, speech) of the model's decoder."""

    def __init__(self, model: Any, encoded: EncoderOutput, temperature: float) -> None:
        self._model = model
        self._state = model.start_decoding(encoded)
        self._temperature = temperature

    def next_log_probs(self, tokens: Tensor) -> Tensor:
        """(B, K, L + 1) int64, one longer each call -> (B, K, V) float32."""
        log_probs = self._model.next_token_log_probs(tokens[:, :, -1].flatten(), self._state)
        if self._temperature != 1.0:
            log_probs = torch.log_softmax(log_probs / self._temperature, -1)
        return log_probs.unflatten(0, tokens.shape[:2])

    def follow(self, kept: Tensor, parent: Tensor, utterances: int) -> None:
        """Keep the utterances `kept` (B',) of `utterances`, and in them the rows `parent` (B', K)."""
        if len(kept) < utterances:
            self._state.keep_utterances(kept)
        self._state.reorder(_rows(kept, parent))


class LanguageModelScores:
    """log p(next token | tokens so far) of a language model."""

    def __init__(self, language_model: FusedLanguageModel) -> None:
        self._state = language_model.start()

    def next_log_probs(self, tokens: Tensor) -> Tensor:
        """(B, K, L + 1) int64, one longer each call -> (B, K, V) float32."""
        return self._state.next_log_probs(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])

    def follow(self, kept: Tensor, parent: Tensor, utterances: int) -> None:
        """Keep the utterances `kept` (B',), and in them the rows `parent` (B', K)."""
        self._state.select(_rows(kept, parent))


class CTCPrefixScores:
    """Cumulative log prefix probabilities of the CTC head."""

    def __init__(self, scorer: CTCPrefixScorer, beam: int) -> None:
        self._scorer = scorer
        self._state = scorer.initial_state(beam)

    def cumulative_log_probs(self) -> Tensor:
        """log psi of every candidate (B, K, V) float64."""
        return self._scorer.extend(self._state)

    def follow(self, kept: Tensor, parent: Tensor, token: Tensor, utterances: int) -> None:
        """Keep the utterances `kept` (B',), and in them the candidates (`parent`, `token`), both (B', K)."""
        if len(kept) < utterances:
            self._scorer.keep_utterances(kept)
            self._state = self._state.keep_utterances(kept, self._scorer.frames)
        self._state = self._scorer.advance(self._state, parent, token)


class ScoreSources:
    """Their weighted sum.

    Args:
        vocabulary: V.
        stepwise: (weight, source) of the sources that score one token at a time.
        prefix: (weight, source) of the CTC prefix scores, or None.
        unk, unk_penalty: taken from the score at each token `unk`.
    """

    def __init__(
        self,
        vocabulary: int,
        stepwise: list[tuple[float, DecoderScores | LanguageModelScores]],
        prefix: tuple[float, CTCPrefixScores] | None,
        unk: int,
        unk_penalty: float,
    ) -> None:
        self._vocabulary = vocabulary
        self._stepwise = stepwise
        self._prefix = prefix
        self._unk = unk
        self._unk_penalty = unk_penalty

    def score(self, live: LiveHypotheses) -> tuple[Tensor, Tensor]:
        """Scores of every one-token extension, both (B, K, V) float64: without and with the CTC prefix.

        They are kept apart because the CTC prefix score is that of the whole hypothesis, not of its last token.
        """
        partial = live.partial[:, :, None].repeat(1, 1, self._vocabulary)
        for weight, source in self._stepwise:
            partial.add_(source.next_log_probs(live.tokens), alpha=weight)
        partial[:, :, self._unk] -= self._unk_penalty
        if self._prefix is None:
            return partial, partial.clone()
        weight, source = self._prefix
        return partial, partial.add(source.cumulative_log_probs(), alpha=weight)

    def follow(self, kept: Tensor, parent: Tensor, token: Tensor, utterances: int) -> None:
        """Go on with the utterances `kept` (B',) of `utterances`, and in them the candidates that extend the
        hypotheses `parent` by `token`, both (B', K)."""
        for _, source in self._stepwise:
            source.follow(kept, parent, utterances)
        if self._prefix is not None:
            self._prefix[1].follow(kept, parent, token, utterances)


def _rows(utterance: Tensor, parent: Tensor) -> Tensor:
    """Row numbers (B' * K,), before any utterance is dropped, of the hypotheses `parent` (B', K) of the utterances
    `utterance` (B',)."""
    return (utterance[:, None] * parent.size(1) + parent).flatten()

"""`fairseq-generate --scoring wer_cer`: word and character error rates in one run, with their counts."""

from dataclasses import dataclass

from fairseq.dataclass import FairseqDataclass
from fairseq.scoring import BaseScorer, register_scorer

from .error_rate import ErrorCount, character_errors, word_errors
from .text import scored_lines, warn_of_unknown


@dataclass
class WerCerScorerConfig(FairseqDataclass):
    """The scorer has no options."""


@register_scorer("wer_cer", dataclass=WerCerScorerConfig)
class WerCerScorer(BaseScorer):
    """Collects lines, which may be words or sentencepiece pieces (any line with "\u2581" makes all of them pieces)."""

    def __init__(self, cfg: WerCerScorerConfig) -> None:
        super().__init__(cfg)

    def counts(self) -> tuple[ErrorCount, ErrorCount]:
        """Word and character errors of all lines added so far."""
        lines = scored_lines(self.ref, self.pred)
        return word_errors(*lines), character_errors(*lines)

    def score(self) -> float:
        """Word error rate in percent."""
        return self.counts()[0].percent

    def result_string(self) -> str:
        """Both rates, each with its errors / reference length."""
        warn_of_unknown(scored_lines(self.ref, self.pred).references)
        words, characters = self.counts()
        return (
            f"WER: {words.percent:.2f} ({words.errors} / {words.reference} words), "
            f"CER: {characters.percent:.2f} ({characters.errors} / {characters.reference} characters)"
        )

"""`fairseq-generate --scoring bleu_chrf`: BLEU and chrF of sacrebleu in one run, each with its signature."""

from dataclasses import dataclass, field

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.scoring import BaseScorer, register_scorer
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.metrics.base import Metric

from ..ranges import COUNT, Rule, check_ranges, ranged
from .text import Lines, scored_lines, warn_of_unknown

WORD_ORDER = Rule(COUNT.read, "0 (chrF), 2 (chrF++) or another length")
TOKENIZERS = ChoiceEnum(sorted(BLEU.TOKENIZERS))


@dataclass
class BleuChrfScorerConfig(FairseqDataclass):
    bleu_tokenizer: TOKENIZERS = field(default="13a", metadata={"help": "sacrebleu's tokenizer for BLEU"})
    score_lowercase: bool = field(default=False, metadata={"help": "compare in lower case, in BLEU and in chrF"})
    chrf_word_order: int = ranged(
        0, "longest word n-grams in chrF beside those of characters; 2 gives chrF++", WORD_ORDER
    )


@register_scorer("bleu_chrf", dataclass=BleuChrfScorerConfig)
class BleuChrfScorer(BaseScorer):
    """Collects lines, which may be words or sentencepiece pieces (any line with "\u2581" makes all of them pieces)."""

    def __init__(self, cfg: BleuChrfScorerConfig) -> None:
        """
        Raises:
            ValueError: a word order below 0.
        """
        super().__init__(cfg)
        check_ranges(cfg, BleuChrfScorerConfig)
        self.bleu = BLEU(tokenize=str(cfg.bleu_tokenizer), lowercase=cfg.score_lowercase)
        self.chrf = CHRF(word_order=cfg.chrf_word_order, lowercase=cfg.score_lowercase)

    def lines(self) -> Lines:
        """References and hypotheses as they are scored: words."""
        return scored_lines(self.ref, self.pred)

    def score(self) -> float:
        """BLEU.

        Raises:
            ValueError: nothing was added.
        """
        return self._scored(self.bleu)[0]

    def result_string(self) -> str:
        """Both scores, each after its signature: what sacrebleu prints, in one line."""
        warn_of_unknown(self.lines().references)
        return "; ".join(self._scored(metric)[1] for metric in (self.bleu, self.chrf))

    def _scored(self, metric: Metric) -> tuple[float, str]:
        references, hypotheses = self.lines()
        if not references:
            raise ValueError("no line to score: the split has no references (--unlabelled?) or no rows")
        result = metric.corpus_score(hypotheses, [references])
        return result.score, result.format(signature=str(metric.get_signature()))

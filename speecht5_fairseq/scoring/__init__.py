"""Scores: lists of references and hypotheses in, a number out. Importing it registers `--scoring wer_cer`."""

from . import fairseq_scorer  # noqa: F401  (registers the scorer with fairseq)

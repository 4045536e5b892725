"""Scores: lists of references and hypotheses in, a number out. Importing it registers the scorers of `--scoring`."""

from . import fairseq_scorer, translation  # noqa: F401  (registers the scorers with fairseq)

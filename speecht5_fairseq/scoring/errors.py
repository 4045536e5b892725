"""What goes wrong with one pair of recordings; the other pairs are scored all the same."""

from __future__ import annotations


class ScoreError(ValueError):
    """A recording or a pair that a metric cannot judge. Takes one string, so that worker processes can pass it on."""

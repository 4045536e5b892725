"""Decoding: from encoder states to hypotheses, through the interface that fairseq-generate calls."""

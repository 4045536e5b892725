"""Checkpoints of other layouts, name by name."""

"""Trained models from Python: arrays, files or lists in, results with scores out."""

from .results import Identity, Segment, Speech, Transcript
from .speecht5 import SpeechT5

__all__ = ["Identity", "Segment", "Speech", "SpeechT5", "Transcript"]

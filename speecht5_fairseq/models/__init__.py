"""The unified model, its configuration, and the table of jobs."""

from .config import SpeechT5Config, SpeechT5LargeConfig, SpeechT5SmallConfig
from .released import ReleasedSpeechT5Model
from .speecht5 import SpeechT5Large, SpeechT5Model, SpeechT5Small

__all__ = [
    "ReleasedSpeechT5Model",
    "SpeechT5Config",
    "SpeechT5Large",
    "SpeechT5LargeConfig",
    "SpeechT5Model",
    "SpeechT5Small",
    "SpeechT5SmallConfig",
]

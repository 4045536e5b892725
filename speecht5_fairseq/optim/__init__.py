"""The registered optimizers; importing this package registers them."""

from .adam import SpeechT5Adam
from .fused_adam import SpeechT5FusedAdam

__all__ = ["SpeechT5Adam", "SpeechT5FusedAdam"]

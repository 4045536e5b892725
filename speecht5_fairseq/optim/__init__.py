"""The registered optimizers; importing this package registers them."""

from .adam import SpeechT5Adam

__all__ = ["SpeechT5Adam"]

"""The text dictionary's symbols inside the checkpoint, so that a load can tell whether a dictionary fits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Names of what a model holds of them
SYMBOLS, CLASSES = "vocabulary.symbols", "classes.symbols"


class Vocabulary(nn.Module):
    """Holds the symbols as one int32 buffer of code points, lines apart: a tensor survives averaging and conversion."""

    def __init__(self, symbols: list[str]) -> None:
        super().__init__()
        self.register_buffer("symbols", encode(symbols))


def encode(symbols: list[str]) -> Tensor:
    return torch.tensor([ord(letter) for letter in "\n".join(symbols)], dtype=torch.int32)


def decode(codes: Tensor) -> list[str]:
    return "".join(map(chr, codes.tolist())).split("\n")

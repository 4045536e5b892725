"""A tiny checkpoint with its data, and speech and text whose codes mean what a test says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import tiny_checkpoint
from helpers import tiny_manifest

from speecht5_fairseq.codes.collect import Pair, Side
from speecht5_fairseq.modules.quantizer import Quantizer

LETTERS, GROUPS, FRAMES = 12, 2, 6
COUNT = 9  # rows of the data


@pytest.fixture(scope="package")
def data(tmp_path_factory) -> Path:
    """pretrain.pt, valid.tsv and valid.txt."""
    folder = tmp_path_factory.mktemp("codes")
    tiny_manifest(folder, COUNT, split="valid")
    tiny_checkpoint(folder / "pretrain.pt", "pretrain")
    return folder


def quantizer() -> Quantizer:
    """The entry of both groups is the letter; a state is which letter it is, and noise."""
    made = Quantizer(
        dim=2 * LETTERS,
        groups=GROUPS,
        entries=LETTERS,
        mix_probability=0.1,
        start_temperature=2,
        end_temperature=1,
        decay=1,
    )
    with torch.no_grad():
        made.projection.weight.zero_()
        for group in range(GROUPS):
            made.projection.weight[group * LETTERS : (group + 1) * LETTERS, :LETTERS] = torch.eye(LETTERS)
    return made


def side(made: Quantizer, letters: np.ndarray, noise: np.random.Generator) -> Side:
    states = np.hstack([np.eye(LETTERS)[letters], 0.15 * noise.standard_normal((len(letters), LETTERS))]).astype(
        np.float32
    )
    codes = made.codes(torch.from_numpy(states))
    vectors = made.vectors(codes).detach().mean(0).numpy()
    return Side(codes.numpy(), vectors, states.mean(0), states)


def constructed(heard_as: Callable[[np.ndarray], np.ndarray], *, count: int = 25, even: bool = True) -> list[Pair]:
    """Speech of ``FRAMES`` a letter, or of 2 to 9, in which letters are heard as others."""
    rng, made = np.random.default_rng(3), quantizer()
    found = []
    for row in range(count):
        text = rng.integers(LETTERS, size=rng.integers(4, 9))
        frames = np.repeat(text, FRAMES if even else rng.integers(2, 10, size=len(text)))
        found.append(Pair(row, text, side(made, heard_as(frames), rng), side(made, text, rng)))
    return found


@pytest.fixture(scope="session")
def pairs() -> Callable[..., list[Pair]]:
    """``constructed``."""
    return constructed

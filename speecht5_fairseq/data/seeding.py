"""One seed per utterance and epoch, whatever the batch, worker or rank that the utterance falls into."""

from __future__ import annotations

import numpy as np
import torch

_WORD = (1 << 64) - 1


def _mix(state: int) -> int:
    """One step of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64-bit words that scatters every input bit."""
    state = (state + 0x9E3779B97F4A7C15) & _WORD
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _WORD
    return state ^ (state >> 31)


def utterance_seed(seed: int, epoch: int, index: int, repeat: int = 0) -> int:
    """A 63-bit seed (fits int64) for one utterance.

    Args:
        seed: the run's seed.
        epoch: fairseq's epoch, from 1; validation uses 0 in every epoch, so that its batches never change.
        index: the utterance's index in its dataset.
        repeat: how often the utterance was met before in this epoch (a short text stream is repeated).
    """
    state = 0
    for part in (seed, epoch, index, repeat):
        state = _mix(state ^ (part & _WORD))
    return state >> 1


def utterance_rng(seed: int, epoch: int, index: int, repeat: int = 0) -> np.random.Generator:
    """The generator of crops and text noise for one utterance: `default_rng(utterance_seed(...))`."""
    return np.random.default_rng(utterance_seed(seed, epoch, index, repeat))


class EpochSeeds:
    """Seeds of one dataset in the epoch that fairseq announced.

    The epoch is kept in shared memory: fairseq may keep its worker processes over epochs, and `set_epoch` is called in
    the main process only. Outside training the epoch stays 0.
    """

    def __init__(self, seed: int, *, training: bool) -> None:
        self.run_seed = seed
        self.training = training
        self._epoch = torch.full((1,), int(training), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """fairseq's epoch, from 1; 0 outside training."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Start an epoch; without effect outside training."""
        if self.training:
            self._epoch.fill_(epoch)

    def seed(self, index: int, repeat: int = 0) -> int:
        """The `utterance_seed` of an utterance in this epoch."""
        return utterance_seed(self.run_seed, self.epoch, index, repeat)

    def rng(self, index: int, repeat: int = 0) -> np.random.Generator:
        """The `utterance_rng` of an utterance in this epoch."""
        return utterance_rng(self.run_seed, self.epoch, index, repeat)

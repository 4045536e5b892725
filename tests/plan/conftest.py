"""Flags of tiny trainings, as a user gives them after --."""

import pytest
from helpers import TINY_SIZES

from speecht5_fairseq.plan.configuration import Flags, training_config

SIZES = [f"--{name.replace('_', '-')}={value}" for name, value in TINY_SIZES.items()]
CRITERIA = {"pretrain": "pretrain", "s2t": "s2t", "t2s": "speech", "s2s": "speech", "s2c": "s2c"}


@pytest.fixture
def config(tmp_path):
    """config(job, *flags): fairseq's configuration; its data are not there."""

    def made(job, *flags):
        given = ["--task", f"speecht5_{job}", "--criterion", f"speecht5_{CRITERIA[job]}", "--arch", "speecht5_small"]
        given += [*SIZES, "--optimizer", "adam", "--lr", "0.001", *map(str, flags)]
        return training_config(Flags(str(tmp_path), given))

    return made

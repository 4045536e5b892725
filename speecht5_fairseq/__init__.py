"""SpeechT5 as a fairseq user dir: importing it registers models, criterions, tasks and scorers."""

import argparse

import torch

from . import criterions, models, scoring, tasks  # noqa: F401  (importing registers)

# torch loads checkpoints with weights_only; fairseq's hold their options in this class and nothing else that runs.
torch.serialization.add_safe_globals([argparse.Namespace])

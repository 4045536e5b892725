"""SpeechT5 as a fairseq user dir: importing it registers models, criterions, optimizers, tasks and scorers.

fairseq's checkpoints are safe from crashes from then on (``training/seams.py``).
"""

import sys

# `python -m speecht5_fairseq.doctor` imports this file first, and must speak where nothing else imports.
_DOCTOR = sys.argv[:1] == ["-m"] and "speecht5_fairseq.doctor" in sys.orig_argv

if not _DOCTOR:
    try:
        import argparse
        import logging

        import torch

        # fairseq's import tells everyone to install tensorboardX, which nothing needs beside tensorboard.
        logging.getLogger("fairseq.tasks.text_to_speech").setLevel(logging.WARNING)

        from . import criterions, models, optim, scoring, tasks  # noqa: F401  (importing registers)
        from .training import seams
    except Exception as error:
        raise ImportError(
            f"speecht5_fairseq does not import: {error}. What to mend: python {__path__[0]}/doctor.py"
        ) from error
    # torch loads checkpoints with weights_only; fairseq's hold their options in this class and nothing else that runs.
    torch.serialization.add_safe_globals([argparse.Namespace])
    seams.install()

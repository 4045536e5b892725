"""What fairseq-train starts from, known before its trainer exists."""

from pathlib import Path

LAST = "checkpoint_last.pt"  # fairseq's default of --restore-file, which it looks for in --save-dir


def starting_checkpoint(*, save_dir: str, restore_file: str, finetune_from_model: str | None) -> Path | None:
    """The checkpoint that fairseq-train will load, by fairseq's rule; None where there is no such file.

    A run that was stopped goes on from its last checkpoint, whatever ``--finetune-from-model`` says.
    """
    candidates = [restore_file] if restore_file != LAST else [Path(save_dir) / LAST, finetune_from_model]
    files = (Path(candidate) for candidate in candidates if candidate)
    return next((file for file in files if file.is_file()), None)

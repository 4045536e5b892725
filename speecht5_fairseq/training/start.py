"""What can be known of a run of fairseq's commands before its trainer or its model exists."""

import logging
import math
from importlib.util import find_spec
from pathlib import Path

from fairseq.utils import split_paths

from ..models.adapters import report
from ..models.checkpoint import Start
from ..models.checksum import check_whole
from ..models.freezing import OPTIONS as FREEZING_OPTIONS
from ..models.new_nets import check_base
from ..models.partial import whole_state
from ..models.speecht5 import SpeechT5Model
from .checkpoint_folder import LAST, mend_folder
from .processes import first_process_first

logger = logging.getLogger(__name__)

TORCH_DDP = ("c10d", "pytorch_ddp")  # fairseq's names of torch's own DistributedDataParallel; the second is its default
SHARDED = ("fully_sharded", "slowmo")  # fairscale's, which need its wrappers around the model


def whole_start(*, save_dir: str, restore_file: str, finetune_from_model: str | None) -> Path | None:
    """As ``starting_checkpoint``, after the run's own folder was mended; a checkpoint that is named must be whole.

    Raises:
        CheckpointError: the file of ``--restore-file`` or ``--finetune-from-model`` is broken.
        OSError: the run's folder cannot be changed.
    """

    def find(first: bool) -> Path | None:
        if first and restore_file == LAST:
            mend_folder(save_dir)
        found = starting_checkpoint(
            save_dir=save_dir, restore_file=restore_file, finetune_from_model=finetune_from_model
        )
        mended = restore_file == LAST and found == Path(save_dir) / LAST
        if first and found is not None and not mended:
            check_whole(found)
        return found

    return first_process_first(find)


def starting_checkpoint(*, save_dir: str, restore_file: str, finetune_from_model: str | None) -> Path | None:
    """The checkpoint that fairseq-train will load, by fairseq's rule; None where there is no such file.

    A run that was stopped goes on from its last checkpoint, whatever ``--finetune-from-model`` says.
    """
    candidates = [restore_file] if restore_file != LAST else [Path(save_dir) / LAST, finetune_from_model]
    files = (Path(candidate) for candidate in candidates if candidate)
    return next((file for file in files if file.is_file()), None)


def is_fine_tuning(checkpoint: Path | None, *, save_dir: str, finetune_from_model: str | None) -> bool:
    """Whether what ``starting_checkpoint`` found is that of ``--finetune-from-model``, not one of the run itself."""
    return None not in (checkpoint, finetune_from_model) and checkpoint != Path(save_dir) / LAST


def check_asked(start: Start, given: str | None, model: SpeechT5Model, *, starting: bool) -> None:
    """Check that there is something to ask, and that a base gives all that is not asked to be new.

    Args:
        start: what is asked of the checkpoint ``given`` as ``--finetune-from-model``.
        starting: a checkpoint gives the values of the model, its additions to a base too.

    Raises:
        ValueError: nothing to ask it of, or two requests of which one has no effect.
        CheckpointError: see ``check_base``.
    """
    if given is None and (start.nets or start.new_vocabulary):
        raise ValueError(
            "--finetune-nets and --new-vocabulary say how to take a checkpoint of --finetune-from-model: give it, or "
            "drop them"
        )
    if start.new_nets and given is None and model.base is None:
        raise ValueError(
            f"--new-nets {start.new_nets}: without --finetune-from-model or --base-checkpoint all nets are new; drop it"
        )
    if start.new_nets and start.nets:
        raise ValueError(
            f"--new-nets {start.new_nets}: --finetune-nets {start.nets} takes these parts and nothing else; drop one"
        )
    if model.base is not None and not starting:
        name = f"the base checkpoint {model.base.path}"
        check_base(whole_state(model).keys(), model.base.lacking, start.new_nets, name)


def checkpoint_folders(path: str | None) -> list[Path]:
    """Folders of the checkpoints that fairseq-generate's ``--path`` names."""
    return [Path(file).parent for file in split_paths(path)] if path else []


def check_sharding(backend: str, zero_sharding: str, *, processes: int) -> None:
    """See to it that fairseq's options which shard a training do so, before any data is read.

    Raises:
        ValueError: a backend that this code does not train with, or optimizer states that cannot be sharded.
    """
    if backend in SHARDED:
        raise ValueError(
            f"--ddp-backend {backend}: fairscale's wrapper runs on GPUs alone, and this model has not been trained in "
            "it; add --ddp-backend legacy_ddp, with --zero-sharding os to shard the optimizer's states"
        )
    if zero_sharding != "os":
        return
    if processes < 2:
        raise ValueError(
            "--zero-sharding os shards the optimizer's states over processes, and there is one: drop it (a checkpoint "
            "of several goes on with one)"
        )
    if find_spec("fairscale") is None:
        raise ValueError(
            "--zero-sharding os needs fairscale, which is not installed: pip install --no-build-isolation fairscale, "
            "or drop it: each process then holds all of the optimizer's states"
        )


def check_backend(model: SpeechT5Model, backend: str, *, find_unused: bool, cpu: bool, processes: int) -> None:
    """See to it that several processes can train the model together.

    torch's own data parallel waits for a gradient of every parameter, unless ``--find-unused-parameters`` tells it to
    look; fairseq's legacy_ddp (or no_c10d) sums whatever gradients there are.

    Raises:
        ValueError: ``backend`` would end the second update.
    """
    if processes < 2 or backend not in TORCH_DDP:
        return
    if cpu:
        raise ValueError(f"--ddp-backend {backend} is for GPUs; with --cpu add --ddp-backend legacy_ddp")
    reasons = without_gradient(model)
    if reasons and not find_unused:
        raise ValueError(
            f"--ddp-backend {backend} with {processes} processes needs a gradient for every parameter in every update, "
            f"but {', '.join(reasons)} leave some without: add --ddp-backend legacy_ddp, or --find-unused-parameters"
        )


def without_gradient(model: SpeechT5Model) -> list[str]:
    """What leaves parameters of the model without a gradient in some of its updates."""
    speech, text = model.speech_encoder_prenet, model.text_encoder_prenet
    decoder_layerdrop = model.decoder.layerdrop if model.decoder is not None else 0.0
    causes = {
        "the different nets of speech and text": speech is not None and text is not None,
        f"frozen updates ({FREEZING_OPTIONS})": model.freezing.used,
        f"--encoder-layerdrop {model.encoder.layerdrop}": model.encoder.layerdrop > 0,
        f"--decoder-layerdrop {decoder_layerdrop}": decoder_layerdrop > 0,
        "--mask-prob 0 (the mask's vector)": speech is not None
        and speech.mask_prob == 0
        and speech.mask_embedding.requires_grad,
    }
    return [cause for cause, present in causes.items() if present]


def log_learning(model: SpeechT5Model) -> None:
    """Log what is frozen, and at which rates the rest learns.

    Raises:
        ValueError: see ``report``.
    """
    report(model)
    for line in (*model.freezing.lines, *model.rates.lines):
        logger.info(line)
    for option in model.freezing.without_effect:
        logger.warning("no effect: %s; nothing there ever learns", option)
    _log_masks(model)


def _log_masks(model: SpeechT5Model) -> None:
    """Log what share of its source a model is not shown; a job that is learnt from all of it does not expect that."""
    source = model.speech_encoder_prenet
    if source is None or not source.mask_prob > 0:
        return
    share = f"about {100 * (1 - math.exp(-source.mask_prob)):.0f}% of the source's frames are masked in training"
    if model.unit_head is None and model.text_decoder_prenet is None:
        logger.warning("%s (--mask-prob %g): the recipes of this job give --mask-prob 0", share, source.mask_prob)
    else:
        logger.info("%s (--mask-prob %g)", share, source.mask_prob)

"""Checkpoints that hold a model without its frozen base: what names the base, and how to complete them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torch import Tensor, nn

from .errors import CheckpointError
from .parts import net_of, nets_of
from .vocabulary import decode, encode

DIGEST = "base.digest"  # name of the buffer in a checkpoint
ADDED_TO = {"encoder", "decoder"}  # nets that low-rank updates and bottlenecks go into
SHOWN = 12  # digits of a digest in messages


class BaseReference(nn.Module):
    """Which base a model stands on; its one buffer, the digest as code points, is what a checkpoint keeps of it.

    Attributes:
        path: of the base.
        frozen: names of the parameters that are the base's, left out of checkpoints.
        new: nets with parameters that the base lacks.
        lacking: names of the tensors that the base has no values for, and that no option makes new.
        left: nets of the base that the model lacks.
    """

    def __init__(
        self,
        digest: str,
        *,
        path: Path,
        frozen: frozenset[str],
        new: Collection[str],
        lacking: Collection[str],
        left: Collection[str],
    ) -> None:
        super().__init__()
        self.register_buffer("digest", encode([digest]))
        self.path = path
        self.frozen = frozen
        self.new = tuple(sorted(new))
        self.lacking = tuple(sorted(lacking))
        self.left = tuple(sorted(left))

    @property
    def nets(self) -> list[str]:
        """Nets with parameters that are the base's."""
        return sorted(nets_of(self.frozen))

    def __str__(self) -> str:
        return f"{self.path} (digest {decode(self.digest)[0][:SHOWN]})"


def whole_state(model: nn.Module) -> dict[str, Tensor]:
    """Every tensor of ``model``, those of a frozen base too, which its own ``state_dict`` leaves out."""
    return nn.Module.state_dict(model)


def completed(
    base: BaseReference | None, checkpoint: dict[str, Tensor], own: dict[str, Tensor], name: str
) -> dict[str, Tensor]:
    """A whole checkpoint: ``checkpoint`` and the frozen tensors, out of ``own``, of the ``base`` it was trained on.

    Args:
        base: of the model that loads, or None.
        checkpoint: whole where the model has no base, without the frozen tensors where it has one.
        own: every tensor of the model.
        name: says which checkpoint, in errors.

    Raises:
        CheckpointError: whole and should be partial, partial and should be whole, another base, or holding tensors that
            are frozen here.
    """
    if base is None and DIGEST not in checkpoint:
        return checkpoint
    if base is None:
        raise CheckpointError(
            f"{name} holds additions to a frozen base, not a whole model: give its --base-checkpoint and its --lora-* "
            "and --adapter-* options, or make it whole with `python -m speecht5_fairseq.convert.merge`"
        )
    if DIGEST not in checkpoint:
        raise CheckpointError(
            f"{name} is a whole model, not additions to the base {base}: give it as --base-checkpoint instead, or "
            "leave --base-checkpoint out"
        )
    if checkpoint[DIGEST].tolist() != base.digest.tolist():
        theirs = decode(checkpoint[DIGEST])[0][:SHOWN]
        raise CheckpointError(
            f"{name} was trained on a base with the digest {theirs}, not on {base}: name that base, in fairseq-train "
            "with --base-checkpoint, elsewhere with --model-overrides \"{'base_checkpoint': 'PATH'}\""
        )
    frozen_here = sorted(nets_of(key for key in checkpoint if key in base.frozen))
    if frozen_here:
        raise CheckpointError(f"{name} was trained with --train-nets {','.join(frozen_here)}: give the same here")
    nets = nets_of(base.frozen) - nets_of(checkpoint)  # of another job: statistics lack too
    nets -= ADDED_TO  # which have no statistics, but additions, and these are never the base's
    return {**{key: value for key, value in own.items() if key in base.frozen or net_of(key) in nets}, **checkpoint}

"""Nets that a training starts from initial values: those that no pre-training has, and those that are asked for."""

from __future__ import annotations

from collections.abc import Collection

from .errors import CheckpointError
from .partial import DIGEST
from .parts import net_of, nets_of, words

OPTION = "--new-nets"
UNTRAINED = frozenset({"ctc_head", "speaker_head"})  # which no pre-training has: new without being asked for
NO_NETS = frozenset({"vocabulary", "classes"})  # names that travel with the nets
_BESIDE = NO_NETS | {net_of(DIGEST)}


def asked_nets(text: str, own: Collection[str], tied: Collection[str] = ()) -> set[str]:
    """The nets that ``--new-nets`` names.

    Args:
        own: names of the model's tensors.
        tied: those among them that are one embedding.

    Raises:
        CheckpointError: the model has no such net, or some of those that share the embedding are named and not others.
    """
    asked, nets = set(words(text)), nets_of(own) - _BESIDE
    unknown = sorted(asked - nets)
    if unknown:
        raise CheckpointError(
            f"{OPTION} {text}: this job builds no {', '.join(unknown)}; its nets are {', '.join(sorted(nets))}"
        )
    sharing = nets_of(name for name in tied if name in own)
    if asked & sharing and not sharing <= asked:
        raise CheckpointError(
            f"{OPTION} {text}: {' and '.join(sorted(sharing))} share one embedding; name all of them or none"
        )
    return asked


def check_needed(own: Collection[str], lacking: Collection[str], asked: Collection[str], name: str) -> None:
    """Check that no net would start from initial values unless it is asked for.

    Args:
        own: names of the model's tensors; ``lacking`` are those that the checkpoint has no values for.
        asked: nets of ``--new-nets``.
        name: says which checkpoint.

    Raises:
        CheckpointError: names the nets and the option.
    """
    new = sorted(nets_of(lacking) - _BESIDE - UNTRAINED - set(asked))
    if not new:
        return
    known = nets_of(set(own) - set(lacking))
    lacks = ", ".join(f"a part of {net}" if net in known else net for net in new)
    named = ",".join(sorted({*new, *asked}))
    raise CheckpointError(
        f"{name} lacks {lacks}, which this job needs and would start from initial values. If that is meant, give "
        f"{OPTION} {named}; else give a checkpoint that has it all (a pre-training with --text-data has every net of "
        "speech and of text)"
    )


def check_base(own: Collection[str], lacking: Collection[str], text: str, name: str) -> None:
    """The same for a model over a ``--base-checkpoint``.

    Args:
        own: names of the model's tensors; ``lacking`` are those that the base has no values for.
        text: of ``--new-nets``.
        name: says which base.

    Raises:
        CheckpointError: see ``check_needed``; or a net that is asked for is the base's.
    """
    asked = asked_nets(text, own)
    held = ",".join(sorted(asked - nets_of(lacking)))
    if held:
        raise CheckpointError(f"{OPTION} {text}: {name} has {held}; to train it from there give --train-nets {held}")
    check_needed(own, lacking, asked, name)

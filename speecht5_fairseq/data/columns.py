"""Which columns the manifest of each job has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Columns:
    """The columns of a job's manifest.

    Attributes:
        names: in file order.
        required: how many must be there; the rest may be absent, but then from every row.
        open_ended: more columns than `names` may follow; they are not read.
        audio: (path column, samples column) of each audio file of a row.
    """

    names: tuple[str, ...]
    required: int
    audio: tuple[tuple[str, str], ...] = (("path", "samples"),)
    open_ended: bool = False


JOB_COLUMNS = {
    "pretrain": Columns(("path", "samples", "speaker"), required=2),
    "s2t": Columns(("path", "samples"), required=2, open_ended=True),
    "t2s": Columns(("path", "samples", "speaker"), required=3),
    "s2s": Columns(
        ("path", "samples", "target_path", "target_samples", "speaker"),
        required=5,
        audio=(("path", "samples"), ("target_path", "target_samples")),
    ),
    "s2c": Columns(("path", "samples", "label"), required=2),  # without classes there is nothing to train on
}

"""`units.json`, which `manifest_tools.units` leaves beside the labels: which model made which labels of which rows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .errors import DataError
from .manifest import Manifest

RECORD = "units.json"
_REMAKE = "make the units again with `python -m manifest_tools.units`"


class SplitUnits(NamedTuple):
    """What made SPLIT.km.

    Attributes:
        model: hash of the k-means model.
        rows: hash of the manifest's rows, see `rows_hash`.
        labels: hash of the file; empty in records of before 0.6.0.
    """

    model: str
    rows: str
    labels: str


class UnitRecord(NamedTuple):
    """What `units.json` says.

    Attributes:
        file: where it was read.
        model: hash of the k-means model.
        features: what it was fitted on, in words: the extractor, its layer and the hash of its checkpoint.
        clusters: K; None where it is not told.
        rate: units a second.
        splits: the labels that are finished, by the split's name.
    """

    file: Path
    model: str
    features: str
    clusters: int | None
    rate: int
    splits: dict[str, SplitUnits]

    @property
    def source(self) -> dict[str, str]:
        """What a checkpoint keeps of it: texts alone."""
        return {"model": self.model, "features": self.features}


def read_record(folder: str | Path) -> UnitRecord | None:
    """The record in the folder of the labels; None where there is none, as of labels that were made elsewhere.

    Raises:
        DataError: the file is no such record.
    """
    file = Path(folder) / RECORD
    try:
        return _parsed(file, json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{file}: no record of units ({reason}); {_REMAKE}, or delete it") from error


def _parsed(file: Path, found: Mapping[str, Any]) -> UnitRecord:
    settings, model = found["settings"], str(found["model"])
    splits = {
        name: SplitUnits(str(told.get("model", model)), str(told["rows"]), str(told.get("labels", "")))
        for name, told in found["splits"].items()
    }
    clusters = found.get("clusters", settings.get("clusters"))
    return UnitRecord(
        file=file,
        model=model,
        features=described(settings),
        clusters=None if clusters is None else int(clusters),
        rate=int(settings["rate"]),
        splits=splits,
    )


def described(settings: Mapping[str, Any]) -> str:
    """The features of a record's settings in words.

    "mfcc", "fairseq-hubert, layer 6, checkpoint HASH", or for a user's function "module:function, source HASH".
    """
    parts = [f"{name} {settings[name]}" for name in ("layer", "checkpoint", "source") if name in settings]
    return ", ".join([str(settings["features"]), *parts])


def check_record(record: UnitRecord, *, units: int, rate: int, dictionary: str | Path) -> None:
    """Check that a run reads the labels as the record tells of them.

    Args:
        units: how many the file `dictionary` holds.
        rate: units a second, `--unit-rate`.

    Raises:
        DataError: another number of units, or another rate.
    """
    if record.clusters is not None and units != record.clusters:
        raise DataError(
            f"{dictionary}: {units} units, and {record.file} tells of {record.clusters}; take the dict.km.txt of these "
            f"labels, or {_REMAKE}"
        )
    if rate != record.rate:
        raise DataError(
            f"--unit-rate is {rate}, and {record.file} tells of {record.rate} units a second; give --unit-rate "
            f"{record.rate}, or {_REMAKE}"
        )


def check_model(record: UnitRecord, split: str) -> None:
    """Check that a split was labelled with the record's model, as all others.

    Raises:
        DataError: another model's labels, or labels that the record does not know, as a new model leaves those of the
            one before: the same numbers mean other sounds.
    """
    told = record.splits.get(split)
    if told is None:
        raise DataError(
            f"{record.file} says nothing of {split}.km, which may be of an earlier model; {_REMAKE}, or delete "
            f"{RECORD} if it is meant"
        )
    if told.model != record.model:
        raise DataError(
            f"{record.file}: {split}.km is of the k-means model {told.model}, the other labels are of {record.model}: "
            f"their numbers mean other sounds; {_REMAKE}, all splits with one model"
        )


def record_problems(record: UnitRecord, manifest: Manifest, labels: Path) -> list[str]:
    """What is wrong where SPLIT.km is not the labels of these rows that the record speaks of; reads all of both.

    The record knows the split, see `check_model`.
    """
    told, problems = record.splits[labels.stem], []
    if told.rows != rows_hash([manifest]):
        problems.append(f"{labels}: made for other rows than those of {manifest.file} (see {record.file}); {_REMAKE}")
    if told.labels and told.labels != file_hash(labels):
        problems.append(
            f"{labels}: not the labels that {record.file} tells of; {_REMAKE}, or delete {RECORD} if they are meant"
        )
    return problems


def rows_hash(manifests: Sequence[Manifest]) -> str:
    """16 hex digits that change when rows do, but not when columns are added or the data moves."""
    digest = hashlib.sha256()
    for manifest in manifests:
        for index in range(len(manifest)):
            row = manifest.row(index)
            digest.update(f"{row['path']}\t{row['samples']}\n".encode())
    return digest.hexdigest()[:16]


def file_hash(path: str | os.PathLike[str]) -> str:
    """First 16 hex digits of a file's SHA-256: enough to tell whether it changed."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]

"""The folder of the units: the record `units.json`, and labels that are whole, or shares that wait for the others."""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.unit_record import RECORD, rows_hash

from .files import file_hash, read_lines, write_lines, write_text

logger = logging.getLogger(__name__)

LOCK = ".units.lock"


class Share(NamedTuple):
    """The rows that one of several commands labels: the `number`-th of `of` parts, counted from 1."""

    number: int
    of: int

    @classmethod
    def parsed(cls, text: str) -> Share:
        """Of "3/8". Raises ValueError with the mend."""
        number, slash, of = text.partition("/")
        digits = slash and number.isascii() and number.isdigit() and of.isascii() and of.isdigit()
        if not digits or not 1 <= int(number) <= int(of):
            raise ValueError(f"--shard {text}: give I/N, I from 1 to N: 1/8 to 8/8 for eight commands")
        return cls(int(number), int(of))

    def rows(self, total: int) -> range:
        """Its rows of `total`: shares follow each other, so that their labels in turn are those of the split."""
        return range(total * (self.number - 1) // self.of, total * self.number // self.of)

    def name(self, split: str) -> str:
        """What its files are called."""
        return f"{split}.{self.number}-of-{self.of}"


class Labelled(NamedTuple):
    """What is known of finished labels.

    Attributes:
        model: hash of kmeans.joblib.
        rows: hash of all rows of the split, of a share too.
        cluster_sizes: frames in each cluster, int64 (K,).
    """

    model: str
    rows: str
    cluster_sizes: np.ndarray


def read_json(file: Path) -> dict[str, Any]:
    """The record of a file, empty where there is none. Raises ValueError with the mend for one of another shape."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise _no_record(file, str(error)) from error
    if not _is_record(found):
        raise _no_record(file, "other entries than this tool writes")
    return found


def _no_record(file: Path, reason: str) -> ValueError:
    return ValueError(f"{file}: no record of units ({reason}); delete it, and the units are made again")


def _is_record(found: Any) -> bool:
    """Whether these are the entries of a units.json, or of a share's record."""
    if not isinstance(found, dict):
        return False
    if "splits" not in found:
        return _is_labelled(found)
    whole = isinstance(found.get("model"), str) and isinstance(found.get("settings"), dict)
    return whole and isinstance(found["splits"], dict) and all(map(_is_labelled, found["splits"].values()))


def _is_labelled(found: Any) -> bool:
    return isinstance(found, dict) and {"rows", "cluster_sizes"} <= found.keys()


def save_record(out: Path, record: Mapping[str, Any]) -> None:
    """Write units.json: the settings, the model's hash, and the splits that are finished."""
    write_text(out / RECORD, json.dumps(record, indent=1) + "\n")


def finished(out: Path, split: str, model: str, rows: str) -> np.ndarray | None:
    """Cluster sizes of SPLIT.km where it is labelled so, and as it was written; else None."""
    return _sizes(read_json(out / RECORD).get("splits", {}).get(split), out / f"{split}.km", model, rows)


def finished_share(out: Path, split: str, share: Share, model: str, rows: str) -> np.ndarray | None:
    """As `finished`, of a share."""
    name = share.name(split)
    return _sizes(read_json(out / f"{name}.json"), out / f"{name}.km", model, rows)


def _sizes(told: Mapping[str, Any] | None, labels: Path, model: str, rows: str) -> np.ndarray | None:
    if not told or not labels.is_file() or (told.get("model", model), told["rows"]) != (model, rows):
        return None
    if "labels" in told and told["labels"] != file_hash(labels):
        logger.info("%s is not as it was written: made again", labels)
        return None
    return np.array(told["cluster_sizes"], dtype=np.int64)


def finish(out: Path, split: str, labelled: Labelled) -> None:
    """Note in units.json that SPLIT.km is written."""
    with locked(out):
        _note(out, split, labelled)


def finish_share(out: Path, split: str, share: Share, labelled: Labelled) -> None:
    """Note beside a share's labels that they are written."""
    name = share.name(split)
    write_text(out / f"{name}.json", json.dumps(_told(labelled, out / f"{name}.km"), indent=1) + "\n")


def join_shares(out: Path, split: str, of: int, model: str, rows: str) -> np.ndarray | None:
    """Make SPLIT.km of its shares where all `of` them are there, and delete these.

    Whichever command finishes last does it; two at once wait for each other. Returns the cluster sizes of the split,
    None where shares are missing.
    """
    with locked(out):
        done = finished(out, split, model, rows)
        if done is not None:
            return done
        shares = [Share(number, of) for number in range(1, of + 1)]
        sizes = [finished_share(out, split, share, model, rows) for share in shares]
        missing = [share.number for share, found in zip(shares, sizes, strict=True) if found is None]
        if missing:
            logger.info("%s: waits for %d of %d shards (%s ...)", split, len(missing), of, missing[:8])
            return None
        labels = [out / f"{share.name(split)}.km" for share in shares]
        write_lines(out / f"{split}.km", (line for path in labels for line in read_lines(path)))
        total = np.sum(sizes, axis=0)
        _note(out, split, Labelled(model, rows, total))
        for path in labels:
            path.with_suffix(".json").unlink()
            path.unlink()
    logger.info("%s: joined of %d shards", out / f"{split}.km", of)
    return total


def _note(out: Path, split: str, labelled: Labelled) -> None:
    record = read_json(out / RECORD)
    if record.get("model") != labelled.model:
        raise ValueError(
            f"{out / RECORD}: another command has put another model there while {split} was labelled; run one after "
            "the other, or each in an --out of its own"
        )
    record["splits"][split] = _told(labelled, out / f"{split}.km")
    save_record(out, record)


def _told(labelled: Labelled, labels: Path) -> dict[str, Any]:
    sizes = labelled.cluster_sizes.tolist()
    return {"model": labelled.model, "rows": labelled.rows, "labels": file_hash(labels), "cluster_sizes": sizes}


def inherit(sources: Sequence[Path], labels: Path) -> None:
    """Note of labels that are lines of others what is known of those, beside the manifest of their rows.

    sources, labels: SPLIT.km files. Where those are not all known to be of one model, nothing is known of `labels`;
    a record that knows no other labels goes. Where there is none of them, `labels` were made here, and what is known of
    them stays.
    """
    if not labels.is_file() or not any(source.is_file() for source in sources):
        return
    models = {model_of(source) for source in sources}
    model = models.pop() if len(models) == 1 else None
    known = read_json(labels.with_name(RECORD))
    if model is None:
        _forget(labels, known)
        return
    if known.get("model") != model:
        known = {**read_json(sources[0].with_name(RECORD)), "splits": {}}
    manifest = Manifest.open(labels.with_suffix(".tsv"), JOB_COLUMNS["s2t"])  # the first two columns of any job
    sizes = _counted(labels, int(known["clusters"]))
    known["splits"][labels.stem] = _told(Labelled(model, rows_hash([manifest]), sizes), labels)
    save_record(labels.parent, known)


def _forget(labels: Path, known: dict[str, Any]) -> None:
    """Take SPLIT.km out of the record of its folder, `known`; a warning where other labels stay known."""
    if not known:
        return
    file = labels.with_name(RECORD)
    known["splits"].pop(labels.stem, None)
    if known["splits"]:
        others = ", ".join(f"{split}.km" for split in known["splits"])
        logger.warning("%s knows the model of %s and not that of %s: training will not take it", file, others, labels)
        save_record(labels.parent, known)
    else:
        logger.info("%s goes: it tells nothing of %s, which is of other labels", file, labels)
        file.unlink()


def _counted(labels: Path, clusters: int) -> np.ndarray:
    """Frames in each cluster, int64 (K,). Raises ValueError for a unit that is none of them."""
    sizes = np.zeros(clusters, dtype=np.int64)
    for number, line in enumerate(read_lines(labels), start=1):
        counts = np.bincount(np.array(line.split(), dtype=np.int64), minlength=clusters)
        if len(counts) > clusters:
            raise ValueError(f"{labels}:{number}: unit {len(counts) - 1} of {clusters} clusters; make the units again")
        sizes += counts
    return sizes


def model_of(labels: Path) -> str | None:
    """The hash of the model of SPLIT.km; None where units.json does not tell it, or not as this version does."""
    record = read_json(labels.with_name(RECORD))
    told = record.get("splits", {}).get(labels.stem)
    return None if told is None or "clusters" not in record else told.get("model")


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Commands that write to one folder do so one after the other, those of other machines that share it too.

    Raises OSError with the mend where the file system has no locks.
    """
    with open(out / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            problem = f"{out / LOCK}: this file system locks no files ({error.strerror}); put --out on another"
            raise OSError(problem) from error
        yield

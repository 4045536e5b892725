"""The clusters behind speech units: features of rows, the k-means model, and the record of what it was made from."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.cluster import MiniBatchKMeans

from speecht5_fairseq.constants import ENCODER_FRAME_RATE, ENCODER_WINDOW, SAMPLE_RATE
from speecht5_fairseq.data.atomic import replacing
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.plugin import load_function
from speecht5_fairseq.data.pretrain_speech import encoder_frames

from .features import mfcc
from .files import file_hash, hash_fraction, write_lines, write_text
from .parallel import parallel_map

logger = logging.getLogger(__name__)

FIT_SALT = "units-1"
# MiniBatchKMeans as in HuBERT's recipe: large batches, empty clusters not refilled
BATCH_FRAMES = 10_000
MAX_PASSES = 100
INITIALISATIONS = 5


class Utterance(NamedTuple):
    """What a worker process needs of one row."""

    path: Path
    samples: int
    place: str  # manifest and line, for messages


class Fitting(NamedTuple):
    """How the clusters are found.

    splits: whose rows are looked at. hours: of audio at most (39 numbers of 4 bytes a frame: 28 MB an hour).
    """

    splits: tuple[str, ...] = ("train",)
    clusters: int = 500
    seed: int = 1
    hours: float = 50.0


def open_rows(path: Path, *, outside: bool = False) -> Manifest:
    """A manifest whose rows all make a unit. Raises ManifestError for a bad row, and for one too short."""
    manifest = Manifest.open(path, JOB_COLUMNS["s2t"], outside=outside)
    short = np.flatnonzero(manifest.samples < ENCODER_WINDOW)
    if len(short):
        samples = manifest.samples[short[0]]
        raise manifest.error(int(short[0]), f"{samples} samples make no unit", "delete the row")
    return manifest


def rows_hash(manifests: Sequence[Manifest]) -> str:
    """16 hex digits that change when rows do, but not when columns are added or the data moves."""
    digest = hashlib.sha256()
    for manifest in manifests:
        for index in range(len(manifest)):
            row = manifest.row(index)
            digest.update(f"{row['path']}\t{row['samples']}\n".encode())
    return digest.hexdigest()[:16]


def utterances_of(manifest: Manifest, indices: Iterable[int]) -> Iterator[Utterance]:
    """Rows `indices` of a manifest: each with its audio, samples at 16 kHz and place for messages."""
    for index in indices:
        place = f"{manifest.file}:{manifest.line_number(index)}"
        yield Utterance(manifest.path(index), int(manifest.samples[index]), place)


def features_of(utterance: Utterance, extractor: str) -> np.ndarray:
    """(T, D) features of one row, checked to have the encoder's frame count. extractor: "mfcc" or module:function."""
    function: Callable[[np.ndarray], Any] = mfcc if extractor == "mfcc" else load_function(extractor, "--extractor")
    wave = read_audio(utterance.path)
    if len(wave) != utterance.samples:
        raise ValueError(
            f"{utterance.place}: {utterance.path} has {len(wave)} samples, the manifest says {utterance.samples}; "
            "make the manifest again"
        )
    features = np.asarray(function(wave), dtype=np.float32)
    if features.ndim != 2 or len(features) != encoder_frames(len(wave)):
        raise ValueError(
            f"{utterance.place}: extractor {extractor} gave shape {features.shape} for {len(wave)} samples; it must be "
            f"({encoder_frames(len(wave))}, D), {ENCODER_FRAME_RATE} frames a second"
        )
    return features


def nearest(features: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(T, D), (K, D) -> (T,) index of the centroid nearest to each frame, the first of equals."""
    distance = (centroids**2).sum(axis=1) - 2.0 * (features @ centroids.T)  # less |x|^2, the same for every centroid
    return distance.argmin(axis=1)


def _choose(manifests: Sequence[Manifest], hours: float) -> list[np.ndarray]:
    """Rows of each manifest, about `hours` of audio in all, chosen by the hash of their paths."""
    samples = np.concatenate([manifest.samples for manifest in manifests])
    keys = [
        hash_fraction(str(manifest.row(i)["path"]), FIT_SALT) for manifest in manifests for i in range(len(manifest))
    ]
    order = np.argsort(keys, kind="stable")
    before = np.cumsum(samples[order]) - samples[order]
    chosen = np.zeros(len(samples), dtype=bool)
    chosen[order[before < hours * 3600 * SAMPLE_RATE]] = True
    if not chosen.all():
        logger.info("fitting on %d of %d utterances (--fit-hours %g)", chosen.sum(), len(chosen), hours)
    ends = np.cumsum([len(manifest) for manifest in manifests])
    return [np.flatnonzero(part) for part in np.split(chosen, ends[:-1])]


def fit_kmeans(features: np.ndarray, clusters: int, seed: int) -> MiniBatchKMeans:
    """Cluster (frames, D) features. Raises ValueError when there are fewer frames than clusters."""
    if len(features) < clusters:
        raise ValueError(f"{len(features)} frames cannot make {clusters} clusters; give more audio or fewer --clusters")
    model = MiniBatchKMeans(
        clusters,
        init="k-means++",
        n_init=INITIALISATIONS,
        max_iter=MAX_PASSES,
        batch_size=BATCH_FRAMES,
        tol=0.0,
        max_no_improvement=100,
        reassignment_ratio=0.0,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # remarks on thread counts under some BLAS
        return model.fit(features)


def obtain_model(
    out: Path, data: Path, fitting: Fitting, extractor: str, n_jobs: int, *, outside: bool = False
) -> MiniBatchKMeans:
    """The model in `out` when it was made with the same settings, else a new one (and then no split counts as done)."""
    manifests = [open_rows(data / f"{split}.tsv", outside=outside) for split in fitting.splits]
    settings = {"features": extractor, "rate": ENCODER_FRAME_RATE, "clusters": fitting.clusters, "seed": fitting.seed}
    settings |= {"hours": fitting.hours, "fitted_on": rows_hash(manifests)}
    record, model_path = out / "units.json", out / "kmeans.joblib"
    if record.is_file() and model_path.is_file():
        known = read_record(out)
        if known["settings"] == settings and known["model"] == file_hash(model_path):
            logger.info("using %s as it is", model_path)
            return joblib.load(model_path)
        logger.info("other settings or data than those of %s: fitting again", model_path)
    record.unlink(missing_ok=True)
    chosen = _choose(manifests, fitting.hours)
    chosen_rows = chain.from_iterable(map(utterances_of, manifests, chosen))
    compute, total = partial(features_of, extractor=extractor), sum(map(len, chosen))
    features = list(parallel_map(compute, chosen_rows, total=total, n_jobs=n_jobs, description="features"))
    model = fit_kmeans(np.concatenate(features), fitting.clusters, fitting.seed)
    save_model(out, model, settings)
    return model


def given_model(out: Path, path: Path, extractor: str) -> MiniBatchKMeans:
    """The model of a file, copied to `out` unless it is there."""
    model = joblib.load(path)
    settings = {"features": extractor, "rate": ENCODER_FRAME_RATE, "model": file_hash(path)}
    record = out / "units.json"
    if not record.is_file() or read_record(out)["settings"] != settings:
        save_model(out, model, settings)
    return model


def save_model(out: Path, model: MiniBatchKMeans, settings: dict[str, Any]) -> None:
    """Write kmeans.joblib, dict.km.txt and a units.json without finished splits."""
    model.labels_ = None  # a class for every frame fitted on: large, and no use here
    with replacing(out / "kmeans.joblib") as temporary:
        joblib.dump(model, temporary)
    write_lines(out / "dict.km.txt", (f"{unit} 1" for unit in range(len(model.cluster_centers_))))
    save_record(out, {"settings": settings, "model": file_hash(out / "kmeans.joblib"), "splits": {}})


def read_record(out: Path) -> dict[str, Any]:
    """What `save_record` wrote. Raises ValueError for a file that it did not write."""
    path = out / "units.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        fitting = {"settings": dict, "model": str, "splits": dict}
        whole = all(isinstance(record[name], kind) for name, kind in fitting.items())
        whole = whole and all({"rows", "cluster_sizes"} <= set(split) for split in record["splits"].values())
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise ValueError(f"{path}: not as this tool wrote it; delete it, and the units are made again")
    return record


def save_record(out: Path, record: dict[str, Any]) -> None:
    """Write units.json: the settings, the model's hash, and the splits that are finished."""
    write_text(out / "units.json", json.dumps(record, indent=1) + "\n")

"""The clusters behind speech units: features of rows, the k-means model, and the record of what it was made from."""

from __future__ import annotations

import logging
import shutil
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
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
from speecht5_fairseq.data.pretrain_speech import encoder_frames
from speecht5_fairseq.data.unit_record import RECORD, described, rows_hash

from .extractors import Extractor, checked_features
from .files import file_hash, hash_fraction, write_lines
from .parallel import parallel_map
from .unit_files import read_json, save_record

logger = logging.getLogger(__name__)

MODEL = "kmeans.joblib"
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

    splits: whose rows are looked at. hours: of audio at most. Their features are kept in a file until the clusters are
    found: 28 MB an hour of MFCC (39 numbers of 4 bytes a frame), 553 MB an hour of a model of width 768.
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


def utterances_of(manifest: Manifest, indices: Iterable[int]) -> Iterator[Utterance]:
    """Rows `indices` of a manifest: each with its audio, samples at 16 kHz and place for messages."""
    for index in indices:
        place = f"{manifest.file}:{manifest.line_number(index)}"
        yield Utterance(manifest.path(index), int(manifest.samples[index]), place)


def features_of(utterance: Utterance, extractor: Extractor) -> np.ndarray:
    """(T, D) features of one row, one for each frame of the speech encoder. Raises ValueError that names the row."""
    wave = read_audio(utterance.path)
    if len(wave) != utterance.samples:
        raise ValueError(
            f"{utterance.place}: {utterance.path} has {len(wave)} samples, the manifest says {utterance.samples}; "
            "make the manifest again"
        )
    return checked_features(wave, extractor, utterance.place)


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


@contextmanager
def _gathered(
    manifests: Sequence[Manifest], hours: float, extractor: Extractor, out: Path, n_jobs: int
) -> Iterator[np.ndarray]:
    """(frames, D) features to fit on, in a file of `out` until the block ends: they need not fit into memory.

    The file loses its name as soon as it is mapped, so that nothing of it is left however the process ends.
    """
    chosen = _choose(manifests, hours)
    rows, total = chain.from_iterable(map(utterances_of, manifests, chosen)), sum(map(len, chosen))
    samples = np.concatenate([each.samples[some] for each, some in zip(manifests, chosen, strict=True)])
    frames = sum(map(encoder_frames, samples.tolist()))
    file = out / f".features.{uuid.uuid4().hex}.npy"
    store, place = np.empty((0, 1), np.float32), 0
    compute = partial(features_of, extractor=extractor)
    for part in parallel_map(compute, rows, total=total, n_jobs=n_jobs, description="features"):
        if not place:
            shape = (frames, part.shape[1])
            store = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
            file.unlink()
        store[place : place + len(part)] = part
        place += len(part)
    yield store


def obtain_model(
    out: Path,
    data: Path,
    fitting: Fitting,
    extractor: Extractor,
    n_jobs: int,
    *,
    may_fit: bool = True,
    outside: bool = False,
) -> None:
    """See to it that `out` holds a model of these settings; a new one leaves no split done.

    Until there is one, units.json tells of the labels that are there: a stop, or a mistyped option, costs none of them.
    may_fit: False raises ValueError where it would have to be found, or found again. outside: paths of the manifests
    may lead out of the audio root.
    """
    manifests = [open_rows(data / f"{split}.tsv", outside=outside) for split in fitting.splits]
    settings = extractor.settings
    settings |= {"rate": ENCODER_FRAME_RATE, "clusters": fitting.clusters, "seed": fitting.seed}
    settings |= {"hours": fitting.hours, "fitted_on": rows_hash(manifests)}
    known, file = read_json(out / RECORD), out / MODEL
    if known and file.is_file():
        if known["settings"] == settings and known["model"] == file_hash(file):
            logger.info("using %s as it is", file)
            return
        logger.info("other settings or data than those of %s: %s", file, _difference(known["settings"], settings))
    if not may_fit:
        raise _no_model(out)
    with _gathered(manifests, fitting.hours, extractor, out, n_jobs) as features:
        model = fit_kmeans(features, fitting.clusters, fitting.seed)
    model.labels_ = None  # a class for every frame fitted on: large, and no use here
    with replacing(file) as temporary:
        joblib.dump(model, temporary)
    _save(out, settings, extractor)


def _difference(known: dict[str, Any], wanted: dict[str, Any]) -> str:
    names = [name for name in known | wanted if known.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {known.get(name)} there, {wanted.get(name)} here" for name in names) or "another file"


def _no_model(out: Path) -> ValueError:
    return ValueError(
        f"--shard labels with clusters that are there, and {out} holds none of these settings; run the same command "
        "once with --fit-only in place of --shard"
    )


def given_model(out: Path, path: Path, extractor: Extractor, *, may_copy: bool = True) -> None:
    """Copy the model of a file to `out`, with what the units.json beside it tells, unless it is there.

    Raises ValueError where that tells of other features than the extractor's, and where the model is not there and
    may_copy is False.
    """
    model, settings = file_hash(path), {**extractor.settings, "rate": ENCODER_FRAME_RATE}
    told = read_json(path.with_name(RECORD))
    if told.get("model") == model:
        fitted = {"source": settings.get("source"), **told["settings"]}  # records of 0.6.0 tell no source
        if any(fitted.get(name) != settings.get(name) for name in ("features", "checkpoint", "layer", "source")):
            raise ValueError(
                f"--model {path} was fitted on {described(told['settings'])}, and the extractor is "
                f"{described(settings)}; name the extractor that the model was fitted with"
            )
        settings = told["settings"]
    known = read_json(out / RECORD)
    if known.get("model") == model and (out / MODEL).is_file() and known["settings"] == settings:
        return
    if not may_copy:
        raise _no_model(out)
    if path.resolve() != (out / MODEL).resolve():
        with replacing(out / MODEL) as temporary:
            shutil.copyfile(path, temporary)
    _save(out, settings, extractor)


def _save(out: Path, settings: dict[str, Any], extractor: Extractor) -> None:
    """Write dict.km.txt, and a units.json without finished splits for the model that is there."""
    centroids = joblib.load(out / MODEL).cluster_centers_
    write_lines(out / "dict.km.txt", (f"{unit} 1" for unit in range(len(centroids))))
    record: dict[str, Any] = {"settings": settings}
    if extractor.checkpoint:
        record["checkpoint_file"] = Path(extractor.checkpoint).name
    record |= {"model": file_hash(out / MODEL), "clusters": len(centroids), "dim": centroids.shape[1]}
    save_record(out, record | {"versions": extractor.versions, "splits": {}})

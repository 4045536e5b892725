"""Speech units: a k-means class for every 20 ms frame of the speech encoder, the targets of speech pre-training.

    python -m manifest_tools.units --data data --splits train valid --fit train --clusters 500

One model serves all splits. It is fitted on MFCC (39 numbers a frame, see manifest_tools.features), or on any features
that `--extractor module:function` computes, for a second iteration. Writes SPLIT.km (one line an utterance),
dict.km.txt, kmeans.joblib and units.json.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from speecht5_fairseq.constants import ENCODER_FRAME_RATE
from speecht5_fairseq.data.manifest import Manifest

from .command import add_jobs_option, add_root_option, run, workers
from .files import write_lines
from .parallel import parallel_map
from .summary import table
from .unit_clusters import (
    Fitting,
    Utterance,
    features_of,
    given_model,
    nearest,
    obtain_model,
    open_rows,
    read_record,
    rows_hash,
    save_record,
    utterances_of,
)

logger = logging.getLogger(__name__)


def _label(utterance: Utterance, extractor: str, centroids: np.ndarray) -> np.ndarray:
    features = features_of(utterance, extractor)
    if features.shape[1] != centroids.shape[1]:
        raise ValueError(
            f"--model was fitted on {centroids.shape[1]} numbers a frame, --extractor {extractor} gives "
            f"{features.shape[1]}; name the extractor that the model was fitted with"
        )
    return nearest(features, centroids)


def _label_split(manifest: Manifest, target: Path, extractor: str, centroids: np.ndarray, n_jobs: int) -> np.ndarray:
    """Write the units of one split; returns how many frames fell into each cluster, int64 (K,)."""
    sizes = np.zeros(len(centroids), dtype=np.int64)

    def lines() -> Iterator[str]:
        label = partial(_label, extractor=extractor, centroids=centroids)
        rows, total = utterances_of(manifest, range(len(manifest))), len(manifest)
        for units in parallel_map(label, rows, total=total, n_jobs=n_jobs, description=f"units {target.stem}"):
            np.add(sizes, np.bincount(units, minlength=len(sizes)), out=sizes)
            yield " ".join(map(str, units))

    write_lines(target, lines())
    return sizes


def prepare_units(
    data: Path,
    splits: Sequence[str] = ("train", "valid"),
    *,
    out: Path | None = None,
    fitting: Fitting | None = None,
    model: Path | None = None,
    extractor: str = "mfcc",
    allow_outside_root: bool = False,
    n_jobs: int = 1,
) -> dict[str, np.ndarray]:
    """Label the manifests data/SPLIT.tsv with k-means units, into `out` (default: `data`).

    fitting: how to find the clusters (default: `Fitting()`); or model: a kmeans.joblib to label with (a pickle: load
    only files you trust). extractor: "mfcc" or module:function. Splits already labelled with the same model and rows
    are skipped. Returns split -> frames in each cluster, int64 (K,).
    Raises ManifestError, AudioError or ValueError with the mend.
    """
    if fitting is not None and model is not None:
        raise ValueError("--model labels with clusters that exist: leave --fit, --clusters, --seed and --fit-hours out")
    out = out or data
    out.mkdir(parents=True, exist_ok=True)
    if model is not None:
        kmeans = given_model(out, model, extractor)
    else:
        kmeans = obtain_model(out, data, fitting or Fitting(), extractor, n_jobs, outside=allow_outside_root)
    centroids = kmeans.cluster_centers_.astype(np.float32)
    sizes = {}
    for split in splits:
        manifest = open_rows(data / f"{split}.tsv", outside=allow_outside_root)
        target, record = out / f"{split}.km", read_record(out)
        done, rows = record["splits"].get(split), rows_hash([manifest])
        if done and done["rows"] == rows and target.is_file():
            logger.info("%s is up to date", target)
            sizes[split] = np.array(done["cluster_sizes"])
            continue
        sizes[split] = _label_split(manifest, target, extractor, centroids, n_jobs)
        record["splits"][split] = {"rows": rows, "cluster_sizes": sizes[split].tolist()}
        save_record(out, record)
    _warn_of_empty(sizes)
    return sizes


def _warn_of_empty(sizes: dict[str, np.ndarray]) -> None:
    empty = np.flatnonzero(sum(sizes.values()) == 0) if sizes else ()
    if len(empty):
        logger.warning("%d clusters hold no frame (%s ...): fewer --clusters would do", len(empty), empty[:8].tolist())


def size_summary(sizes: dict[str, np.ndarray]) -> str:
    """A table: frames, hours, clusters used, the smallest and largest share, and the perplexity of the units."""
    rows = []
    for split, counts in sizes.items():
        share = counts / max(counts.sum(), 1)
        perplexity = np.exp(-np.sum(share[share > 0] * np.log(share[share > 0])))
        hours = counts.sum() / ENCODER_FRAME_RATE / 3600
        used = f"{np.count_nonzero(counts)}/{len(counts)}"
        rows.append(
            (split, counts.sum(), f"{hours:.2f}", used, f"{share.min():.4f}", f"{share.max():.4f}", f"{perplexity:.0f}")
        )
    return table(("split", "units", "hours", "clusters used", "smallest", "largest", "perplexity"), rows)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    defaults = Fitting()
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.units", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of SPLIT.tsv manifests")
    parser.add_argument(
        "--splits", nargs="+", default=["train", "valid"], help="splits to label (default: train valid)"
    )
    parser.add_argument("--fit", nargs="+", help="splits to fit the clusters on (default: train)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where labels and model go (default: --data)")
    parser.add_argument("--clusters", type=int, help=f"units, K (default: {defaults.clusters})")
    parser.add_argument(
        "--extractor",
        default="mfcc",
        metavar="mfcc|MODULE:FUNCTION",
        help="features: mfcc (default), or a function of a (S,) waveform that returns (T, D), 50 frames a second",
    )
    parser.add_argument("--seed", type=int, help=f"seed of the clustering (default: {defaults.seed})")
    parser.add_argument(
        "--fit-hours", type=float, help=f"hours of audio to fit on at most (default: {defaults.hours:g})"
    )
    parser.add_argument(
        "--model", type=Path, help="label with this kmeans.joblib instead of fitting (trusted files only)"
    )
    add_root_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, label, print the cluster sizes."""
    arguments = build_parser().parse_args(argv)
    given = {
        "splits": tuple(arguments.fit) if arguments.fit else None,
        "clusters": arguments.clusters,
        "seed": arguments.seed,
        "hours": arguments.fit_hours,
    }
    given = {name: value for name, value in given.items() if value is not None}
    with workers(vars(arguments)) as n_jobs:
        sizes = prepare_units(
            arguments.data,
            arguments.splits,
            out=arguments.out,
            fitting=Fitting(**given) if given else None,
            model=arguments.model,
            extractor=arguments.extractor,
            allow_outside_root=arguments.allow_outside_root,
            n_jobs=n_jobs,
        )
    print(size_summary(sizes))


if __name__ == "__main__":
    run(main)

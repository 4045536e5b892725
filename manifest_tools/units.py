"""Speech units: a k-means class for every 20 ms frame of the speech encoder, the targets of speech pre-training.

    python -m manifest_tools.units --data data --splits train valid --fit train --clusters 500

One model serves all splits. It is fitted on MFCC (39 numbers a frame), or on a layer of a trained model:

    --extractor speecht5 --checkpoint checkpoint_best.pt --layer 6            ours, pre-trained or fine-tuned
    --extractor fairseq-hubert --checkpoint hubert_base_ls960.pt --layer 6    HuBERT as fairseq saved it
    --extractor transformers-hubert --checkpoint FOLDER --layer 6             or facebook/hubert-base-ls960
    --extractor torchaudio-hubert --checkpoint HUBERT_BASE --layer 6          or HUBERT_BASE=FILE of its weights
    --extractor MODULE:FUNCTION                                               (S,) waveform -> (T, D)

Layers are counted alike in all of them: 0 is the input of the first, 6 the output of the sixth (output_layer=6 of
fairseq, hidden_states[6] of transformers). A waveform is normalised where the model was trained so. Features have 50
frames a second: of one or two more than the speech encoder has the last are left out, for one fewer the last counts
twice; other counts are an error.

Several commands share the labelling of large data, on one machine or many; the last one joins the labels:

    python -m manifest_tools.units ... --fit-only        once: finds the clusters
    python -m manifest_tools.units ... --shard 1/8       and so on to 8/8, at once or in turn

Writes SPLIT.km (one line an utterance), dict.km.txt, kmeans.joblib and units.json, which training checks. What is done
already is skipped.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np

from speecht5_fairseq.constants import ENCODER_FRAME_RATE
from speecht5_fairseq.data.manifest import Manifest
from speecht5_fairseq.data.unit_record import rows_hash

from .command import add_jobs_option, add_root_option, run, workers
from .extractors import LOADERS, MFCC, Extractor, find_extractor
from .files import file_hash, write_lines
from .parallel import parallel_map
from .summary import table
from .unit_clusters import (
    MODEL,
    Fitting,
    Utterance,
    features_of,
    given_model,
    nearest,
    obtain_model,
    open_rows,
    utterances_of,
)
from .unit_files import Labelled, Share, finish, finish_share, finished, finished_share, join_shares, locked

logger = logging.getLogger(__name__)


class Labelling(NamedTuple):
    """How rows become units: small, as it goes to the workers, each of which loads both models once."""

    extractor: Extractor
    model: Path  # kmeans.joblib
    hash: str  # of it

    @classmethod
    def of(cls, out: Path, extractor: Extractor) -> Labelling:
        """With the model that is in `out`."""
        return cls(extractor, (out / MODEL).absolute(), file_hash(out / MODEL))


@lru_cache(maxsize=1)
def _centroids(model: Path, hash_of_model: str) -> np.ndarray:
    """(K, D) float32; by the hash too, so that a new model of the same name is read anew."""
    return joblib.load(model).cluster_centers_.astype(np.float32)


def _label(utterance: Utterance, labelling: Labelling) -> np.ndarray:
    features, centroids = features_of(utterance, labelling.extractor), _centroids(labelling.model, labelling.hash)
    if features.shape[1] != centroids.shape[1]:
        raise ValueError(
            f"--model was fitted on {centroids.shape[1]} numbers a frame, --extractor {labelling.extractor.kind} gives "
            f"{features.shape[1]}; name the extractor that the model was fitted with"
        )
    return nearest(features, centroids)


def _label_rows(
    manifest: Manifest, chosen: range, target: Path, labelling: Labelling, rows: str, n_jobs: int
) -> Labelled:
    """Write the units of some rows."""
    sizes = np.zeros(len(_centroids(labelling.model, labelling.hash)), dtype=np.int64)

    def lines() -> Iterator[str]:
        label, found = partial(_label, labelling=labelling), utterances_of(manifest, chosen)
        for units in parallel_map(label, found, total=len(chosen), n_jobs=n_jobs, description=f"units {target.stem}"):
            np.add(sizes, np.bincount(units, minlength=len(sizes)), out=sizes)
            yield " ".join(map(str, units))

    write_lines(target, lines())
    return Labelled(labelling.hash, rows, sizes)


def _label_split(out: Path, manifest: Manifest, labelling: Labelling, n_jobs: int) -> np.ndarray:
    """Write SPLIT.km unless it is done; returns how many frames fell into each cluster, int64 (K,)."""
    split, rows = manifest.file.stem, rows_hash([manifest])
    target, done = out / f"{split}.km", finished(out, split, labelling.hash, rows)
    if done is not None:
        logger.info("%s is up to date", target)
        return done
    labelled = _label_rows(manifest, range(len(manifest)), target, labelling, rows, n_jobs)
    finish(out, split, labelled)
    return labelled.cluster_sizes


def _label_share(
    out: Path, manifest: Manifest, labelling: Labelling, share: Share, n_jobs: int
) -> tuple[str, np.ndarray]:
    """Write the labels of a share unless they are done, and join SPLIT.km if they are the last; as `_label_split`.

    Returns the split and its sizes where it is whole, else the share's name and sizes.
    """
    split, rows = manifest.file.stem, rows_hash([manifest])
    target, done = out / f"{share.name(split)}.km", finished(out, split, labelling.hash, rows)
    if done is not None:
        logger.info("%s is up to date", out / f"{split}.km")
        return split, done
    sizes = finished_share(out, split, share, labelling.hash, rows)
    if sizes is None:
        labelled = _label_rows(manifest, share.rows(len(manifest)), target, labelling, rows, n_jobs)
        finish_share(out, split, share, labelled)
        sizes = labelled.cluster_sizes
    else:
        logger.info("%s is up to date", target)
    joined = join_shares(out, split, share.of, labelling.hash, rows)
    return (share.name(split), sizes) if joined is None else (split, joined)


def prepare_units(
    data: Path,
    splits: Sequence[str] = ("train", "valid"),
    *,
    out: Path | None = None,
    fitting: Fitting | None = None,
    model: Path | None = None,
    extractor: str = MFCC,
    checkpoint: str | Path | None = None,
    layer: int | None = None,
    device: str | None = None,
    share: Share | None = None,
    allow_outside_root: bool = False,
    n_jobs: int = 1,
) -> dict[str, np.ndarray]:
    """Label the manifests data/SPLIT.tsv with k-means units, into `out` (default: `data`).

    fitting: how to find the clusters (default: `Fitting()`); or model: a kmeans.joblib to label with (a pickle: load
    only files you trust). extractor, checkpoint, layer, device: see `find_extractor`. splits: none finds the clusters
    and labels nothing. share: label these rows alone, with a model that is in `out`; the last of the shares joins them.
    What is already labelled with the same model and rows is skipped. Returns split -> frames in each cluster, int64
    (K,); until the split is whole, the share's name -> its own.
    Raises ManifestError, AudioError, CheckpointError, ValueError, OSError or ImportError with the mend.
    """
    if fitting is not None and model is not None:
        raise ValueError("--model labels with clusters that exist: leave --fit, --clusters, --seed and --fit-hours out")
    found = find_extractor(extractor, checkpoint=checkpoint, layer=layer, device=device)
    out = out or data
    out.mkdir(parents=True, exist_ok=True)
    if splits:
        with locked(out):
            pass  # a file system without locks is told of now, and not when the labels are made
    if model is not None:
        given_model(out, model, found, may_copy=share is None)
    else:
        outside = allow_outside_root
        obtain_model(out, data, fitting or Fitting(), found, n_jobs, may_fit=share is None, outside=outside)
    labelling, sizes = Labelling.of(out, found), {}
    for split in splits:
        manifest = open_rows(data / f"{split}.tsv", outside=allow_outside_root)
        if share is None:
            sizes[split] = _label_split(out, manifest, labelling, n_jobs)
        else:
            name, counted = _label_share(out, manifest, labelling, share, n_jobs)
            sizes[name] = counted
    if share is None:
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
    _add_features(parser)
    parser.add_argument("--seed", type=int, help=f"seed of the clustering (default: {defaults.seed})")
    parser.add_argument(
        "--fit-hours", type=float, help=f"hours of audio to fit on at most (default: {defaults.hours:g})"
    )
    parser.add_argument(
        "--model", type=Path, help="label with this kmeans.joblib instead of fitting (trusted files only)"
    )
    parser.add_argument("--fit-only", action="store_true", help="find the clusters, or copy --model, and label nothing")
    parser.add_argument(
        "--shard", metavar="I/N", help="label the I-th of N shares of each split's rows, 1/8 say; see above"
    )
    add_root_option(parser)
    add_jobs_option(parser)
    return parser


def _add_features(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--extractor",
        default=MFCC,
        metavar="NAME",
        help=f"features: {MFCC} (default), {', '.join(LOADERS)}, or MODULE:FUNCTION",
    )
    parser.add_argument("--checkpoint", metavar="FILE|FOLDER|NAME", help="of the extractor's model")
    parser.add_argument("--layer", type=int, metavar="L", help="of that model, whose output is clustered")
    parser.add_argument(
        "--device",
        help="of that model: cpu (default), cuda, cuda:1, with one process unless --jobs says how many share it; "
        "--shard uses several",
    )


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
    share = None if arguments.shard is None else Share.parsed(arguments.shard)
    if share is not None and arguments.fit_only:
        raise ValueError(f"--shard {arguments.shard} labels, and --fit-only labels nothing: give one of them")
    if arguments.device is not None and not arguments.device.startswith("cpu") and arguments.scheduler is None:
        arguments.jobs = arguments.jobs or 1  # each has a copy of the model there
    with workers(vars(arguments)) as n_jobs:
        sizes = prepare_units(
            arguments.data,
            () if arguments.fit_only else arguments.splits,
            out=arguments.out,
            fitting=Fitting(**given) if given else None,
            model=arguments.model,
            extractor=arguments.extractor,
            checkpoint=arguments.checkpoint,
            layer=arguments.layer,
            device=arguments.device,
            share=share,
            allow_outside_root=arguments.allow_outside_root,
            n_jobs=n_jobs,
        )
    if sizes:
        print(size_summary(sizes))


if __name__ == "__main__":
    run(main)

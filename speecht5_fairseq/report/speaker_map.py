"""Speaker embeddings on a plane, so that near voices lie near each other.

Shapes: N utterances, E entries of an embedding.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from ..data.errors import AudioError
from ..data.npy import npy_file, read_header, read_numbers
from .charts import COLOURS, Chart, scatter_chart
from .sources import Table

FEWEST = 3  # utterances; fewer make no map
FEWEST_TSNE = 30  # below, principal components
LEAST_SPREAD = 1e-6  # of an entry of vectors of length 1; below lies the rounding of float32
MOST = 2000  # utterances on a map
SEED = 0


class SpeakerMap(NamedTuple):
    """A map and who has which colour; the speakers after the first ``COLOURS`` share grey."""

    chart: Chart
    legend: list[tuple[int, str]]  # (colour, speaker), the most frequent first
    method: str


def speaker_map(table: Table, notes: list[str]) -> SpeakerMap | None:
    """The embeddings that ``--save-embeddings`` wrote; None, told in ``notes``, where they are missing or too few."""
    rows = [row for row in table.table.rows if row.get("embedding")]
    if not rows:
        notes.append(f"{table.subset}: no embeddings, so no map of the speakers (generate with --save-embeddings)")
        return None
    step = -(-len(rows) // MOST)
    if step > 1:
        notes.append(f"{table.subset}: the map has every {step}th of {len(rows)} utterances")
    loaded = [(row, vector) for row in rows[::step] if (vector := _read(table, row, notes)) is not None]
    sizes = {len(vector) for _, vector in loaded}
    if len(loaded) < FEWEST or len(sizes) > 1:
        why = f"embeddings of {sorted(sizes)} entries" if len(sizes) > 1 else f"{len(loaded)} embeddings, not {FEWEST}"
        notes.append(f"{table.subset}: no map of the speakers ({why})")
        return None
    labels = [row.get("label") or row.get("class") or "unknown" for row, _ in loaded]
    projected = project(np.stack([vector for _, vector in loaded]))
    if projected is None:
        notes.append(f"{table.subset}: no map of the speakers (all embeddings are the same, but for their lengths)")
        return None
    places, method = projected
    common = [name for name, _ in sorted(Counter(labels).items(), key=lambda item: (-item[1], item[0]))][:COLOURS]
    colours = [common.index(label) if label in common else COLOURS for label in labels]
    titles = [f"{label}: {row.get('path') or row['id']}" for (row, _), label in zip(loaded, labels, strict=True)]
    chart = scatter_chart(f"Speakers of {table.subset}", places.tolist(), colours, titles)
    legend = list(enumerate(common)) + ([(COLOURS, "others")] if COLOURS in colours else [])
    return SpeakerMap(chart, legend, method)


def project(embeddings: np.ndarray) -> tuple[np.ndarray, str] | None:
    """(N, E) -> (N, 2) and how: t-SNE of cosines (van der Maaten and Hinton 2008), of few principal components.

    None for embeddings of one direction: t-SNE starts from components divided by their spread, which ends the process
    where that is 0.
    """
    from sklearn.decomposition import PCA  # a second to import
    from sklearn.manifold import TSNE

    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.maximum(lengths, 1e-12)
    if np.ptp(unit, axis=0).max(initial=0.0) < LEAST_SPREAD:
        return None
    if len(unit) < FEWEST_TSNE or unit.shape[1] < 2:
        parts = PCA(min(2, *unit.shape), random_state=SEED).fit_transform(unit)
        return np.pad(parts, ((0, 0), (0, 2 - parts.shape[1]))), "principal components"
    perplexity = min(30.0, (len(unit) - 1) / 3)
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(unit)
    return found.astype(np.float64), f"t-SNE, perplexity {perplexity:.0f}"


def _read(table: Table, row: dict[str, str], notes: list[str]) -> np.ndarray | None:
    file = table.folder / row["embedding"]
    try:
        with npy_file(file) as opened:
            header = read_header(opened)
            vector = read_numbers(opened, header).astype(np.float64) if len(header.shape) == 1 else None
    except (OSError, ValueError, AudioError) as error:
        notes.append(f"{file.name}: no readable embedding ({error})")
        return None
    if vector is None or not np.isfinite(vector).all():
        notes.append(f"{file.name}: an embedding that is no vector of finite numbers")
        return None
    return vector

"""What fairseq-generate calls to tell classes: one pass of the model, a table, embeddings.

Shapes: B utterances of a batch, C classes, E width of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.atomic import atomic_text, replacing
from .options import encoder_inputs, only_model, reject_forced_output
from .results_folder import SETTINGS, TABLE, is_below, lock_folder
from .speech_generator import ResultLines

COLUMNS = ("id", "path", "class", "probability", "classes", "label", "correct", "embedding")


class Guess(NamedTuple):
    """A class and its probability."""

    name: str
    probability: float


class Utterance(NamedTuple):
    """What a row of the manifest says: a name for files, its path, its class where that is known."""

    name: str
    path: str
    label: str | None


class ClassGenerator:
    """Tells the class of each utterance of a batch.

    Args:
        names: of the classes, in the model's order.
        describe: manifest row -> what it says.
        lines: fairseq-generate's dictionary of the output.
        top: classes that are named for each utterance, the likeliest first.
        folder: where the table (and embeddings) go; None for nowhere. The table of an earlier run there is emptied,
            and the embeddings that it names are removed.
        save_embeddings: write each utterance's embedding (E,) too.

    Raises:
        ValueError: ``top`` is not one of the numbers of classes, or the folder is that of generated speech or of a run
            that is not over.
    """

    symbols_to_strip_from_output: frozenset[int] = frozenset()

    def __init__(
        self,
        *,
        names: Sequence[str],
        describe: Callable[[int], Utterance],
        lines: ResultLines,
        top: int = 1,
        folder: Path | None = None,
        save_embeddings: bool = False,
    ) -> None:
        if not 1 <= top <= len(names):
            raise ValueError(f"--top-classes is {top}; give 1 to {len(names)}, the number of classes")
        self.names = names
        self.describe = describe
        self.lines = lines
        self.top = top
        self.folder = folder
        self.save_embeddings = save_embeddings
        self.rows: dict[int, dict[str, str]] = {}
        if folder is not None:
            self._lock = lock_folder(folder)
            _begin(folder)

    @torch.no_grad()
    def generate(
        self, models: list, sample: dict, prefix_tokens: Tensor | None = None, constraints: Tensor | None = None
    ) -> list[list[dict]]:
        """Classify a batch.

        Args:
            models: a list of one model.
            sample: a batch with `net_input` and `id`.
            prefix_tokens, constraints: fairseq passes them; must be None.

        Returns:
            For each utterance one hypothesis in fairseq's form: its score is the class's log-probability, and
            `ResultLines` turns its tokens into a line of words.

        Raises:
            ValueError: the model's scores are NaN or infinite.
        """
        reject_forced_output(prefix_tokens, constraints)
        model = only_model(models)
        output = model.classify(model.encode(**encoder_inputs(sample)))
        log_probs = output.logits.log_softmax(-1).cpu()
        best = log_probs.topk(self.top)
        embeddings = output.embedding.float().cpu()
        return [
            [self._finish(number, scores, classes, embedding)]
            for number, scores, classes, embedding in zip(sample["id"].tolist(), *best, embeddings, strict=True)
        ]

    def _finish(self, number: int, scores: Tensor, classes: Tensor, embedding: Tensor) -> dict:
        utterance = self.describe(number)
        if not bool(scores.isfinite().all()):
            raise ValueError(
                f"{utterance.path}: the model's scores are NaN or infinite: the checkpoint is broken, or --fp16 "
                "overflows"
            )
        guesses = [Guess(self.names[c], p) for c, p in zip(classes.tolist(), scores.exp().tolist(), strict=True)]
        row = {
            "id": utterance.name,
            "path": utterance.path,
            "class": guesses[0].name,
            "probability": f"{guesses[0].probability:.6f}",
            "classes": "; ".join(f"{guess.name} {guess.probability:.6f}" for guess in guesses),
            "label": utterance.label or "",
            "correct": "" if utterance.label is None else ("yes" if utterance.label == guesses[0].name else "no"),
            "embedding": self._save(utterance.name, embedding),
        }
        self.rows[number] = row
        line = f"{utterance.path}: {row['classes']}" + (f" (is {utterance.label})" if row["correct"] == "no" else "")
        return self.lines.hypothesis(line, 1) | {"score": float(scores[0])}

    def _save(self, name: str, embedding: Tensor) -> str:
        """Write the embedding where that was asked for; its file below the folder, for the table."""
        if self.folder is None or not self.save_embeddings:
            return ""
        with replacing(self.folder / f"{name}.npy") as partial:
            np.save(partial, embedding.numpy())
        return f"{name}.npy"

    def close(self, subset: str) -> str:
        """Write the table, in the order of the manifest; returns what to print."""
        rows = [self.rows[number] for number in sorted(self.rows)]
        told = [row["correct"] for row in rows if row["correct"]]
        right = told.count("yes")
        parts = [f"Classified {subset}: {len(rows)} utterances, {len(self.names)} classes"]
        if told:
            parts.append(f"accuracy {100 * right / len(told):.2f}% ({right} of {len(told)})")
        if self.folder is not None:
            _write(self.folder / TABLE, rows)
            self._lock.close()
            parts.append(f"written to {self.folder / TABLE}")
        return "; ".join(parts)


def _begin(folder: Path) -> None:
    """Empty the table before anything is classified: a killed run must not be verified on two models' embeddings.

    Raises:
        ValueError: the folder is that of generated speech.
    """
    table = folder / TABLE
    text = table.read_text(encoding="utf-8", errors="replace") if table.is_file() else ""
    fields = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    if (folder / SETTINGS).exists() or (len(fields) > 1 and "embedding" not in fields[0]):
        raise ValueError(f"{folder} holds generated speech, whose {TABLE} would be lost; give another --results-path")
    for row in (dict(zip(fields[0], row, strict=False)) for row in fields[1:]):
        if (embedding := row.get("embedding")) and is_below(embedding):
            (folder / embedding).unlink(missing_ok=True)
    _write(table, ())


def _write(table: Path, rows: Iterable[dict[str, str]]) -> None:
    with atomic_text(table) as file:
        for fields in (COLUMNS, *([row[column] for column in COLUMNS] for row in rows)):
            file.write("\t".join(fields) + "\n")

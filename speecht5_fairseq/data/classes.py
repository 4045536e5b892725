"""The class (a speaker, say) of each row of a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .errors import ManifestError
from .manifest import Manifest

LABEL = "label"  # the manifest's column


class ClassLabels:
    """Names of classes in the third column, as the numbers that `dict.txt` gives them.

    Args:
        manifest: of `JOB_COLUMNS["s2c"]`.
        names: of the classes in order.
        dictionary: the file of the names, for messages.

    Raises:
        ManifestError: the manifest has no such column.
    """

    def __init__(self, manifest: Manifest, names: Sequence[str], dictionary: Path) -> None:
        if not manifest.has(LABEL):
            mend = "add each row's class, or decode with --unlabelled"
            raise ManifestError(f"{manifest.file}: no third column, the class of each row; {mend}")
        self.manifest = manifest
        self.names = list(names)
        self.dictionary = dictionary
        self._numbers = {name: number for number, name in enumerate(names)}

    def name(self, index: int) -> str:
        """What the manifest says of row `index`."""
        return str(self.manifest.row(index)[LABEL])

    def number(self, index: int) -> int:
        """The class of row `index`, from 0.

        Raises:
            ManifestError: with the row's line, when the dictionary lacks the name.
        """
        name = self.name(index)
        if name not in self._numbers:
            problem = f"the class {name!r} is not in {self.dictionary}"
            mend = "correct the name, add it there before training, or decode with --unlabelled"
            raise self.manifest.error(index, problem, mend)
        return self._numbers[name]

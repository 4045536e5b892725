"""What the commands share: each costs the seconds that its imports take, so that this is made once."""

from pathlib import Path

import numpy as np
import pytest
from commands import NOISE, Data, pretraining, recognition, run
from helpers import SYMBOLS, tiny_manifest, tiny_text_binary, write_lines


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("data")
    found = Data(folder / "pretrain", folder / "text", folder / "s2t", folder / "language", folder / "t2s")
    for place in found:
        place.mkdir()
    rng = np.random.default_rng(0)
    for number, (split, rows) in enumerate((("train", 8), ("valid", 3), ("test", 3))):
        tiny_manifest(found.s2t, rows, split=split, seed=number)
        if split != "test":
            tiny_manifest(found.t2s, rows, job="t2s", split=split, seed=number)
            tiny_manifest(found.pretrain, rows, job="pretrain", split=split, seed=number)
            texts = [list(rng.integers(4, 4 + len(SYMBOLS), size=rng.integers(3, 12))) for _ in range(12)]
            tiny_text_binary(found.text, texts, split=split)
            lines = [" ".join(rng.choice(list(SYMBOLS), size=8)) for _ in range(30)]
            write_lines(found.language / f"{split}.txt", lines)
    return found


@pytest.fixture(scope="session")
def pretrained(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a pre-training of four updates, with dropout and layerdrop; one after two updates too."""
    folder = tmp_path_factory.mktemp("pretrained")
    run("fairseq-train", *pretraining(data, *NOISE, "--save-dir", folder, "--save-interval-updates", 2))
    return folder


@pytest.fixture(scope="session")
def recognizer(data: Data, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a fine-tuning from `pretrained` whose encoder learns from the third update on."""
    folder = tmp_path_factory.mktemp("recognizer")
    start = ["--finetune-from-model", pretrained / "checkpoint_last.pt", "--freeze-encoder-updates", 2]
    run("fairseq-train", *recognition(data, *NOISE, *start, "--save-dir", folder, "--save-interval-updates", 1))
    return folder

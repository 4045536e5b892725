"""Commands on data in archives: what they print is what they print for files."""

import pytest
from commands import generation, hypotheses, load, logged, recognition, run

from manifest_tools.pack import pack_manifest


@pytest.fixture(scope="module")
def packed(data, tmp_path_factory):
    """The data of recognition, in archives."""
    folder = tmp_path_factory.mktemp("packed")
    for split in ("train", "valid", "test"):
        pack_manifest(data.s2t / f"{split}.tsv", folder, job="s2t", flac=True, n_jobs=1)
    return data._replace(s2t=folder)


def test_decoding(data, packed, recognizer):
    options = [recognizer / "checkpoint_last.pt", "--beam", 2]
    plain, inside = (hypotheses(run("fairseq-generate", *generation(each, *options))) for each in (data, packed))
    assert len(plain) == 3 and inside == plain


def test_training_with_workers(data, packed, tmp_path):
    for name, each, workers in (("files", data, 0), ("archives", packed, 2)):
        options = ["--save-dir", tmp_path / name, "--num-workers", workers]
        run("fairseq-train", *recognition(each, *options))
    losses = [logged(load(tmp_path / name / "checkpoint_last.pt"))["loss"] for name in ("files", "archives")]
    assert losses[0] == losses[1]

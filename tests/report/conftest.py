"""What several tests of the report read."""

import pytest
from helpers import tiny_manifest


@pytest.fixture
def manifest(tmp_path):
    """A folder with test.tsv and its four recordings."""
    folder = tmp_path / "data"
    folder.mkdir()
    tiny_manifest(folder, 4, split="test")
    return folder

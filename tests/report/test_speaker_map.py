"""Near voices lie near each other; what makes no map is told."""

import numpy as np
import pytest
from report_folders import write_speaker_results

from speecht5_fairseq.report.sources import open_source
from speecht5_fairseq.report.speaker_map import project, speaker_map


@pytest.mark.parametrize("each, method", [(5, "principal components"), (20, "t-SNE, perplexity 20")])
def test_voices_lie_together(each, method):
    rng = np.random.default_rng(0)
    voices = np.repeat(rng.normal(size=(3, 16)), each, axis=0)
    places, how = project(voices + 0.1 * rng.normal(size=voices.shape))
    labels = np.repeat(range(3), each)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(3 * each)
    assert how == method and places.shape == (3 * each, 2)
    assert (labels[distances.argmin(1)] == labels).all()


def test_a_map_of_a_table(tmp_path):
    (table,) = open_source(write_speaker_results(tmp_path / "sid"), "sid").speakers
    notes = []
    found = speaker_map(table, notes)
    assert not notes and found.legend == [(0, "s0"), (1, "s1"), (2, "s2")] and len(found.chart.dots) == 12
    assert [dot.colour for dot in found.chart.dots[:4]] == [0, 1, 2, 0] and found.chart.dots[1].title == "s1: 1.wav"


def test_what_makes_no_map(tmp_path):
    (table,) = open_source(write_speaker_results(tmp_path / "sid"), "sid").speakers
    np.save(table.folder / "3.npy", np.full(6, np.nan))
    (table.folder / "4.npy").write_bytes(b"no numbers")
    notes = []
    assert len(speaker_map(table, notes).chart.dots) == 10
    assert "3.npy: an embedding that is no vector of finite numbers" in notes[0] and "4.npy: no readable" in notes[1]
    np.save(table.folder / "5.npy", np.ones(7))
    assert speaker_map(table, notes) is None and "embeddings of [6, 7] entries" in notes[-1]
    for row in table.table.rows:
        row["embedding"] = ""
    assert speaker_map(table, notes) is None and "--save-embeddings" in notes[-1]


@pytest.mark.parametrize("utterances", [6, 40])
def test_embeddings_of_one_direction_make_no_map_and_end_nothing(tmp_path, utterances):
    """In t-SNE they ended the process, by a division by their spread."""
    (table,) = open_source(write_speaker_results(tmp_path / "sid", utterances), "sid").speakers
    for number in range(utterances):
        np.save(table.folder / f"{number}.npy", np.full(6, 1 + number / 7, dtype=np.float32))
    notes = []
    assert speaker_map(table, notes) is None and "all embeddings are the same" in notes[0]


def test_vectors_of_one_entry_lie_on_a_line():
    places, how = project(np.where(np.arange(40) % 2, 0.5, -2.0)[:, None])
    assert how == "principal components" and len(np.unique(places[:, 0].round(6))) == 2 and not places[:, 1].any()

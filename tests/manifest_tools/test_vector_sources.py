"""Vectors are of the recordings that they were made of, whatever else has their names."""

import os

import numpy as np
import pytest
from helpers import write_speech

from manifest_tools.speaker_vectors import prepare_speaker_vectors
from manifest_tools.voices import Audio, make_vectors
from speecht5_fairseq.data.manifest import write_manifest


def corpus(folder, seed, speaker="ann"):
    """Two manifests, train and valid, of one recording each."""
    rows = write_speech(folder / "audio" / speaker, 2, seed=seed)
    for split, (name, samples) in zip(("train", "valid"), rows, strict=True):
        write_manifest(folder / f"{split}.tsv", "audio", [(f"{speaker}/{name}", samples)])
    return folder


def test_two_corpora_of_the_same_names_do_not_share_vectors(tmp_path):
    first, second = corpus(tmp_path / "a", 0) / "train.tsv", corpus(tmp_path / "b", 1) / "train.tsv"
    told = r"v/ann/0.wav.npy: the vector of .*a/audio/ann/0.wav; .*b/audio/ann/0.wav has .*; choose another --out"
    with pytest.raises(ValueError, match=told):
        prepare_speaker_vectors([first, second], tmp_path / "v")
    prepare_speaker_vectors([first], tmp_path / "v")
    with pytest.raises(ValueError, match=told):
        prepare_speaker_vectors([second], tmp_path / "v")
    rows = [Audio("ann/0.wav", 1)]
    make_vectors({"train": (tmp_path / "a/audio", rows)}, tmp_path / "w")
    with pytest.raises(ValueError, match=r"the vector of .*a/audio/ann/0.wav; .*b/audio/ann/0.wav has the same name"):
        make_vectors({"train": (tmp_path / "b/audio", rows)}, tmp_path / "w")


def test_a_recording_that_was_replaced_by_an_older_one_gets_its_vector(tmp_path):
    manifest, out = corpus(tmp_path, 0) / "train.tsv", tmp_path / "v"
    prepare_speaker_vectors([manifest], out)
    before = np.load(out / "ann/0.wav.npy")
    corpus(tmp_path, 1)
    os.utime(tmp_path / "audio/ann/0.wav", (1, 1))
    prepare_speaker_vectors([manifest], out)
    assert not np.allclose(np.load(out / "ann/0.wav.npy"), before)


def test_vectors_that_moved_with_their_data_are_kept_and_the_data_may_move_alone(tmp_path):
    prepare_speaker_vectors([corpus(tmp_path / "a", 0) / "train.tsv"], tmp_path / "a/v")
    made = (tmp_path / "a/v/ann/0.wav.npy").stat().st_mtime_ns
    (tmp_path / "a").rename(tmp_path / "b")
    corpus(tmp_path / "a", 1)  # what came in its place is another's
    prepare_speaker_vectors([tmp_path / "b/train.tsv"], tmp_path / "b/v")
    (tmp_path / "b/audio").rename(tmp_path / "c")
    write_manifest(tmp_path / "b/train.tsv", "../c", [("ann/0.wav", 1)])
    prepare_speaker_vectors([tmp_path / "b/train.tsv"], tmp_path / "b/v")
    assert (tmp_path / "b/v/ann/0.wav.npy").stat().st_mtime_ns == made


def test_a_speakers_mean_does_not_lose_recordings_that_another_manifest_names_it_for(tmp_path):
    train, valid = (corpus(tmp_path, 0) / f"{split}.tsv" for split in ("train", "valid"))
    out = tmp_path / "v"
    prepare_speaker_vectors([train], out, speaker_level=1)
    alone, content = np.load(out / "speakers/ann.npy"), valid.read_text()
    told = (
        r"speakers/ann.npy is the mean of 1 more vector\(s\), ann/0.wav.npy say: give the manifests of all recordings"
    )
    with pytest.raises(ValueError, match=told):
        prepare_speaker_vectors([valid], out, speaker_level=1)
    assert np.array_equal(np.load(out / "speakers/ann.npy"), alone) and valid.read_text() == content
    prepare_speaker_vectors([train, valid], out, speaker_level=1)
    both = np.load(out / "speakers/ann.npy")
    assert not np.allclose(both, alone)
    prepare_speaker_vectors([train, valid, train], out, speaker_level=1)  # a recording counts once
    assert np.array_equal(np.load(out / "speakers/ann.npy"), both)

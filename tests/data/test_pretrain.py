"""Pre-training data: crops that stay aligned, and noised text."""

import logging

import numpy as np
import pytest
import torch
from helpers import (
    random_sentences,
    tiny_manifest,
    tiny_pretrain_speech,
    tiny_pretrain_text,
    tiny_text_binary,
    write_lines,
)

from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.errors import DataError, ManifestError
from speecht5_fairseq.data.labels import UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.mel import log_mel
from speecht5_fairseq.data.pretrain_speech import PretrainSpeechDataset, encoder_frames
from speecht5_fairseq.data.pretrain_text import PretrainTextDataset, open_text_binary

# Speech


def test_encoder_frames_are_the_layers():
    from speecht5_fairseq.constants import CONV_LAYERS

    for samples in (400, 719, 720, 16000, 16399, 250000):
        frames = samples
        for _, kernel, stride in CONV_LAYERS:
            frames = (frames - kernel) // stride + 1
        assert encoder_frames(samples) == frames


def test_crop_units_and_mel_are_of_the_same_stretch(tmp_path):
    tiny_manifest(tmp_path, 3, job="pretrain", samples=[20000, 3000, 9001])
    dataset = tiny_pretrain_speech(tmp_path)
    lines = (tmp_path / "train.km").read_text().splitlines()
    starts = set()
    for epoch in range(1, 6):
        dataset.set_epoch(epoch)
        for index in range(3):
            item = dataset[index]
            whole = read_audio(dataset.manifest.path(index))
            units = np.array(lines[index].split(), dtype=np.int64)
            length = min(len(whole), 4000)
            assert len(item.waveform) == length == dataset.size(index)
            windows = np.lib.stride_tricks.sliding_window_view(whole, length)[::320]
            matches = np.flatnonzero((windows == item.waveform.numpy()).all(axis=1))
            assert len(matches) == 1
            first = int(matches[0])
            starts.add((index, first))
            expected = units[first : first + encoder_frames(length)]
            np.testing.assert_array_equal(item.units, expected)
            torch.testing.assert_close(item.target_frames, log_mel(torch.from_numpy(whole[first * 320 :][:length])))
    assert len({first for index, first in starts if index == 0}) > 2
    assert {first for index, first in starts if index == 1} == {0}


def test_speech_batch_holds_what_its_table_says(tmp_path):
    tiny_manifest(tmp_path, 3, job="pretrain", samples=[20000, 3000, 3500])
    dataset = tiny_pretrain_speech(tmp_path)
    batch = dataset.collater([dataset[i] for i in range(3)])
    net_input = batch["net_input"]
    assert net_input["waveform"].shape == (3, 4000) and net_input["speaker"].shape == (3, 512)
    assert net_input["frame_lengths"].tolist() == [16, 12, 14] and net_input["target_frames"].shape == (3, 16, 80)
    assert not net_input["target_frames"][1, 12:].any()
    assert batch["target"]["units"].shape == (3, 12)
    assert (batch["target"]["units"][1] == -100).tolist() == [False] * 9 + [True] * 3
    assert batch["ntokens"] == 12 + 9 + 10


def test_speakers_may_be_absent_units_not(tmp_path):
    path = tiny_manifest(tmp_path, 2, job="pretrain")
    full = Manifest.open(path, JOB_COLUMNS["pretrain"])
    rows = [full.row(i) for i in range(2)]
    write_manifest(path, full.root, [(row["path"], row["samples"]) for row in rows])
    dataset = tiny_pretrain_speech(tmp_path)
    assert "speaker" not in dataset.collater([dataset[0]])["net_input"]
    (tmp_path / "train.km").unlink()
    with pytest.raises(ManifestError, match="train.km: no unit labels; make it with .*manifest_tools.units"):
        tiny_pretrain_speech(tmp_path)


def test_units_at_another_rate_and_missing_at_the_end(tmp_path):
    tiny_manifest(tmp_path, 1, job="pretrain", samples=[3600])
    write_lines(tmp_path / "train.km", ["3 4 5"])
    labels = UnitLabels.open(tmp_path, "train", rate=25)
    assert labels.frame_classes(0, 1, 7).tolist() == [3, 4, 4, 5, 5, -100, -100]


@pytest.mark.parametrize(
    ("line", "problem"), [("1 x 2", "no integer .*make the units"), ("1 20", "unit 20 is not in dict.km.txt; take")]
)
def test_bad_units_are_named(tmp_path, line, problem):
    tiny_manifest(tmp_path, 2, job="pretrain")
    write_lines(tmp_path / "train.km", ["1 2", line])
    with pytest.raises(ManifestError, match=rf"train.km:2: .*{problem}"):
        tiny_pretrain_speech(tmp_path)[1]


def test_missing_speaker_vector_is_named(tmp_path):
    tiny_manifest(tmp_path, 2, job="pretrain")
    (tmp_path / "audio_train" / "1.wav.npy").unlink()
    with pytest.raises(ManifestError, match=r"train.tsv:3: .*no readable speaker vector.*manifest_tools"):
        tiny_pretrain_speech(tmp_path)[1]


def test_bad_crop(tmp_path):
    tiny_manifest(tmp_path, 2, job="pretrain")
    with pytest.raises(DataError, match=r"--crop-samples is 399; give at least one encoder window \(400\)"):
        tiny_pretrain_speech(tmp_path, crop_samples=399)
    data = tiny_pretrain_speech(tmp_path)
    with pytest.raises(DataError, match=r"--crop-samples is 511; give at least a step of 3 mel frames \(512\)"):
        PretrainSpeechDataset(data.manifest, data.labels, crop_samples=511, seed=1, training=True, step_frames=3)


# Text


def test_text_items(tmp_path):
    sentences = random_sentences(5)
    dataset = tiny_pretrain_text(tmp_path, sentences)
    dictionary = dataset.dictionary
    for index, sentence in enumerate(sentences):
        item = dataset[index]
        assert item.target.tolist() == [dictionary.bos(), *sentence, dictionary.eos()]
        assert item.source[0] == dictionary.bos() and item.source[-1] == dictionary.eos()
        assert len(item.target) == dataset.num_tokens(index)
    batch = dataset.collater([dataset[i] for i in range(5)])
    assert batch["net_input"]["prev_output_tokens"][:, 0].eq(dictionary.eos()).all()
    assert batch["net_input"]["prev_output_tokens"][:, 1].eq(dictionary.bos()).all()
    assert batch["ntokens"] == sum(len(sentence) + 2 for sentence in sentences)


def test_noise_depends_on_epoch_index_and_repeat_only(tmp_path):
    dataset = tiny_pretrain_text(tmp_path, [list(range(4, 30))] * 3)
    first = [dataset[i].source.tolist() for i in (0, 1, 3)]  # index 3 is text 0 once more
    assert first == [dataset[i].source.tolist() for i in (0, 1, 3)]
    assert len({tuple(source) for source in first}) == 3
    assert dataset[3].id == 0 and dataset[3].seed != dataset[0].seed
    dataset.set_epoch(2)
    assert dataset[0].source.tolist() != first[0]


def test_long_sentences_go_on_in_the_next_text_and_empty_ones_are_left_out(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = tiny_pretrain_text(tmp_path, [list(range(4, 16)), [], [7, 8]], tokens_per_text_sample=7)
    pieces = [dataset[i].target[1:-1].tolist() for i in range(len(dataset))]
    assert pieces == [[4, 5, 6, 7, 8], [9, 10, 11, 12, 13], [14, 15], [7, 8]]
    assert "left out 1 empty sentences of 3" in caplog.text


def test_complete_mode_fills_texts_with_sentences(tmp_path):
    sentences = random_sentences(30)
    dataset = tiny_pretrain_text(tmp_path, sentences, tokens_per_text_sample=22, break_mode="complete")
    pieces = [dataset[i].target[1:-1].tolist() for i in range(len(dataset))]
    assert sum(pieces, []) == sum(sentences, []) and len(pieces) < 20
    assert max(map(len, pieces)) <= 20


def test_text_errors(tmp_path):
    dictionary = load_text_dictionary(write_lines(tmp_path / "dict.txt", ["a 1"]))
    with pytest.raises(DataError, match="train.bin and .idx: no text binary; make it"):
        open_text_binary(tmp_path, "train", dictionary)
    with pytest.raises(DataError, match="--text-break is 'eos'; choose one of sentence, complete"):
        tiny_pretrain_text(tmp_path, [[4]], break_mode="eos")
    with pytest.raises(DataError, match="no sentence has any token"):
        tiny_pretrain_text(tmp_path, [[], []])
    tiny_text_binary(tmp_path, [[4, 9], [3, 3]])
    small = open_text_binary(tmp_path, "train", dictionary)
    with pytest.raises(DataError, match="text 0: token index 9 is beyond .* 5 symbols; preprocess"):
        PretrainTextDataset(small, dictionary, seed=1, training=True)[0]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"tokens_per_text_sample": 2}, "--tokens-per-text-sample 2: give 3 or more"),
        ({"ratio": 1.5}, "--infilling-ratio 1.5: give a share from 0 to 1"),
        ({"mean_span": 0.0}, "--infilling-span 0.0: give a number of tokens from 0.01"),
        ({"random_ratio": -0.1}, "--infilling-random -0.1: give a share from 0 to 1"),
    ],
)
def test_noise_that_cannot_be_is_refused_before_the_first_item(tmp_path, options, message):
    with pytest.raises(DataError, match=f"^{message}"):
        tiny_pretrain_text(tmp_path, [[4]], **options)

"""Pre-training data: crops that stay aligned, noised text, and the joint batches."""

import logging

import numpy as np
import pytest
import torch
from fairseq.data import data_utils, iterators
from helpers import SYMBOLS, tiny_manifest, tiny_text_binary, write_lines

from speecht5_fairseq.data.audio import log_mel, read_audio
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.errors import DataError, ManifestError
from speecht5_fairseq.data.interleave import JointPretrainDataset
from speecht5_fairseq.data.labels import UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.pretrain_speech import PretrainSpeechDataset, encoder_frames
from speecht5_fairseq.data.pretrain_text import PretrainTextDataset, check_text_binary, open_text_binary


def speech_of(folder, *, split="train", crop_samples=4000, **limits):
    manifest = Manifest.open(folder / f"{split}.tsv", JOB_COLUMNS["pretrain"])
    options = {"seed": 1, "training": split == "train", **limits}
    return PretrainSpeechDataset(manifest, UnitLabels.open(folder, split), crop_samples=crop_samples, **options)


def text_of(folder, sentences, *, training=True, **options):
    tiny_text_binary(folder, sentences)
    dictionary = load_text_dictionary(folder / "dict.txt")
    binary = open_text_binary(folder, "train", dictionary)
    return PretrainTextDataset(binary, dictionary, seed=1, training=training, **options)


def random_sentences(count, low=3, high=12, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(4, 4 + len(SYMBOLS), size=rng.integers(low, high)).tolist() for _ in range(count)]


@pytest.fixture
def parts(tmp_path):
    tiny_manifest(tmp_path, 7, job="pretrain")
    return speech_of(tmp_path), text_of(tmp_path / "text", random_sentences(23))


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
    dataset = speech_of(tmp_path)
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
    dataset = speech_of(tmp_path)
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
    dataset = speech_of(tmp_path)
    assert "speaker" not in dataset.collater([dataset[0]])["net_input"]
    (tmp_path / "train.km").unlink()
    with pytest.raises(ManifestError, match="train.km: no unit labels; make it with .*manifest_tools.units"):
        speech_of(tmp_path)


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
        speech_of(tmp_path)[1]


def test_missing_speaker_vector_is_named(tmp_path):
    tiny_manifest(tmp_path, 2, job="pretrain")
    (tmp_path / "audio_train" / "1.wav.npy").unlink()
    with pytest.raises(ManifestError, match=r"train.tsv:3: .*no readable speaker vector.*manifest_tools"):
        speech_of(tmp_path)[1]


def test_bad_crop(tmp_path):
    tiny_manifest(tmp_path, 2, job="pretrain")
    with pytest.raises(DataError, match="--crop-samples is 399; give at least"):
        speech_of(tmp_path, crop_samples=399)


# Text


def test_text_items(tmp_path):
    sentences = random_sentences(5)
    dataset = text_of(tmp_path, sentences)
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
    dataset = text_of(tmp_path, [list(range(4, 30))] * 3)
    first = [dataset[i].source.tolist() for i in (0, 1, 3)]  # index 3 is text 0 once more
    assert first == [dataset[i].source.tolist() for i in (0, 1, 3)]
    assert len({tuple(source) for source in first}) == 3
    assert dataset[3].id == 0 and dataset[3].seed != dataset[0].seed
    dataset.set_epoch(2)
    assert dataset[0].source.tolist() != first[0]


def test_long_sentences_go_on_in_the_next_text_and_empty_ones_are_left_out(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = text_of(tmp_path, [list(range(4, 16)), [], [7, 8]], tokens_per_text_sample=7)
    pieces = [dataset[i].target[1:-1].tolist() for i in range(len(dataset))]
    assert pieces == [[4, 5, 6, 7, 8], [9, 10, 11, 12, 13], [14, 15], [7, 8]]
    assert "left out 1 empty sentences of 3" in caplog.text


def test_complete_mode_fills_texts_with_sentences(tmp_path):
    sentences = random_sentences(30)
    dataset = text_of(tmp_path, sentences, tokens_per_text_sample=22, break_mode="complete")
    pieces = [dataset[i].target[1:-1].tolist() for i in range(len(dataset))]
    assert sum(pieces, []) == sum(sentences, []) and len(pieces) < 20
    assert max(map(len, pieces)) <= 20


def test_text_errors(tmp_path):
    dictionary = load_text_dictionary(write_lines(tmp_path / "dict.txt", ["a 1"]))
    with pytest.raises(DataError, match="train.bin and .idx: no text binary; make it"):
        open_text_binary(tmp_path, "train", dictionary)
    with pytest.raises(DataError, match="break_mode is 'eos'; choose one of sentence, complete"):
        text_of(tmp_path, [[4]], break_mode="eos")
    with pytest.raises(DataError, match="no sentence has any token"):
        text_of(tmp_path, [[], []])
    tiny_text_binary(tmp_path, [[4, 9], [3, 3]])
    small = open_text_binary(tmp_path, "train", dictionary)
    with pytest.raises(DataError, match="text 0: token index 9 is beyond .* 5 symbols; preprocess"):
        PretrainTextDataset(small, dictionary, seed=1, training=True)[0]
    with pytest.raises(DataError, match=r"(?s)sentence 0: token index 9.*sentence 1: all 2 symbols.*encode"):
        check_text_binary(small, dictionary)


# Joint


def epoch_batches(dataset, epoch, seed=1, **limits):
    """The batches that fairseq makes for one epoch."""
    dataset.set_epoch(epoch)
    with data_utils.numpy_seed(seed + epoch):
        indices = dataset.ordered_indices()
    return [batch.tolist() for batch in dataset.batch_by_size(indices, **limits)]


def text_indices(dataset, batches):
    return [index - len(dataset.speech) for batch in batches for index in batch if index >= len(dataset.speech)]


LIMITS = {"max_tokens": 8000, "required_batch_size_multiple": 1}


def test_every_training_batch_has_both(parts):
    dataset = JointPretrainDataset(*parts, seed=1, text_batch_ratio=0.004)
    assert len(dataset) == 7 + 23
    batches = epoch_batches(dataset, 1, **LIMITS)
    assert len(batches) == len(epoch_batches(parts[0], 1, **LIMITS))
    assert sorted(i for batch in batches for i in batch if i < 7) == list(range(7))
    for indices in batches:
        batch = dataset.collater([dataset[i] for i in indices])
        assert batch["speech"]["nsentences"] + batch["text"]["nsentences"] == batch["nsentences"] == len(indices)
        assert batch["text"]["target"].numel() <= 32 and batch["speech"]["net_input"]["waveform"].numel() <= 8000
        assert batch["id"].tolist() == [i if i < 7 else 7 + (i - 7) % 23 for i in indices]
    assert dataset.collater([]) == {}


def test_order_is_fixed_by_seed_and_epoch(parts):
    first = epoch_batches(JointPretrainDataset(*parts, seed=1, text_batch_ratio=0.004), 3, **LIMITS)
    again = JointPretrainDataset(*parts, seed=1, text_batch_ratio=0.004)  # as a resumed run would
    assert epoch_batches(again, 3, **LIMITS) == first
    assert epoch_batches(again, 4, **LIMITS) != first
    other = JointPretrainDataset(*parts, seed=2, text_batch_ratio=0.004)
    assert text_indices(other, epoch_batches(other, 3, **LIMITS)) != text_indices(again, first)
    assert not again.can_reuse_epoch_itr_across_epochs


def test_text_stream_shows_every_text_once_a_pass(parts):
    dataset = JointPretrainDataset(*parts, seed=1, text_batch_ratio=0.004)
    stream = []
    for epoch in range(1, 30):
        stream += [index % 23 for index in text_indices(dataset, epoch_batches(dataset, epoch, **LIMITS))]
    passes = [stream[start : start + 23] for start in range(0, len(stream) - 22, 23)]
    assert len(passes) > 3
    assert all(sorted(one) == list(range(23)) for one in passes)
    assert passes[0] != passes[1]


def test_texts_repeated_within_an_epoch_get_other_noise(tmp_path):
    tiny_manifest(tmp_path, 6, job="pretrain")
    text = text_of(tmp_path / "text", random_sentences(3, 20, 25))
    dataset = JointPretrainDataset(speech_of(tmp_path), text, seed=1)
    batches = epoch_batches(dataset, 2, max_sentences=1)
    repeats = [i for i in text_indices(dataset, batches) if i % 3 == 0]
    assert len(repeats) == 2 and len({tuple(text[i].source.tolist()) for i in repeats}) == 2


def test_validation_shows_everything_once(tmp_path):
    tiny_manifest(tmp_path, 7, job="pretrain", split="valid")
    text = text_of(tmp_path / "text", random_sentences(23), training=False)
    dataset = JointPretrainDataset(speech_of(tmp_path, split="valid"), text, seed=1, cycle_text=False)
    batches = epoch_batches(dataset, 1, max_sentences=2)
    assert sorted(sum(batches, [])) == list(range(30)) and len(batches) == 12
    kinds = [set(dataset.collater([dataset[i] for i in batch])) for batch in batches]
    assert kinds[0] >= {"speech", "text"} and "speech" not in kinds[-1]
    assert batches == epoch_batches(dataset, 5, max_sentences=2) and dataset.can_reuse_epoch_itr_across_epochs


def test_speech_alone(parts):
    dataset = JointPretrainDataset(parts[0], None, seed=1)
    batches = epoch_batches(dataset, 1, max_sentences=3)
    assert sorted(sum(batches, [])) == list(range(7))
    assert "text" not in dataset.collater([dataset[0]])


def test_filter_leaves_texts_alone(parts):
    dataset = JointPretrainDataset(*parts, seed=1)
    kept, ignored = dataset.filter_indices_by_size(dataset.ordered_indices(), 3999)
    assert (kept >= 7).sum() == 23 and all(parts[0].size(i) > 3999 for i in ignored)


def test_text_that_is_larger_than_its_share_is_an_error(parts):
    with pytest.raises(DataError, match="its size is .* more than the 8 .*raise --max-tokens or --text-batch-ratio"):
        epoch_batches(JointPretrainDataset(*parts, seed=1, text_batch_ratio=0.001), 1, **LIMITS)
    with pytest.raises(DataError, match="--text-batch-ratio is 0; give a positive"):
        JointPretrainDataset(*parts, seed=1, text_batch_ratio=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_two_ranks_with_workers_get_the_same_items(parts, workers):
    dataset = JointPretrainDataset(*parts, seed=1, text_batch_ratio=0.004)
    batches = epoch_batches(dataset, 2, **LIMITS)
    expected = {i: dataset[i] for batch in batches for i in batch}
    seen = []
    for rank in (0, 1):
        shard = list(iterators.ShardedIterator(batches, 2, rank, fill_value=[]))
        loader = torch.utils.data.DataLoader(
            dataset, batch_sampler=shard, collate_fn=dataset.collater, num_workers=workers
        )
        for indices, batch in zip(shard, loader, strict=True):
            seen += indices
            assert bool(indices) == ("speech" in batch) == ("text" in batch)
            check_rows(batch.get("speech"), [expected[i] for i in indices if i < 7], waveform=0, target_frames=0)
            check_rows(batch.get("text"), [expected[i] for i in indices if i >= 7], source_tokens=1)
    assert sorted(seen) == sorted(expected)


def check_rows(batch, items, **fills):
    """Each row of the batch's inputs is its item's tensor bit for bit, then the fill value."""
    for row, item in enumerate(items):
        for name, fill in fills.items():
            tensor = getattr(item, "source" if name == "source_tokens" else name)
            padded = batch["net_input"][name][row]
            assert torch.equal(padded[: len(tensor)], tensor) and padded[len(tensor) :].eq(fill).all()

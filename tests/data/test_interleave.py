"""Joint pre-training: every batch has both, every text comes once a pass, every process gets the same items."""

import pytest
import torch
from fairseq.data import data_utils, iterators
from helpers import random_sentences, tiny_manifest, tiny_pretrain_speech, tiny_pretrain_text

from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.data.interleave import JointPretrainDataset

LIMITS = {"max_tokens": 8000, "required_batch_size_multiple": 1}


@pytest.fixture
def parts(tmp_path):
    tiny_manifest(tmp_path, 7, job="pretrain")
    return tiny_pretrain_speech(tmp_path), tiny_pretrain_text(tmp_path / "text", random_sentences(23))


def epoch_batches(dataset, epoch, seed=1, **limits):
    """The batches that fairseq makes for one epoch."""
    dataset.set_epoch(epoch)
    with data_utils.numpy_seed(seed + epoch):
        indices = dataset.ordered_indices()
    return [batch.tolist() for batch in dataset.batch_by_size(indices, **limits)]


def text_indices(dataset, batches):
    return [index - len(dataset.speech) for batch in batches for index in batch if index >= len(dataset.speech)]


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
    text = tiny_pretrain_text(tmp_path / "text", random_sentences(3, 20, 25))
    dataset = JointPretrainDataset(tiny_pretrain_speech(tmp_path), text, seed=1)
    batches = epoch_batches(dataset, 2, max_sentences=1)
    repeats = [i for i in text_indices(dataset, batches) if i % 3 == 0]
    assert len(repeats) == 2 and len({tuple(text[i].source.tolist()) for i in repeats}) == 2


def test_validation_shows_everything_once(tmp_path):
    tiny_manifest(tmp_path, 7, job="pretrain", split="valid")
    text = tiny_pretrain_text(tmp_path / "text", random_sentences(23), training=False)
    dataset = JointPretrainDataset(tiny_pretrain_speech(tmp_path, split="valid"), text, seed=1, cycle_text=False)
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

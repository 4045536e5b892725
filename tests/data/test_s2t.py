"""Speech-to-text batches, left-out rows, seeds and batching that all datasets share."""

import numpy as np
import pytest
import torch
from fairseq.data import data_utils
from helpers import tiny_manifest, write_lines

from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.collate import shift_right
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.errors import DataError, ManifestError
from speecht5_fairseq.data.labels import TextLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.s2t import S2TDataset
from speecht5_fairseq.data.seeding import utterance_seed


def dataset_of(folder, *, split="train", labels=True, **limits):
    manifest = Manifest.open(folder / f"{split}.tsv", JOB_COLUMNS["s2t"])
    dictionary = load_text_dictionary(folder / "dict.txt")
    texts = TextLabels.open(folder, split, dictionary) if labels else None
    return S2TDataset(manifest, texts, dictionary, **{"seed": 1, "training": split == "train", **limits})


def test_batch_holds_what_its_table_says(tmp_path):
    tiny_manifest(tmp_path, 3, samples=[5000, 8000, 400])
    dataset = dataset_of(tmp_path)
    batch = dataset.collater([dataset[i] for i in range(3)])
    net_input = batch["net_input"]
    assert batch["id"].tolist() == [0, 1, 2] and batch["nsentences"] == 3
    assert net_input["waveform"].shape == (3, 8000) and net_input["waveform"].dtype == torch.float32
    assert net_input["sample_lengths"].tolist() == [5000, 8000, 400]
    np.testing.assert_array_equal(net_input["waveform"][0, :5000], read_audio(dataset.manifest.path(0)))
    assert not net_input["waveform"][0, 5000:].any()
    assert batch["ntokens"] == int(batch["target_lengths"].sum())
    dictionary = dataset.dictionary
    for index, (target, previous, length) in enumerate(
        zip(batch["target"], net_input["prev_output_tokens"], batch["target_lengths"], strict=True)
    ):
        assert dictionary.string(target[:length]) == (tmp_path / "train.txt").read_text().splitlines()[index]
        assert target[length - 1] == dictionary.eos() and (target[length:] == dictionary.pad()).all()
        assert previous[:length].tolist() == [dictionary.eos(), *target[: length - 1].tolist()]
        assert (previous[length:] == dictionary.pad()).all()
    assert net_input["seeds"].tolist() == [utterance_seed(1, 1, i) for i in range(3)]


def test_without_labels_and_without_items(tmp_path):
    tiny_manifest(tmp_path, 2, split="test")
    dataset = dataset_of(tmp_path, split="test", labels=False)
    batch = dataset.collater([dataset[0], dataset[1]])
    assert batch["target"] is None and "prev_output_tokens" not in batch["net_input"]
    assert dataset.collater([]) == {}


def test_shift_right():
    target = torch.tensor([[5, 6, 2], [5, 2, 1]])
    assert shift_right(target, start=2, pad=1).tolist() == [[2, 5, 6], [2, 5, 1]]


def test_sentencepiece_model_encodes_raw_text(tmp_path, caplog):
    sentencepiece = pytest.importorskip("sentencepiece")
    tiny_manifest(tmp_path, 2)
    text = write_lines(tmp_path / "raw.txt", ["AB CA BAC", "CAB BA", "A B C"] * 20)
    options = {"model_type": "char", "vocab_size": 7, "minloglevel": 2, "num_threads": 1}
    sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=str(tmp_path / "spm"), **options)
    write_lines(tmp_path / "train.txt", ["AB C", "CAB"])
    dictionary = load_text_dictionary(tmp_path / "dict.txt")
    labels = TextLabels.open(tmp_path, "train", dictionary, tmp_path / "spm.model")
    assert labels.pieces(0) == ["▁", "A", "B", "▁", "C"]
    assert dictionary.string(labels.tokens(1)) == "▁ C A B" and labels.tokens(1)[-1] == dictionary.eos()
    others = "24 of the dictionary's 28 symbols are no pieces of"
    assert others in caplog.text and "spm.model, 'D' for one: is it the model that the dictionary" in caplog.text
    caplog.clear()
    write_lines(tmp_path / "own.txt", ["▁ 3", "A 3", "B 2", "C 2"])
    TextLabels.open(tmp_path, "train", load_text_dictionary(tmp_path / "own.txt"), tmp_path / "spm.model")
    assert not caplog.messages
    with pytest.raises(ManifestError, match="no.model: no sentencepiece model; make it"):
        TextLabels.open(tmp_path, "train", dictionary, tmp_path / "no.model")


def test_label_count_and_empty_text(tmp_path):
    tiny_manifest(tmp_path, 3)
    write_lines(tmp_path / "train.txt", ["▁ A", "  ", "▁ B"])
    with pytest.raises(ManifestError, match=r"train.txt:2: no text .*write the text"):
        dataset_of(tmp_path)[1]
    write_lines(tmp_path / "train.txt", ["▁ A"] * 4)
    with pytest.raises(ManifestError, match=r"train.txt:4: 4 label lines for the 3 rows.*exactly one"):
        dataset_of(tmp_path)


def test_left_out_rows_are_counted_logged_and_listed(tmp_path, caplog):
    tiny_manifest(tmp_path, 4, samples=[5000, 300, 9000, 6000])
    dataset = dataset_of(tmp_path, max_samples=8000)
    assert dataset.ordered_indices().tolist() == [3, 0]
    listing = (tmp_path / "train.left_out.tsv").read_text().splitlines()
    assert listing[1:] == ["3\t1.wav\t300\tshorter than 400 samples", "4\t2.wav\t9000\tlonger than 8000 samples"]
    assert "left out 1 of 4 rows" in caplog.text


def test_a_list_of_left_out_rows_does_not_outlive_its_reason(tmp_path):
    tiny_manifest(tmp_path, 2, samples=[5000, 9000])
    dataset_of(tmp_path, max_samples=8000)
    assert (tmp_path / "train.left_out.tsv").exists()
    dataset_of(tmp_path)
    assert not (tmp_path / "train.left_out.tsv").exists()


def test_list_of_left_out_rows_goes_to_the_working_folder_where_the_manifests_is_read_only(tmp_path, monkeypatch):
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir(), work.mkdir()
    tiny_manifest(data, 2, samples=[5000, 9000])
    monkeypatch.chdir(work)
    from speecht5_fairseq.data import left_out

    def only_work(path, write=left_out.atomic_text):
        if path.parent == data:
            raise PermissionError(13, "read-only")
        return write(path)

    monkeypatch.setattr(left_out, "atomic_text", only_work)
    dataset_of(data, max_samples=8000)
    assert (work / "train.left_out.tsv").exists()


def test_a_test_split_never_shrinks_silently(tmp_path):
    tiny_manifest(tmp_path, 3, split="test", samples=[5000, 300, 9000])
    with pytest.raises(ManifestError, match=r"test.tsv:3: 300 samples .*shorter than 400.*--allow-left-out"):
        dataset_of(tmp_path, split="test")
    dataset = dataset_of(tmp_path, split="test", allow_left_out=True)
    assert dataset.ordered_indices().tolist() == [2, 0]
    with pytest.raises(ManifestError, match="no row has 10000 to 20000 samples; widen"):
        dataset_of(tmp_path, split="test", min_samples=10000, max_samples=20000, allow_left_out=True)


def test_no_row_is_lost_to_the_batch_multiple(tmp_path):
    tiny_manifest(tmp_path, 11, split="test", samples=[1000 + 10 * i for i in range(11)])
    dataset = dataset_of(tmp_path, split="test")
    batches = dataset.batch_by_size(dataset.ordered_indices(), max_sentences=4, required_batch_size_multiple=4)
    assert sorted(np.concatenate(batches).tolist()) == list(range(11))
    with pytest.raises(DataError, match=r"test.tsv:12: its size is 1100, more than the 1050.*raise --max-tokens"):
        dataset.batch_by_size(dataset.ordered_indices(), max_tokens=1050)
    with pytest.raises(DataError, match="need a limit"):
        dataset.batch_by_size(dataset.ordered_indices())


def test_order_is_by_size_with_seeded_ties(tmp_path):
    tiny_manifest(tmp_path, 8, samples=[5000] * 6 + [6000, 4000])
    dataset = dataset_of(tmp_path)
    orders = []
    for seed in (1, 1, 2):
        with data_utils.numpy_seed(seed):
            orders.append(dataset.ordered_indices().tolist())
    assert orders[0] == orders[1] != orders[2]
    assert all(order[0] == 6 and order[-1] == 7 for order in orders)


@pytest.mark.parametrize("workers", [0, 2])
def test_items_do_not_depend_on_batch_or_worker_and_epochs_reach_workers(tmp_path, workers):
    tiny_manifest(tmp_path, 6)
    dataset = dataset_of(tmp_path)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_sampler=[[0, 3], [5], [1, 2, 4]],
        collate_fn=dataset.collater,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        seeds = {int(i): int(s) for b in loader for i, s in zip(b["id"], b["net_input"]["seeds"], strict=True)}
        assert seeds == {i: utterance_seed(1, epoch, i) for i in range(6)}


def test_epochs_do_not_reach_validation(tmp_path):
    tiny_manifest(tmp_path, 2, split="valid")
    dataset = dataset_of(tmp_path, split="valid")
    dataset.set_epoch(7)
    assert dataset[0].seed == utterance_seed(1, 0, 0)
    assert dataset.can_reuse_epoch_itr_across_epochs


def test_seeds_differ_and_fit_int64():
    seeds = {utterance_seed(*key) for key in np.ndindex(5, 5, 40, 2)}
    assert len(seeds) == 2000 and all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda path: path.unlink(), "no such audio file; correct"),
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "says 5000; correct|early; copy"),
        (lambda path: path.write_text("junk"), "not readable as audio.*convert"),
    ],
)
def test_audio_that_breaks_during_training_is_named(tmp_path, harm, problem):
    tiny_manifest(tmp_path, 2, samples=[5000, 5000])
    dataset = dataset_of(tmp_path)
    harm(tmp_path / "audio_train" / "1.wav")
    with pytest.raises(ManifestError, match=rf"train.tsv:3: .*({problem})"):
        dataset[1]


def test_errors_cross_from_workers_with_their_type_and_message(tmp_path):
    tiny_manifest(tmp_path, 2)
    dataset = dataset_of(tmp_path)
    (tmp_path / "audio_train" / "1.wav").unlink()
    loader = torch.utils.data.DataLoader(dataset, batch_size=1, collate_fn=dataset.collater, num_workers=1)
    with pytest.raises(ManifestError, match=r"train.tsv:3: .*no such audio file"):
        list(loader)

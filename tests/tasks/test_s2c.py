"""The task of identification: from files to a loss, and what generation prints and writes."""

import csv

import numpy as np
import pytest
import torch
from fairseq.dataclass.configs import GenerationConfig
from helpers import CLASSES, NEW_RUN, locked_elsewhere, model_options, tiny_config, tiny_manifest, tiny_model

from speecht5_fairseq.criterions.s2c import S2CCriterion, S2CCriterionConfig
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.generation.results_folder import ResultsFolder
from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.scoring.trials import embedding_files
from speecht5_fairseq.tasks.s2c import S2CTask, S2CTaskConfig

SAMPLES = [9000, 5000, 7000, 6400]


def setup(folder, **options):
    defaults = {"results_path": None, "gen_subset": "test", "distributed_world_size": 1, **NEW_RUN}
    return S2CTask.setup_task(
        S2CTaskConfig(**{"data": str(folder), "seed": 1, "train_subset": "train", **defaults, **options})
    )


def generated(folder, model=None, *, batch=3, **options):
    """fairseq-generate's loop; (the task, utterance -> hypothesis)."""
    task = setup(folder, **options)
    model = model or tiny_model("s2c")
    task.from_checkpoint = True
    task.load_dataset("test")
    data, found = task.datasets["test"], {}
    batches = task.get_batch_iterator(data, max_sentences=batch, num_workers=0).next_epoch_itr(shuffle=False)
    generator = task.build_generator([model], GenerationConfig())
    for sample in batches:
        hypotheses = task.inference_step(generator, [model], sample)
        found |= {number: each for number, (each,) in zip(sample["id"].tolist(), hypotheses, strict=True)}
    return task, found


def table(folder):
    with open(folder / "test/results.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_from_files_to_a_loss(tmp_path):
    tiny_manifest(tmp_path, 4, job="s2c", samples=SAMPLES)
    task = setup(tmp_path, crop_samples=6000)
    task.load_dataset("train")
    data = task.datasets["train"]
    batch = data.collater([data[row] for row in range(4)])
    model = SpeechT5Model.build_model(tiny_config(), task)
    criterion = S2CCriterion.build_criterion(S2CCriterionConfig(), task)
    loss, size, _ = criterion(model.train(), batch)
    assert size == 4 and loss.isfinite() and task.classes == list(CLASSES)
    assert batch["net_input"]["sample_lengths"].tolist() == [6000, 5000, 6000, 6000]
    assert model.speaker_head.projection.weight.shape == (len(CLASSES), 24) and model.vocabulary is None
    assert task.source_dictionary is None


def test_generation_tells_classes_and_accuracy(tmp_path, capsys):
    tiny_manifest(tmp_path, 4, job="s2c", split="test", samples=SAMPLES)
    model = tiny_model("s2c")
    out = tmp_path / "out"
    task, found = generated(tmp_path, model, results_path=str(out), save_embeddings=True, top_classes=2)
    rows, right = table(out), 0
    assert [row["path"] for row in rows] == [f"{number}.wav" for number in range(4)]
    for number, row in enumerate(rows):
        item = task.datasets["test"][number]
        alone = model.eval()(waveform=item.waveform[None], sample_lengths=torch.tensor([len(item.waveform)])).speaker
        best = alone.logits[0].softmax(-1).topk(2)
        names = [CLASSES[place] for place in best.indices]
        assert row["class"] == names[0] and row["label"] == CLASSES[number]
        assert float(row["probability"]) == pytest.approx(best.values[0].item(), abs=2e-5)
        assert row["classes"].startswith(f"{names[0]} 0.") and f"; {names[1]} 0." in row["classes"]
        assert row["correct"] == ("yes" if names[0] == CLASSES[number] else "no")
        right += row["correct"] == "yes"
        embedding = np.load(out / "test" / row["embedding"])
        np.testing.assert_allclose(embedding, alone.embedding[0].detach(), atol=2e-5)
        line = task.target_dictionary.string(found[number]["tokens"])
        assert line.startswith(f"{number}.wav: {row['classes']}")
        assert line.endswith(f"(is {CLASSES[number]})") == (row["correct"] == "no")
        assert found[number]["score"] == pytest.approx(best.values[0].log().item(), abs=2e-5)
    printed = capsys.readouterr().out
    assert f"Classified test: 4 utterances, 5 classes; accuracy {25 * right:.2f}% ({right} of 4)" in printed


@pytest.mark.parametrize("pooling", ["decoder", "mean", "attentive"])
def test_alone_and_in_a_batch(tmp_path, pooling):
    tiny_manifest(tmp_path, 4, job="s2c", split="test", samples=SAMPLES)
    model = tiny_model("s2c", speaker_pooling=pooling, speaker_loss="aam", speaker_embedding_dim=5)
    for name, batch in (("batched", 4), ("alone", 1)):
        generated(tmp_path, model, batch=batch, results_path=str(tmp_path / name), save_embeddings=True, top_classes=5)
    for batched, alone in zip(table(tmp_path / "batched"), table(tmp_path / "alone"), strict=True):
        assert batched["class"] == alone["class"]
        assert float(batched["probability"]) == pytest.approx(float(alone["probability"]), abs=1e-4)
        vectors = (np.load(tmp_path / name / "test" / alone["embedding"]) for name in ("batched", "alone"))
        np.testing.assert_allclose(*vectors, atol=1e-4)


def test_speech_of_unknown_class(tmp_path, capsys):
    """A manifest of paths and samples; its dictionary still names the classes."""
    tiny_manifest(tmp_path, 1, job="s2c")
    path = tiny_manifest(tmp_path, 2, job="s2c", split="test")
    path.write_text("".join(line.rpartition("\t")[0] + "\n" if "\t" in line else line for line in path.open()))
    with pytest.raises(DataError, match="no third column"):
        setup(tmp_path).load_dataset("test")
    _, found = generated(tmp_path, unlabelled=True, results_path=str(tmp_path / "out"))
    assert len(found) == 2 and "accuracy" not in capsys.readouterr().out
    for row in table(tmp_path / "out"):
        assert row["class"] in CLASSES and (row["label"], row["correct"], row["embedding"]) == ("", "", "")


def test_labels_are_not_read_where_they_are_not_wanted(tmp_path):
    path = tiny_manifest(tmp_path, 2, job="s2c", split="test")
    path.write_text(path.read_text().replace("ben", "somebody"))
    with pytest.raises(DataError, match="test.tsv:3: the class 'somebody' is not in"):
        generated(tmp_path)
    assert len(generated(tmp_path, unlabelled=True)[1]) == 2


def test_without_a_folder_nothing_is_written(tmp_path, capsys):
    tiny_manifest(tmp_path, 2, job="s2c", split="test")
    before = set(tmp_path.rglob("*"))
    generated(tmp_path)
    assert {path.name for path in set(tmp_path.rglob("*")) - before} <= {"test.tsv.verified"}
    assert "accuracy" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--save-embeddings needs a folder: give --results-path OUT"):
        generated(tmp_path, save_embeddings=True)


def test_what_an_interrupted_run_leaves_is_of_one_model(tmp_path):
    """Rows and embeddings of before would stand for another checkpoint's; files that are none of ours stay."""
    tiny_manifest(tmp_path, 3, job="s2c", split="test")
    folder = tmp_path / "out/test"
    generated(tmp_path, results_path=str(tmp_path / "out"), save_embeddings=True)
    results = folder / "results.tsv"
    results.write_text(results.read_text().replace("\t2.npy\n", "\t../2.npy\n"))
    for path in ("mine.npy", "../2.npy"):
        (folder / path).write_bytes(b"x")
    task = setup(tmp_path, results_path=str(tmp_path / "out"), save_embeddings=True)
    task.load_dataset("test")
    task.build_generator([tiny_model("s2c")], GenerationConfig())
    assert table(tmp_path / "out") == [] and (tmp_path / "out/2.npy").is_file()
    assert {path.name for path in folder.glob("[!.]*")} == {"results.tsv", "mine.npy", "2.npy"}
    with pytest.raises(DataError, match="no embedding there; generate it again with --save-embeddings"):
        embedding_files(folder)


def test_the_table_of_generated_speech_is_never_overwritten(tmp_path):
    tiny_manifest(tmp_path, 2, job="s2c", split="test")
    ResultsFolder(tmp_path / "out/test", {}).add("0", status="ok", text="scored")
    with pytest.raises(ValueError, match="out/test holds generated speech, whose results.tsv would be lost; give"):
        generated(tmp_path, results_path=str(tmp_path / "out"))
    (tmp_path / "out/test/run.json").unlink()
    with pytest.raises(ValueError, match="out/test holds generated speech, whose results.tsv would be lost; give"):
        generated(tmp_path, results_path=str(tmp_path / "out"))
    assert table(tmp_path / "out")[0]["text"] == "scored"


def test_scores_that_are_no_numbers_end_the_run(tmp_path):
    tiny_manifest(tmp_path, 2, job="s2c", split="test")
    model = tiny_model("s2c")
    with torch.no_grad():
        model.speaker_head.projection.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"\d.wav: the model's scores are NaN or infinite: the checkpoint is broken"):
        generated(tmp_path, model)


@pytest.mark.parametrize(
    "top, said",
    [(0, "--top-classes 0: give a whole number above 0"), (6, "--top-classes is 6; give 1 to 5, the number")],
)
def test_no_more_classes_than_there_are(tmp_path, top, said):
    tiny_manifest(tmp_path, 2, job="s2c", split="test")
    with pytest.raises(ValueError, match=said):
        generated(tmp_path, top_classes=top)


def test_what_would_have_no_effect_is_said(tmp_path, caplog):
    tiny_manifest(tmp_path, 2, job="s2c", split="test")
    tiny_manifest(tmp_path, 2, job="s2c")
    setup(tmp_path, top_classes=2, save_embeddings=True).build_model(model_options(postnet_layers=4))
    assert "no effect: --top-classes 2, --save-embeddings True; training does not generate" in caplog.text
    assert "no effect: --postnet-layers 4" in caplog.text
    generated(tmp_path, crop_samples=9000, max_speech_samples=10)
    assert "no effect: --crop-samples 9000; only training crops" in caplog.text
    assert "no effect: --max-speech-samples 10; only training leaves rows out" in caplog.text
    task = setup(tmp_path)
    task.load_dataset("test")
    with pytest.raises(ValueError, match="--nbest .now 2. has no effect in class decoding: .*--top-classes"):
        task.build_generator([tiny_model("s2c")], GenerationConfig(nbest=2))
    with pytest.raises(ValueError, match="--unlabelled is for generation, and training needs classes"):
        setup(tmp_path, unlabelled=True).load_dataset("train")


def test_a_part_of_a_split_is_never_called_whole(tmp_path):
    tiny_manifest(tmp_path, 2, job="s2c", split="test")
    with pytest.raises(ValueError, match="--distributed-world-size 2 would classify a part of the split"):
        generated(tmp_path, distributed_world_size=2)
    with pytest.raises(ValueError, match="--num-shards 2 has no effect in fairseq-generate, and every run would do"):
        generated(tmp_path, num_shards=2)


def test_one_run_writes_at_a_time(tmp_path):
    tiny_manifest(tmp_path, 2, job="s2c", split="test")
    out = tmp_path / "out"
    generated(tmp_path, results_path=str(out))
    with locked_elsewhere(out / "test/.lock") as held:
        assert held and len(table(out)) == 2
        with pytest.raises(ValueError, match="another run writes to .*out/test; wait for its end"):
            generated(tmp_path, results_path=str(out))
        assert len(table(out)) == 2


def test_validation_has_no_table(tmp_path, capsys):
    """fairseq-validate visits the same batches without a generator."""
    tiny_manifest(tmp_path, 2, job="s2c", split="test")
    task = setup(tmp_path)
    task.from_checkpoint = True
    task.load_dataset("test")
    batches = task.get_batch_iterator(task.datasets["test"], max_sentences=2, num_workers=0)
    assert len(list(batches.next_epoch_itr(shuffle=False))) == 1 and not capsys.readouterr().out

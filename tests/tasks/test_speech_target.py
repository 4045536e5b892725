"""The tasks with a speech target: from files to a loss, and what generation does with rows that are bad or done."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from checkpoints import tiny_checkpoint
from fairseq.dataclass.configs import GenerationConfig
from helpers import NEW_RUN, model_options, tiny_config, tiny_manifest, tiny_model, tiny_piece_model, write_lines

from speecht5_fairseq.criterions.speech import SpeechCriterion, SpeechCriterionConfig
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.checkpoint import OUR_MARK
from speecht5_fairseq.tasks.s2s import S2STask, S2STaskConfig
from speecht5_fairseq.tasks.t2s import T2STask, T2STaskConfig

KINDS = {"t2s": (T2STask, T2STaskConfig), "s2s": (S2STask, S2STaskConfig)}
SAMPLES = [9000, 5000, 7000]


def setup(job, folder, *, from_checkpoint=False, **options):
    task, config = KINDS[job]
    defaults = {"results_path": None, "checkpoint_path": None, "gen_subset": "test", "vocoder": "none"}
    defaults |= {"model_overrides": "{}", "fp16": False}
    cfg = config(data=str(folder), seed=1, train_subset="train", **{**NEW_RUN, **defaults, **options})
    return task.setup_task(cfg, from_checkpoint=from_checkpoint)


def generating(job, folder, saved=None, **options):
    """A task as fairseq-generate has it, with its data loaded and its generator built."""
    task = setup(job, folder, results_path=str(folder / "out"), **options)
    task.load_dataset("test", task_cfg=saved)
    model = tiny_model(job)
    return task, model, task.build_generator([model], GenerationConfig())


def run(task, model, generator):
    """The loop of fairseq-generate; (ids generated, exit status)."""
    data, visited = task.datasets["test"], []
    batches = task.get_batch_iterator(data, max_sentences=2, num_workers=0).next_epoch_itr(shuffle=False)
    try:
        for sample in batches:
            if "net_input" in sample:
                task.inference_step(generator, [model], sample)
                visited += sample["id"].tolist()
    except SystemExit as ended:
        return sorted(visited), ended.code
    return sorted(visited), 0


@pytest.mark.parametrize("job", KINDS)
def test_from_files_to_a_loss(job, tmp_path):
    tiny_manifest(tmp_path, 3, job=job, samples=SAMPLES)
    task = setup(job, tmp_path)
    task.load_dataset("train")
    data = task.datasets["train"]
    batch = data.collater([data[row] for row in range(3)])
    model = SpeechT5Model.build_model(tiny_config(), task)
    criterion = SpeechCriterion.build_criterion(SpeechCriterionConfig(sentence_avg=False), task)
    loss, size, _ = criterion(model.train(), batch)
    assert size == sum(2 * ((1 + length // 256) // 2) for length in SAMPLES) and loss.isfinite()
    assert task.target_dictionary is None and task.source_dictionary is None


@pytest.mark.parametrize("job", KINDS)
def test_targets_shorter_than_a_step_of_the_built_model_are_left_out(job, tmp_path):
    """Six frames a step: 1280 samples. A batch of the short row alone would end the training."""
    for split in ("train", "valid"):
        tiny_manifest(tmp_path, 3, job=job, split=split, samples=[9000, 1279, 1280])
    task = setup(job, tmp_path)
    model = task.build_model(model_options(reduction_factor=6))
    task.load_dataset("train")
    data = task.datasets["train"]
    row = {"t2s": 1, "s2s": 0}[job]  # in s2s a row's target is the next row's source
    assert sorted(data.ordered_indices().tolist()) == [other for other in range(3) if other != row]
    (line,) = (tmp_path / "train.left_out.tsv").read_text().splitlines()[1:]
    assert line.startswith(f"{row + 2}\t{row}.wav\t") and line.endswith("target shorter than 1280 samples")
    criterion = SpeechCriterion.build_criterion(SpeechCriterionConfig(sentence_avg=False), task)
    for kept in data.ordered_indices():
        assert criterion(model.train(), data.collater([data[kept]]))[0].isfinite()
    with pytest.raises(ValueError, match=rf"valid.tsv:{row + 2}: 1279 samples .*target shorter than 1280 .*allow-left"):
        task.load_dataset("valid")


@pytest.mark.parametrize("job", KINDS)
def test_generation_writes_all_and_a_second_run_has_nothing_to_do(job, tmp_path, capsys):
    tiny_manifest(tmp_path, 3, job=job, split="test", samples=SAMPLES)
    options = {"max_length_ratio": 2.0}
    assert run(*generating(job, tmp_path, **options)) == ([0, 1, 2], 0)
    table = (tmp_path / "out/test/results.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in table] == ["id", "0", "1", "2"]
    assert "Generated test: 3 of 3 utterances" in capsys.readouterr().out
    (tmp_path / "out/test/1.npy").unlink()
    assert run(*generating(job, tmp_path, **options)) == ([1], 0)
    assert run(*generating(job, tmp_path, **options)) == ([], 0)
    assert "3 of 3" in capsys.readouterr().out


@pytest.mark.parametrize("job", KINDS)
def test_results_do_not_replace_the_recordings(job, tmp_path):
    tiny_manifest(tmp_path, 2, job=job, split="test", samples=SAMPLES[:2])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "test").symlink_to(tmp_path / "audio_test")
    before = {file.name: file.read_bytes() for file in (tmp_path / "audio_test").iterdir()}
    with pytest.raises(ValueError, match="the recordings of .*test.tsv are in .*out/test, and results would replace"):
        generating(job, tmp_path)
    assert {file.name: file.read_bytes() for file in (tmp_path / "audio_test").iterdir()} == before


def test_bad_rows_are_written_down_and_the_status_says_so(tmp_path, capsys):
    """Row 1 is known to be bad before the run (its text), row 2 only while it runs (its vector goes away)."""
    manifest = tiny_manifest(tmp_path, 4, job="t2s", split="test", samples=[*SAMPLES, 8000])
    lines = manifest.with_suffix(".txt").read_text().splitlines()
    manifest.with_suffix(".txt").write_text("\n".join([lines[0], "ß", *lines[2:]]) + "\n")
    task, model, generator = generating("t2s", tmp_path, max_length_ratio=2.0)
    (tmp_path / "audio_test/2.wav.npy").unlink()
    visited, status = run(task, model, generator)
    assert visited == [0, 3] and "2 utterances failed" in status
    assert "every symbol is unknown" in task.results.failed["1"] and "no readable speaker" in task.results.failed["2"]
    assert "2 failed: 1, 2" in capsys.readouterr().out
    np.save(tmp_path / "audio_test/2.wav.npy", np.ones(512, dtype=np.float32))
    visited, status = run(*generating("t2s", tmp_path, max_length_ratio=2.0))
    assert visited == [2] and "1 utterances failed" in status  # failures are tried again


def test_a_bad_row_that_left_the_manifest_fails_no_run(tmp_path, capsys):
    """Nor does another manifest of the same split name take the place of this one's results."""
    tiny_manifest(tmp_path, 3, job="s2s", split="test", samples=[9000, 300, 7000])
    assert "1 utterances failed" in run(*generating("s2s", tmp_path, max_length_ratio=2.0))[1]
    manifest = tmp_path / "test.tsv"
    lines = manifest.read_text().splitlines()
    write_lines(manifest, [line for line in lines if not line.startswith("1.wav")])
    assert run(*generating("s2s", tmp_path, max_length_ratio=2.0)) == ([], 0)
    assert "Generated test: 2 of 2 utterances" in capsys.readouterr().out
    write_lines(manifest, [lines[0], lines[2]])
    with pytest.raises(ValueError, match="results of another manifest .none of its 2 utterances, such as 0, is in"):
        generating("s2s", tmp_path, max_length_ratio=2.0)


def test_a_row_outside_the_root_is_written_down_too(tmp_path):
    manifest = tiny_manifest(tmp_path, 3, job="s2s", split="test", samples=SAMPLES)
    manifest.write_text(manifest.read_text().replace("\n1.wav", "\n../1.wav"))
    (tmp_path / "1.wav").write_bytes((tmp_path / "audio_test/1.wav").read_bytes())
    task, model, generator = generating("s2s", tmp_path, max_length_ratio=2.0)
    visited, status = run(task, model, generator)
    assert visited == [0, 2] and "1 utterances failed" in status
    (reason,) = task.results.failed.values()
    assert reason.startswith(f"{manifest}:3: the path leads out of the audio root")


def test_a_source_too_short_for_the_encoder_is_written_down_too(tmp_path):
    tiny_manifest(tmp_path, 3, job="s2s", split="test", samples=[9000, 300, 7000])
    task, model, generator = generating("s2s", tmp_path, max_length_ratio=2.0)
    visited, status = run(task, model, generator)
    assert visited == [0, 2] and "1 utterances failed" in status
    assert task.results.failed == {"1": "shorter than 400 samples"}


def test_other_text_options_do_not_mix_with_results(tmp_path):
    tiny_manifest(tmp_path, 1, job="t2s", split="test", samples=SAMPLES[:1])
    run(*generating("t2s", tmp_path, max_length_ratio=2.0))
    with pytest.raises(ValueError, match="results of another run .other: text_ends."):
        generating("t2s", tmp_path, max_length_ratio=2.0, text_ends="both")
    spm_model = str(tiny_piece_model(tmp_path / "spm.model"))
    with pytest.raises(ValueError, match="results of another run .other: sentencepiece."):
        generating("t2s", tmp_path, max_length_ratio=2.0, spm_model=spm_model)


def test_a_line_that_is_not_utf8_is_written_down_too(tmp_path):
    manifest = tiny_manifest(tmp_path, 2, job="t2s", split="test", samples=SAMPLES[:2])
    labels = manifest.with_suffix(".txt")
    labels.write_bytes(labels.read_bytes().splitlines()[0] + b"\n\xff\xfe\n")
    task, model, generator = generating("t2s", tmp_path, max_length_ratio=2.0)
    visited, status = run(task, model, generator)
    assert visited == [0] and "1 utterances failed" in status and "not UTF-8" in task.results.failed["1"]


def test_a_run_goes_on_with_the_rows_that_changed(tmp_path):
    """Another text and another voice are done again, a manifest written anew is not."""
    manifest = tiny_manifest(tmp_path, 3, job="t2s", split="test", samples=SAMPLES)
    run(*generating("t2s", tmp_path, max_length_ratio=2.0))
    manifest.write_text(manifest.read_text())
    lines = manifest.with_suffix(".txt").read_text().splitlines()
    write_lines(manifest.with_suffix(".txt"), [lines[0], "▁ A B", lines[2]])
    np.save(tmp_path / "audio_test/2.wav.npy", np.ones(512, dtype=np.float32))
    assert run(*generating("t2s", tmp_path, max_length_ratio=2.0)) == ([1, 2], 0)


@pytest.mark.parametrize("job", KINDS)
def test_precisions_of_generation(job, tmp_path):
    """The same speech to their rounding, in files of float32; and not the same bits, so each takes effect."""
    tiny_manifest(tmp_path, 3, job=job, split="test", samples=SAMPLES)
    found = {}
    for precision in ("float32", "float16", "bfloat16", "float64"):
        path = tmp_path / precision
        task = setup(job, tmp_path, results_path=str(path), max_length_ratio=2.0, generation_precision=precision)
        task.load_dataset("test")
        model = tiny_model(job)
        assert run(task, model, task.build_generator([model], GenerationConfig())) == ([0, 1, 2], 0)
        found[precision] = np.concatenate([np.load(path / f"test/{row}.npy") for row in range(3)])
    assert {mel.dtype for mel in found.values()} == {np.dtype(np.float32)}
    for precision, tolerance in (("float32", 1e-4), ("float16", 5e-3), ("bfloat16", 5e-2)):
        difference = np.abs(found[precision] - found["float64"]).max()
        assert 0 < difference < tolerance, precision
    with pytest.raises(ValueError, match="--fp16 and --generation-precision float64 exclude each other"):
        generating(job, tmp_path, fp16=True, generation_precision="float64")


def test_a_part_of_a_split_is_never_called_whole(tmp_path, monkeypatch):
    tiny_manifest(tmp_path, 2, job="t2s", split="test", samples=SAMPLES[:2])
    task, *_ = generating("t2s", tmp_path)
    with pytest.raises(ValueError, match="--distributed-world-size 2 would make a part of the split"):
        task.get_batch_iterator(task.datasets["test"], max_sentences=2, num_shards=2)
    with pytest.raises(ValueError, match="--num-shards 2 has no effect in fairseq-generate, and every run would do"):
        generating("t2s", tmp_path, num_shards=2)
    monkeypatch.setattr("speecht5_fairseq.tasks.speech_target.process_count", lambda: 2)
    with pytest.raises(ValueError, match="--distributed-world-size 2 would make a part of the split"):
        generating("t2s", tmp_path)  # before the second process finds the folder locked


def test_training_stops_at_bad_rows(tmp_path):
    tiny_manifest(tmp_path, 3, job="t2s", samples=SAMPLES)
    np.save(tmp_path / "audio_train/2.wav.npy", np.ones(192, dtype=np.float32))
    with pytest.raises(DataError, match=r"train.tsv:4: .*a speaker vector of shape \(192,\)"):
        setup("t2s", tmp_path).load_dataset("train")


def test_synthesis_needs_no_recordings(tmp_path):
    tiny_manifest(tmp_path, 2, job="t2s", split="test", samples=SAMPLES[:2])
    for number in range(2):
        (tmp_path / f"audio_test/{number}.wav").unlink()
    task, model, generator = generating("t2s", tmp_path, max_length_ratio=2.0)
    assert run(task, model, generator) == ([0, 1], 0)
    assert {row["reference"] for row in task.results.rows.values()} == {""}


def test_the_table_names_texts_and_recordings_plainly(tmp_path):
    tiny_manifest(tmp_path, 2, job="s2s", split="test", samples=SAMPLES[:2])
    write_lines(tmp_path / "test.txt", ["first", "second"])
    task, *_ = generating("s2s", tmp_path)
    audio = tmp_path / "audio_test"
    assert task.describe(0) == {
        "name": "0",
        "inputs": task.inputs[0],
        "text": "first",
        "reference": str(audio / "1.wav"),
        "speaker": str(audio / "1.wav.npy"),
        "source": str(audio / "0.wav"),
    }


@pytest.mark.parametrize("given, saved, expected", [(None, None, 0), (None, "eos", 1), ("both", "eos", 2)])
def test_the_ends_of_texts_travel_in_the_checkpoint(tmp_path, given, saved, expected):
    tiny_manifest(tmp_path, 1, job="t2s", split="test", samples=SAMPLES[:1])
    task, *_ = generating("t2s", tmp_path, SimpleNamespace(text_ends=saved, text_normaliser=None), text_ends=given)
    data = task.datasets["test"]
    assert len(data[0].texts[0]) - len(data.text.labels.pieces(0)) == expected


@pytest.mark.parametrize(
    "there, given, warned",
    [
        ("eos", None, True),
        ("eos", "eos", False),
        ("eos", "both", True),
        (None, "eos", True),
        (None, None, False),
        (None, "none", False),
    ],
)
def test_a_training_that_reads_its_texts_otherwise_than_its_start_is_told(tmp_path, caplog, there, given, warned):
    tiny_manifest(tmp_path, 1, job="t2s", samples=SAMPLES[:1])
    start = tiny_checkpoint(tmp_path / "start.pt", "t2s", task_options={"text_ends": there})
    setup("t2s", tmp_path, finetune_from_model=str(start), text_ends=given).build_model(model_options())
    said = f"--text-ends is {given or 'none'} here, and was {there or 'none'} in the run of {start}, .*: add --text"
    assert bool(re.search(said, caplog.text)) == warned == ("--text-ends" in caplog.text)


def test_options_of_generation_have_no_effect_in_training(tmp_path, caplog):
    tiny_manifest(tmp_path, 1, job="t2s", samples=SAMPLES[:1])
    setup("t2s", tmp_path, vocoder="griffin-lim").build_model(model_options())
    assert "training does not generate" not in caplog.text
    setup("t2s", tmp_path, stop_threshold=0.4, max_text_symbols=9).build_model(model_options())
    assert "no effect: --stop-threshold 0.4, --vocoder none, --max-text-symbols 9; training does not gen" in caplog.text


def test_speech_needs_a_folder(tmp_path):
    tiny_manifest(tmp_path, 1, job="t2s", split="test", samples=SAMPLES[:1])
    task = setup("t2s", tmp_path)
    task.load_dataset("test")
    with pytest.raises(ValueError, match="give --results-path OUT"):
        task.build_generator([tiny_model("t2s")], GenerationConfig())


def test_the_sources_phases_need_a_prediction_from_the_source(tmp_path):
    tiny_manifest(tmp_path, 1, job="s2s", split="test", samples=SAMPLES[:1])
    with pytest.raises(ValueError, match="--vocoder source scales the source.*this one predicts mel frames"):
        generating("s2s", tmp_path, vocoder="source")


def test_another_checkpoint_does_not_mix_with_its_results(tmp_path):
    tiny_manifest(tmp_path, 1, job="t2s", split="test", samples=SAMPLES[:1])
    checkpoint = tmp_path / "checkpoint.pt"
    torch.save({"model": {OUR_MARK: torch.zeros(1)}}, checkpoint)
    options = {"checkpoint_path": str(checkpoint), "max_length_ratio": 2.0}
    run(*generating("t2s", tmp_path, **options))
    torch.save({"model": {OUR_MARK: torch.zeros(1)}, "epoch": 2}, checkpoint)
    with pytest.raises(ValueError, match="results of another run .other: files."):
        generating("t2s", tmp_path, **options)
    assert run(*generating("t2s", tmp_path, **options, overwrite_results=True)) == ([0], 0)
    assert Path(tmp_path / "out/test/0.npy").is_file()


@pytest.mark.parametrize("option", ["vocoder", "text_normaliser"])
def test_another_function_of_the_same_name_does_not_mix_with_its_results(tmp_path, option, monkeypatch):
    tiny_manifest(tmp_path, 1, job="t2s", split="test", samples=SAMPLES[:1])
    own = tmp_path / f"own_{option}.py"
    imports = ["from helpers import shout", "from speecht5_fairseq.generation.griffin_lim import GriffinLim"]
    write_lines(own, [*imports, "def build(device):", "    return GriffinLim(iterations=1)"])
    monkeypatch.syspath_prepend(tmp_path)
    function = {"vocoder": "build", "text_normaliser": "shout"}[option]
    options = {option: f"{own.stem}:{function}", "max_length_ratio": 2.0}
    assert run(*with_pieces(tmp_path, **options)) == ([0], 0)
    assert run(*with_pieces(tmp_path, **options)) == ([], 0)
    own.write_text(own.read_text() + "# another\n")
    with pytest.raises(ValueError, match="results of another run .other: files."):
        with_pieces(tmp_path, **options)


def with_pieces(folder, saved=None, **options):
    return generating("t2s", folder, saved, spm_model=str(tiny_piece_model(folder / "spm.model")), **options)


def test_a_function_that_the_checkpoint_names_is_not_run(tmp_path):
    """As normaliser; what the user gives in this call is run, and a language travels."""
    manifest = tiny_manifest(tmp_path, 1, job="t2s", split="test", samples=SAMPLES[:1])
    write_lines(manifest.with_suffix(".txt"), [str(tmp_path / "intruded")])
    saved = SimpleNamespace(text_ends=None, text_normaliser="checkpoints:intrude_with")
    with pytest.raises(
        DataError, match="the checkpoint: its text_normaliser is 'checkpoints:intrude_with', a function"
    ):
        with_pieces(tmp_path, saved)
    assert not (tmp_path / "intruded").exists()
    task, *_ = with_pieces(tmp_path, saved, text_normaliser="helpers:shout")
    assert task.datasets["test"].text.labels.normaliser == "helpers:shout"
    saved.text_normaliser = "en"
    task, *_ = with_pieces(tmp_path, saved, overwrite_results=True)
    assert task.datasets["test"].text.labels.normaliser == "en"


@pytest.mark.parametrize("option", ["text_normaliser", "vocoder"])
def test_options_that_came_with_the_checkpoint_name_no_functions(tmp_path, option):
    """fairseq-validate makes the task of the checkpoint's own options."""
    tiny_manifest(tmp_path, 1, job="t2s", split="test", samples=SAMPLES[:1])
    spm_model = str(tiny_piece_model(tmp_path / "spm.model"))
    options = {"spm_model": spm_model, "results_path": str(tmp_path / "out"), option: "checkpoints:intrude_with"}
    task = setup("t2s", tmp_path, from_checkpoint=True, **options)
    with pytest.raises(ValueError, match="'checkpoints:intrude_with'.*checkpoint names"):
        task.load_dataset("test", task_cfg=task.cfg)
        task.build_generator([tiny_model("t2s")], GenerationConfig())

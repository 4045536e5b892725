"""fairseq-train: pre-training, fine-tuning, resuming, and two processes."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from commands import (
    LEGACY,
    NOISE,
    differing,
    finish,
    load,
    logged,
    pretraining,
    recognition,
    run,
    start,
    synthesis,
    two_processes,
)


def test_fine_tuning_starts_from_the_pretrained_nets(pretrained, recognizer):
    start = load(pretrained / "checkpoint_last.pt")["model"]
    frozen = load(recognizer / "checkpoint_1_2.pt")["model"]
    end = load(recognizer / "checkpoint_last.pt")["model"]
    encoder = {name for name in end if name.startswith(("encoder.", "speech_encoder_prenet."))}
    assert all(torch.equal(frozen[name], start[name]) for name in encoder)  # two updates without it
    moved = {name for name in encoder if not torch.equal(end[name], start[name])}
    assert moved == encoder
    assert not any(torch.equal(frozen[name], start[name]) for name in start if name.startswith("decoder."))
    assert not any(name.startswith(("unit_head.", "quantizer.", "speech_decoder")) for name in end)
    assert any(name.startswith("ctc_head.") for name in end)


def test_a_fine_tuning_has_hours_of_its_own(data, pretrained, tmp_path):
    """--stop-time-hours counts those of this training, not of the one that made the model; a resumed run counts on."""
    start = load(pretrained / "checkpoint_last.pt")
    start["extra_state"]["previous_training_time"] = 36_000.0
    torch.save(start, tmp_path / "start.pt")
    options = ["--finetune-from-model", tmp_path / "start.pt", "--stop-time-hours", 1, "--save-dir", tmp_path / "new"]
    run("fairseq-train", *recognition(data, *options, "--max-update", 3))
    end = load(tmp_path / "new/checkpoint_last.pt")
    assert end["optimizer_history"][-1]["num_updates"] == 3
    assert 0 < end["extra_state"]["previous_training_time"] < 3600
    end["extra_state"]["previous_training_time"] = 36_000.0
    torch.save(end, tmp_path / "new/checkpoint_last.pt")
    run("fairseq-train", *recognition(data, *options, "--max-update", 9))
    assert load(tmp_path / "new/checkpoint_last.pt")["optimizer_history"][-1]["num_updates"] < 9


def test_pretraining_resumes_bit_for_bit(data, pretrained, tmp_path):
    """Stopped after two of four updates and continued, both with two workers, against a straight run without any."""
    noise = [*NOISE, "--save-dir", tmp_path, "--num-workers", 2]
    run("fairseq-train", *pretraining(data, *noise, "--max-update", 2))
    halfway = load(tmp_path / "checkpoint_last.pt")
    assert not differing(halfway["model"], load(pretrained / "checkpoint_1_2.pt")["model"])
    output = run("fairseq-train", *pretraining(data, *noise))
    assert "Loaded checkpoint" in output and "@ 2 updates" in output
    straight, resumed = load(pretrained / "checkpoint_last.pt"), load(tmp_path / "checkpoint_last.pt")
    assert not differing(straight["model"], resumed["model"])
    assert straight["optimizer_history"][-1]["num_updates"] == resumed["optimizer_history"][-1]["num_updates"] == 4
    assert differing(halfway["model"], resumed["model"])


@pytest.mark.parametrize("workers", [0, 2])
def test_fine_tuning_resumes_bit_for_bit(data, pretrained, recognizer, tmp_path, workers):
    """Continued from the straight run's second update, just where the encoder thaws."""
    start = ["--restore-file", recognizer / "checkpoint_1_2.pt", "--freeze-encoder-updates", 2]
    options = [*NOISE, *start, "--save-dir", tmp_path, "--num-workers", workers]
    run("fairseq-train", *recognition(data, *options))
    straight, resumed = load(recognizer / "checkpoint_last.pt"), load(tmp_path / "checkpoint_last.pt")
    assert not differing(straight["model"], resumed["model"])


def test_recomputed_activations_train_bit_for_bit(data, recognizer, tmp_path):
    """Dropout and layerdrop included."""
    start = ["--restore-file", recognizer / "checkpoint_1_2.pt", "--freeze-encoder-updates", 2]
    options = [*NOISE, *start, "--save-dir", tmp_path, "--checkpoint-activations"]
    run("fairseq-train", *recognition(data, *options))
    straight, recomputed = load(recognizer / "checkpoint_last.pt"), load(tmp_path / "checkpoint_last.pt")
    assert recomputed["cfg"]["model"]["checkpoint_activations"]
    assert not differing(straight["model"], recomputed["model"])


def test_adam_changes_to_the_fused_one_and_back_and_resumes_bit_for_bit(data, recognizer, tmp_path):
    """Each goes on from the third update of fairseq's adam, or of the fused one's run from there."""

    def go_on(name: str, optimizer: str, start: Path) -> dict:
        options = [*NOISE, "--freeze-encoder-updates", 2, "--restore-file", start, "--save-dir", tmp_path / name]
        run("fairseq-train", *recognition(data, *options, "--save-interval-updates", 1, "--optimizer", optimizer))
        return load(tmp_path / name / "checkpoint_last.pt")

    fused = go_on("fused", "speecht5_fused_adam", recognizer / "checkpoint_1_2.pt")
    third = tmp_path / "fused/checkpoint_1_3.pt"
    assert not differing(go_on("resumed", "speecht5_fused_adam", third)["model"], fused["model"])
    back = go_on("back", "adam", third)
    straight = load(recognizer / "checkpoint_last.pt")
    for end in (fused, back):
        assert differing(end["model"], load(recognizer / "checkpoint_1_2.pt")["model"])
        torch.testing.assert_close(end["model"], straight["model"], rtol=1e-4, atol=1e-5)
        states = [each["last_optimizer_state"]["state"][0] for each in (end, straight)]
        assert states[0].keys() == states[1].keys() and states[0]["step"] == states[1]["step"]


def code_sums(checkpoint: dict, group: str) -> dict[str, torch.Tensor]:
    """What the perplexities and shares of codes are derived from: counts and probabilities of each code, summed."""
    meters = {key: state for _, key, _, state in checkpoint["extra_state"]["metrics"][group]}
    return {key: meters[key]["sum"] for key in meters if key.startswith(("_codes", "_probs"))}


def test_revived_codes_resume_bit_for_bit_and_are_the_same_on_two_processes(data, tmp_path):
    """Codes are seeded anew in each update: those of 14 that its few frames and tokens have not chosen."""
    options = ["--revive-codes", 1, "--batch-size", 1, "--update-freq", 2, "--save-interval-updates", 2]
    output = run("fairseq-train", *pretraining(data, *options, "--save-dir", tmp_path / "straight"))
    assert "of 14 codes revived" in output
    start = ["--restore-file", tmp_path / "straight/checkpoint_1_2.pt", "--save-dir", tmp_path / "resumed"]
    run("fairseq-train", *pretraining(data, *options, *start))
    straight, resumed = (load(tmp_path / name / "checkpoint_last.pt") for name in ("straight", "resumed"))
    assert not differing(straight["model"], resumed["model"])
    assert torch.equal(straight["task_state"]["unchosen_codes"], resumed["task_state"]["unchosen_codes"])
    options[5] = 1
    two_processes(*pretraining(data, *options, *LEGACY, "--max-update", 2, "--save-dir", tmp_path / "two"))
    one, two = load(tmp_path / "straight/checkpoint_1_2.pt"), load(tmp_path / "two/checkpoint_last.pt")
    for name in ("codebook", "projection.weight", "projection.bias"):
        torch.testing.assert_close(two["model"][f"quantizer.{name}"], one["model"][f"quantizer.{name}"])


@pytest.mark.parametrize("job", [pretraining, recognition, synthesis], ids=lambda job: job.__name__)
def test_two_processes_train_as_one(job, data, tmp_path):
    """Batch k of process r is batch 2k + r of one process with --update-freq 2: the same global batches."""
    common = ["--max-update", 2, "--batch-size", 1, "--save-interval-updates", 1]
    run("fairseq-train", *job(data, *common, "--save-dir", tmp_path / "one", "--update-freq", 2))
    two_processes(*job(data, *common, *LEGACY, "--save-dir", tmp_path / "two"))
    one, two = (load(tmp_path / folder / "checkpoint_last.pt") for folder in ("one", "two"))
    losses = ("speech_loss", "text_loss") if job is pretraining else ("loss",)  # whose mean is derived, and not kept
    first = [logged(load(tmp_path / folder / "checkpoint_1_1.pt")) for folder in ("one", "two")]
    values = [{name: float(logged(end)[name]) for name in (*losses, "gnorm", "wpb", "bsz")} for end in (one, two)]
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    for name in losses:
        assert first[0][name] == pytest.approx(first[1][name], rel=1e-5) and first[0][name] != logged(one)[name]
        assert logged(one, "valid")[name] == pytest.approx(logged(two, "valid")[name], rel=1e-4)
    for group in ("train", "valid"):
        sums = code_sums(one, group)
        assert len(sums) == (4 if job is pretraining else 0)
        torch.testing.assert_close(code_sums(two, group), sums, rtol=1e-3, atol=1)  # a close choice may fall otherwise
    assert one["model"].keys() == two["model"].keys()
    for name, tensor in one["model"].items():
        if "running_" not in name and "num_batches" not in name:  # each process has statistics of its own batches
            torch.testing.assert_close(two["model"][name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_a_run_goes_on_with_another_number_of_processes(data, tmp_path):
    """Two updates of one process with --update-freq 2, then two of two processes; and the other way round."""
    common = ["--batch-size", 1, "--disable-validation", "--save-dir"]
    alone = ["--update-freq", 2]
    run("fairseq-train", *recognition(data, *common, tmp_path / "straight", *alone))
    run("fairseq-train", *recognition(data, *common, tmp_path / "more", *alone, "--max-update", 2))
    two_processes(*recognition(data, *common, tmp_path / "more", *LEGACY))
    two_processes(*recognition(data, *common, tmp_path / "fewer", *LEGACY, "--max-update", 2))
    run("fairseq-train", *recognition(data, *common, tmp_path / "fewer", *alone))
    ends = {folder: load(tmp_path / folder / "checkpoint_last.pt") for folder in ("straight", "more", "fewer")}
    for end in ends.values():
        assert end["optimizer_history"][-1]["num_updates"] == 4
        torch.testing.assert_close(end["model"], ends["straight"]["model"], rtol=1e-4, atol=1e-5)


def test_two_processes_go_on_as_if_they_had_not_stopped(data, tmp_path):
    """Validations included: with BatchNorm's running statistics of its own each process would measure another model."""
    options = ["--batch-size", 1, "--validate-interval-updates", 2, "--save-interval-updates", 2, *LEGACY, "--save-dir"]
    two_processes(*synthesis(data, *options, tmp_path / "straight"))
    start = ["--restore-file", tmp_path / "straight/checkpoint_1_2.pt"]
    two_processes(*synthesis(data, *options, tmp_path / "resumed", *start))
    straight, resumed = (load(tmp_path / name / "checkpoint_last.pt") for name in ("straight", "resumed"))
    assert straight["optimizer_history"][-1]["num_updates"] == 4
    assert not differing(straight["model"], resumed["model"])
    assert logged(straight, "valid")["l1_loss"] == logged(resumed, "valid")["l1_loss"]


def test_processes_that_see_different_checkpoints_do_not_train_together(data, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    run("fairseq-train", *recognition(data, "--save-dir", one, "--max-update", 2))
    output = two_processes(*recognition(data, *LEGACY, "--save-dir", one), second=["--save-dir", other], fails=True)
    different = (
        f"--save-dir {one}: process 0 goes on from update 2 and process 1 from update 0: they see different files"
    )
    assert different in output and not list(other.glob("*.pt"))
    assert load(one / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"] == 2


def test_a_bad_row_ends_all_processes(data, tmp_path):
    """They wait while it verifies, and end with what it found."""
    shutil.copytree(data.s2t, tmp_path / "data")
    manifest = tmp_path / "data/train.tsv"
    root, row, *rows = manifest.read_text().splitlines()
    missing = row.replace(row.split("\t")[0], "missing.wav", 1)
    manifest.write_text("\n".join((root, missing, *rows)) + "\n")
    bad = data._replace(s2t=tmp_path / "data")
    output = two_processes(*recognition(bad, *LEGACY, "--save-dir", tmp_path / "saved"), fails=True)
    assert output.count(f"{manifest}:2: ") >= 2 and "missing.wav: no such audio file" in output


def test_a_process_of_torchrun_that_fairseq_takes_for_the_only_one_is_refused(data, tmp_path):
    process = start("fairseq-train", *recognition(data, "--save-dir", tmp_path), WORLD_SIZE=2, RANK=1)
    assert "add --distributed-world-size 2" in finish(process, fails=True)


def test_two_processes_without_a_backend_that_can_are_told_which_one_can(data, tmp_path):
    output = two_processes(*pretraining(data, "--save-dir", tmp_path), fails=True)
    assert "--ddp-backend pytorch_ddp is for GPUs; with --cpu add --ddp-backend legacy_ddp" in output


@pytest.mark.skipif(find_spec("fairscale") is None, reason="fairscale is installed by hand")
@pytest.mark.parametrize("optimizer", ["adam", "speecht5_fused_adam"])
def test_sharded_optimizer_states_train_as_whole_ones_and_go_on_with_one_process(data, tmp_path, optimizer):
    common = ["--batch-size", 1, "--disable-validation", "--optimizer", optimizer, "--save-dir"]
    two_processes(*recognition(data, *common, tmp_path / "whole", *LEGACY))
    sharded = [*LEGACY, "--zero-sharding", "os"]
    two_processes(*recognition(data, *common, tmp_path / "sharded", *sharded, "--max-update", 2))
    run("fairseq-train", *recognition(data, *common, tmp_path / "sharded", "--update-freq", 2, "--max-update", 3))
    two_processes(*recognition(data, *common, tmp_path / "sharded", *sharded))
    whole, end = (load(tmp_path / folder / "checkpoint_last.pt") for folder in ("whole", "sharded"))
    torch.testing.assert_close(end["model"], whole["model"], rtol=1e-4, atol=1e-5)
    assert end["last_optimizer_state"]["state"].keys() == whole["last_optimizer_state"]["state"].keys()

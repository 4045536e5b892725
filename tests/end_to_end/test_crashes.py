"""Trainings that are broken in every way, and started again by the same command line: the same weights bit for bit."""

import os
import resource
import shutil
import signal
import sys
import time
from contextlib import suppress
from ctypes import CDLL
from pathlib import Path

import pytest
from commands import LEGACY, load, start_cold, two_processes
from stress.jobs import command, make_data
from stress.kills import Moment, differences, train_through
from stress.live import Live, children, parts

from speecht5_fairseq.models.checksum import has_checksum, why_broken

LAST = "checkpoint_last.pt"


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """Job -> (data, --save-dir of its run that was never stopped)."""
    made = {}

    def train(job):
        if job not in made:
            folder = tmp_path_factory.mktemp(job)
            data = make_data(job, folder / "data")
            run = Live(command(job, data, folder / "straight"))
            assert not run.end(), run.output[-6000:]
            made[job] = data, folder / "straight"
        return made[job]

    return train


def updates_of(folder: Path) -> int:
    return load(folder / LAST)["optimizer_history"][-1]["num_updates"]


def goes_on(arguments, folder: Path, straight: Path, *, found: str) -> str:
    """Start the command again: it goes on from there and comes out the same; returns what it printed."""
    run = Live(arguments)
    assert not run.end() and run.found == found, run.output[-6000:]
    assert not differences(folder / LAST, straight / LAST) and not parts(folder)
    return run.output


@pytest.mark.parametrize(
    ("job", "moments"),
    [
        ("pretrain", [Moment("update", 5, 0.02)]),
        ("s2t", [Moment("save", 2, 0.0), Moment("copy", 1, 0.0)]),
        ("t2s", [Moment("update", 7, 0.02)]),
    ],
)
def test_a_killed_training_ends_as_one_that_never_was(job, moments, straight, tmp_path):
    """With dropout, layerdrop, masks, two batches an update and loader workers."""
    data, whole = straight(job)
    kills = train_through(command(job, data, tmp_path), tmp_path, moments)
    assert len(kills) == len(moments)
    for kill in kills:
        assert bool(kill.inside) or kill.moment.kind == "update", kill
    assert not differences(tmp_path / LAST, whole / LAST) and not parts(tmp_path)
    assert all(has_checksum(file) and not why_broken(file) for file in tmp_path.glob("*.pt"))


def test_a_truncated_last_checkpoint_is_kept_aside_and_an_earlier_one_goes_on(straight, tmp_path):
    data, whole = straight("s2t")
    for name in ("checkpoint_2_12.pt", "checkpoint1.pt", LAST):
        shutil.copy2(whole / name, tmp_path / name)
    for name in ("checkpoint_2_12.pt", LAST):
        os.truncate(tmp_path / name, 20_000)
    output = goes_on(command("s2t", data, tmp_path), tmp_path, whole, found="update 10")
    assert f"{tmp_path / LAST}: broken: cut off after 20,000 bytes; kept as {LAST}.broken" in output
    assert (tmp_path / f"{LAST}.broken").stat().st_size == 20_000
    named = command("s2t", data, tmp_path / "new", "--restore-file", tmp_path / f"{LAST}.broken")
    run = Live(named)
    assert run.end() == 1 and f"{LAST}.broken: no readable checkpoint (cut off after 20,000 bytes); copy" in run.output


def test_signals_save_and_stop_and_the_same_command_goes_on(straight, tmp_path):
    """To the whole group, loader workers included, as terminals and schedulers do; in the middle of an epoch."""
    data, whole = straight("s2t")
    arguments = command("s2t", data, tmp_path)
    for number, updates, status in ((signal.SIGINT, 1, 130), (signal.SIGTERM, 4, 143)):
        run = Live(arguments, before=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
        assert run.wait_for_updates(updates)
        run.kill(number)
        assert run.end() == status, run.output[-6000:]
        reached = updates_of(tmp_path)
        assert f"{number.name}: stopped after update {reached}: saved in {tmp_path / LAST}" in run.output
        assert "the same command line goes on from there" in run.output and "Traceback" not in run.output
        assert reached == run.updates[-1] < 12 and not parts(tmp_path)
    goes_on(arguments, tmp_path, whole, found=f"update {reached}")


def under_torchrun(arguments):
    """Two processes, as the README has it; the process of torchrun."""
    group = "--distributed-init-method env:// --distributed-no-spawn --distributed-backend gloo"
    group += " --distributed-world-size $WORLD_SIZE --distributed-rank $RANK"
    program = " ".join([str(Path(sys.executable).with_name("fairseq-train")), *map(str, arguments)])
    command = ["--nproc-per-node", 2, "--standalone", "--no-python", "sh", "-c", f"exec {program} {group}"]
    return start_cold("torchrun", *command)


def test_two_processes_stop_at_the_same_update_where_one_is_asked(straight, tmp_path):
    data, _ = straight("s2t")
    arguments = [folder := tmp_path / "stopped", tmp_path / "never"]
    stopped, never = (command("s2t", data, place, *LEGACY, updates=10) for place in arguments)
    run = under_torchrun(stopped)
    asked = False
    for line in run.stdout:
        if not asked and '"num_updates": "2"' in line:
            second = next(pid for pid in children(run) if "\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_text())
            os.kill(second, signal.SIGTERM)
            asked = True
        if "SIGTERM: stopped after update" in line:
            assert f"saved in {folder / LAST}" in line
    assert run.wait(60) and asked
    reached = updates_of(folder)
    assert 2 <= reached < 10
    assert f"@ {reached} updates" in two_processes(*stopped)
    two_processes(*never)
    assert not differences(folder / LAST, tmp_path / "never" / LAST)


def limited() -> None:
    """No file grows beyond this, more than a batch and less than a checkpoint: what a full disk is to a save."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


def test_a_full_disk_keeps_what_was_there_and_training_goes_on_until_its_last_save(straight, tmp_path):
    data, whole = straight("s2t")
    shutil.copy2(whole / "checkpoint1.pt", tmp_path / LAST)
    before = (tmp_path / LAST).read_bytes()
    arguments = command("s2t", data, tmp_path)
    run = Live(arguments, before=limited)
    assert run.end() == 1, run.output[-6000:]
    assert f"update 12: the checkpoint could not be written to {tmp_path}: File too large (" in run.output
    assert "; the one of update 10 is whole; make the folder writable, with room for another" in run.output
    assert (tmp_path / LAST).read_bytes() == before and not parts(tmp_path)
    goes_on(arguments, tmp_path, whole, found="update 10")


def as_owner_alone() -> None:
    """root may write to any folder; without these capabilities it is a user like others."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def test_a_read_only_folder_is_told_of_and_the_run_goes_on_once_it_is_writable(straight, tmp_path):
    data, whole = straight("s2t")
    arguments = command("s2t", data, tmp_path)
    run = Live(arguments, before=as_owner_alone)
    assert run.wait_for_updates(4)
    tmp_path.chmod(0o555)
    assert run.wait_for(lambda: "could not be written" in run.output)
    tmp_path.chmod(0o755)
    status = run.end()
    assert f"could not be written to {tmp_path}: Permission denied (" in run.output
    assert "is whole; make the folder writable" in run.output
    if not status:
        assert "training goes on and saves again when it is due" in run.output
        assert not differences(tmp_path / LAST, whole / LAST)
    else:  # the folder was writable again too late for the last save
        goes_on(arguments, tmp_path, whole, found=f"update {updates_of(tmp_path)}")


def test_a_vanished_audio_file_ends_the_run_with_its_row_after_a_save(straight, tmp_path):
    data = shutil.copytree(straight("s2t")[0], tmp_path / "data")
    manifest = data / "train.tsv"
    rows = manifest.read_text().splitlines()
    manifest.write_text("\n".join([str(data / "audio_train"), *rows[1:]]) + "\n")
    whole = straight("s2t")[1]
    folder, audio = tmp_path / "out", data / "audio_train"
    arguments = command("s2t", data, folder, "--data-buffer-size", 1)
    run = Live(arguments)
    assert run.wait_for_updates(1)
    audio.rename(tmp_path / "elsewhere")
    assert run.end() == 1
    assert f"{manifest}:" in run.output and ": no such audio file; correct the path" in run.output
    reached = updates_of(folder)
    assert reached == run.updates[-1]
    assert f"the audio root), and the run ends: saved in {folder / LAST}" in run.output
    (tmp_path / "elsewhere").rename(audio)
    goes_on(arguments, folder, whole, found=f"update {reached}")


@pytest.mark.parametrize("buffer", [0, 2])
def test_a_killed_loader_worker_ends_the_run_with_a_mend_after_a_save(buffer, straight, tmp_path):
    """As the system does where memory runs out. Without a buffer torch would tell of it in the middle of an update."""
    data, whole = straight("s2t")
    arguments = command("s2t", data, tmp_path, "--data-buffer-size", buffer)
    run = Live(arguments)
    assert run.wait_for_updates(2)
    while run.process.poll() is None:
        for pid in children(run.process):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    assert run.end() == 1, run.output[-6000:]
    mend = "A process of the data loader was killed, by the system if memory ran out"
    assert mend in run.output, run.output[-6000:]
    reached = updates_of(tmp_path)
    assert reached == run.updates[-1]
    goes_on(arguments, tmp_path, whole, found=f"update {reached}")

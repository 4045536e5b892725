"""TensorBoard's files on a disk that fails."""

import pytest
from fairseq.logging import progress_bar
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from speecht5_fairseq.training.steady_writer import SteadyWriter

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # of the writer's thread


def test_fairseq_makes_its_writers_of_this_kind():
    assert progress_bar.SummaryWriter is SteadyWriter


def scalars(folder):
    """Of all files of a folder, in the order in which they were begun."""
    found = [EventAccumulator(str(file)).Reload() for file in sorted(folder.iterdir())]
    return [event.value for one in found if "loss" in one.Tags()["scalars"] for event in one.Scalars("loss")]


def test_a_full_disk_is_told_of_once_and_what_comes_later_is_written(tmp_path, monkeypatch, caplog):
    writer = SteadyWriter(str(tmp_path / "log"))
    writer.add_scalar("loss", 1, 1)
    writer.flush()
    with monkeypatch.context() as full:
        full.setattr(RecordWriter, "write", lambda self, data: no_space())
        for step in (2, 3, 4, 5):
            writer.add_scalar("loss", step, step)
            writer.flush()
    assert len(list((tmp_path / "log").iterdir())) <= 3  # not one a line of the log
    assert [record.message for record in caplog.records] == [
        f"--tensorboard-logdir: {tmp_path / 'log'} cannot be written ([Errno 28] No space left on device); training "
        "goes on, what cannot be written is lost, and this is not told again"
    ]
    writer.add_scalar("loss", 6, 6)  # it rests
    writer.resting -= writer.REST
    for step in (7, 8):
        writer.add_scalar("loss", step, step)
    writer.close()
    assert scalars(tmp_path / "log") == [1, 7, 8]


def no_space():
    raise OSError(28, "No space left on device")


def test_a_folder_that_cannot_be_made(tmp_path, caplog):
    (tmp_path / "file").write_text("", encoding="utf-8")
    writer = SteadyWriter(str(tmp_path / "file" / "log"))
    writer.add_text("argv", "x")
    writer.add_scalar("loss", 1, 1)
    writer.flush()
    writer.close()
    assert len(caplog.records) == 1 and "Not a directory" in caplog.text

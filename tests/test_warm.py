"""The warm commands of the tests are those that a user types."""

import os
import signal
import subprocess

import pytest
import warm
from commands import USER_DIR, finish, start, start_cold


@pytest.mark.parametrize(
    ("program", "arguments"),
    [("fairseq-train", ["--user-dir", USER_DIR, "--help"]), ("fairseq-generate", ["data", "--task", "unknown"])],
)
def test_a_warm_command_prints_and_ends_as_one_with_a_process_of_its_own(program, arguments):
    cold, hot = (begin(program, *arguments) for begin in (start_cold, start))
    lines = [line for line in cold.stdout if "tensorboardX" not in line]  # told by an import
    assert hot.stdout.readlines() == lines and lines
    assert hot.wait() == cold.wait()


def test_the_run_has_the_arguments_environment_and_folder_of_its_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugin").mkdir()
    code = "import os, sys; print(sys.argv[1:], os.environ['COLOUR'], os.getcwd(), os.getsid(0) == os.getpid())"
    (tmp_path / "plugin/__init__.py").write_text(f"{code}\nsys.exit(7)")
    run = start("fairseq-train", "--user-dir", "plugin", COLOUR="green")
    assert run.stdout.read() == f"['--user-dir', 'plugin'] green {tmp_path} True\n" and run.wait(60) == run.poll() == 7


def test_a_signal_ends_the_run_alone(tmp_path):
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/__init__.py").write_text("import time; print('here', flush=True); time.sleep(600)")
    run = start("fairseq-train", "--user-dir", tmp_path / "slow")
    assert run.stdout.readline() == "here\n" and run.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(0.01)
    os.killpg(run.pid, signal.SIGTERM)
    assert run.wait(60) == -signal.SIGTERM
    assert "usage" in finish(start("fairseq-train", "--help"))


def test_a_server_ends_where_no_one_can_ask_any_more():
    process, requests = warm.server.__wrapped__("fairseq-preprocess")
    requests.close()
    assert process.wait(60) == 0


def test_a_run_without_a_server_is_no_success(monkeypatch):
    server = warm.server.__wrapped__("no-such-command")  # its import fails
    server.process.wait(60)
    monkeypatch.setattr(warm, "server", lambda command: server)
    with pytest.raises((RuntimeError, BrokenPipeError)):
        start("no-such-command")


def test_a_report_that_ends_early_is_no_number():
    report, reported = os.pipe()
    os.write(reported, b"\0" * (warm.NUMBER - 1))
    os.close(reported)
    with pytest.raises(RuntimeError, match="the server of a warm command has ended"):
        warm.read_number(report)
    os.close(report)

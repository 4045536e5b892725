"""SIGINT and SIGTERM: the first is noted, one that is handed on with it too, a later one stops at once."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from speecht5_fairseq.training import stop_signals
from speecht5_fairseq.training.stop_signals import SIGNALS, StopSignals


@pytest.fixture
def signals():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    found = StopSignals()
    found.install()
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_noted_and_says_what_it_does(signals, number, status, capfd):
    assert signals.asked is None and signals.status == 143
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)  # as torchrun hands it on
    assert signals.asked is number and signals.status == status and signals.name == number.name
    assert capfd.readouterr().err == (
        f"{number.name}: saves after this update and stops; the signal once more stops at once\n"
    )


def test_a_later_signal_stops_at_once():
    script = """
        import os, signal, sys
        sys.path.insert(0, "PLACE")
        import stop_signals
        stop_signals.SAME_REQUEST = 0.0
        signals = stop_signals.StopSignals()
        signals.install()
        os.kill(os.getpid(), signal.SIGTERM)
        print(signals.asked.name, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        print("still there", flush=True)
    """
    script = textwrap.dedent(script).replace("PLACE", os.path.dirname(stop_signals.__file__))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGTERM and ended.stdout == "SIGTERM\n"


def test_an_ignored_signal_stays_ignored(signals):
    """As nohup and shells without job control have it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    StopSignals().install()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_forked_process_does_not_take_it_for_its_own(signals):
    child = os.fork()
    if not child:
        os.kill(os.getpid(), signal.SIGINT)
        os._exit(0 if signals.asked is None else 1)
    assert os.waitpid(child, 0)[1] == 0

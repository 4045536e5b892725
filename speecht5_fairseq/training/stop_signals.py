"""SIGINT (Ctrl-C) and SIGTERM (schedulers) in training: the first asks to stop, another one stops at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAME_REQUEST = 2.0  # seconds: torchrun hands on what the terminal has sent to all processes already


class StopSignals:
    """What the signals have asked of this process.

    Attributes:
        asked: the first signal; None before.
    """

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._since = 0.0
        self._process = os.getpid()

    def install(self) -> None:
        """Take the signals over, but for those that are ignored (nohup); without effect outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._receive)

    @property
    def status(self) -> int:
        """Exit status by convention: 128 and the signal; SIGTERM's where another process was asked."""
        return 128 + (self.asked or signal.SIGTERM)

    @property
    def name(self) -> str:
        """Of the signal, as ``status``."""
        return (self.asked or signal.SIGTERM).name

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a loader's worker, which has this handler from its parent and ends with it
        now = time.monotonic()
        if self.asked is None:
            self.asked, self._since = signal.Signals(number), now
            text = f"{self.asked.name}: saves after this update and stops; the signal once more stops at once\n"
            os.write(2, text.encode())  # no logging: the signal may have come in the middle of a line of the log
        elif now - self._since > SAME_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            os.kill(self._process, number)

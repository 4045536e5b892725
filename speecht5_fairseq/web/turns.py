"""Who waits for a model: one request at a time, in the order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .refusals import Refused


class Turns:
    """The queue before one model.

    Attributes:
        present: requests that wait or are served.
    """

    def __init__(self, most_waiting: int) -> None:
        self.most_waiting = most_waiting
        self.present = 0
        self._lock = asyncio.Lock()  # it wakes those who wait in their order

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, and have it within the block.

        Raises:
            Refused: too many wait already.
        """
        if self.present > self.most_waiting:
            raise Refused(f"{self.most_waiting} requests wait for this model already; try again later", 503)
        self.present += 1
        try:
            async with self._lock:
                yield
        finally:
            self.present -= 1

"""What the page says no to, and in which words."""

from __future__ import annotations

from ..data.errors import DataError


class Refused(DataError):
    """A request that is not served; the words are for the page.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.status = status

"""Which nets a job builds. A job is one path through the shared encoder and decoder."""

from __future__ import annotations

from typing import NamedTuple


class Job(NamedTuple):
    """The nets of a job; ``sources`` and ``targets`` are the modalities its pre- and post-nets serve."""

    sources: frozenset[str]
    targets: frozenset[str]
    heads: frozenset[str] = frozenset()


_SPEECH = frozenset({"speech"})
_TEXT = frozenset({"text"})

JOBS: dict[str, Job] = {
    "pretrain": Job(_SPEECH | _TEXT, _SPEECH | _TEXT, frozenset({"units", "quantizer"})),
    "pretrain_speech": Job(_SPEECH, _SPEECH, frozenset({"units", "quantizer"})),
    "s2t": Job(_SPEECH, _TEXT, frozenset({"ctc"})),
    "t2s": Job(_TEXT, _SPEECH),
    "s2s": Job(_SPEECH, _SPEECH),
    "s2c": Job(_SPEECH, frozenset(), frozenset({"speaker"})),
}

"""Which nets a job builds, and which job a checkpoint is for.

A job is one path through the shared encoder and decoder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple


class Job(NamedTuple):
    """The nets of a job; ``sources`` and ``targets`` are the modalities its pre- and post-nets serve."""

    sources: frozenset[str]
    targets: frozenset[str]
    heads: frozenset[str] = frozenset()

    @property
    def has_text(self) -> bool:
        """Whether it reads or writes text, and so has a dictionary of its symbols."""
        return "text" in self.sources | self.targets


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

PRETRAIN = "pretrain"  # one task, with text or without
PREFIX = "speecht5_"  # of the names of tasks
_OWN_HEADS = {"unit_head": "units", "speaker_head": "speaker"}  # that no other job has


def path_nets(job: str) -> set[str]:
    """The pre- and post-nets that a job builds."""
    sources, targets, _ = JOBS[job]
    nets = {f"{source}_encoder_prenet" for source in sources}
    return nets | {f"{target}_decoder_{kind}" for target in targets for kind in ("prenet", "postnet")}


def needed_nets(job: str) -> set[str]:
    """Those without which it is not that job: a CTC head and a quantizer may be missing, by options."""
    return path_nets(job) | {net for net, head in _OWN_HEADS.items() if head in JOBS[job].heads}


NETS = {"encoder", "decoder", *path_nets(PRETRAIN), *_OWN_HEADS, "ctc_head", "quantizer"}


def told_job(task: Mapping[str, Any]) -> str | None:
    """The job of a task's options; None where it is not told, and of pre-training, of which there are two."""
    name = str(task.get("t5_task") or task.get("_name") or "").removeprefix(PREFIX)
    return name if name in JOBS and name != PRETRAIN else None


def job_of_nets(nets: Collection[str]) -> str | None:
    """The one job with just these pre- and post-nets; of two, that whose head is there."""
    own = set(nets) & path_nets(PRETRAIN)
    fitting = [job for job in JOBS if path_nets(job) == own and needed_nets(job) <= set(nets)]
    return max(fitting, key=lambda job: len(needed_nets(job)), default=None)


def job_of(task: Mapping[str, Any], nets: Collection[str]) -> str:
    """The job of a checkpoint: told by its task's options, or by its nets; of few nets (additions) the likeliest."""
    return told_job(task) or job_of_nets(nets) or _likeliest(set(nets))


def _likeliest(nets: set[str]) -> str:
    if "unit_head" in nets:
        return PRETRAIN if "text_decoder_prenet" in nets else "pretrain_speech"
    if "speaker_head" in nets:
        return "s2c"
    if nets & {"text_decoder_prenet", "ctc_head"}:  # additions may have the head alone
        return "s2t"
    return "t2s" if "text_encoder_prenet" in nets else "s2s"

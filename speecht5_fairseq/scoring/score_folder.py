"""Score a folder of generated speech: the numbers of every utterance in its table, and what went wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import joblib
import torch
from tqdm import tqdm

from ..data.errors import DataError
from ..data.plugin import load_function
from .folders import OK, Utterance
from .intelligibility import find_recogniser
from .metrics import ASR, PAIR_METRICS, SOURCE, SPEAKER, Outcome, Plan, score_utterance
from .optional import optional_module
from .results_table import ResultsTable

PROBLEMS = "score_problems"  # column: what the last run could not compute, and why
SMALL_WORK = 32  # utterances that are scored before other processes have imported torch and fairseq


class Problem(NamedTuple):
    """What could not be computed for an utterance."""

    name: str
    reason: str


def score_folder(table: ResultsTable, utterances: Sequence[Utterance], plan: Plan, *, jobs: int = 0) -> list[Problem]:
    """Compute what `plan` names for all utterances and write it into the table's file, new columns beside the old.

    Args:
        jobs: processes; 0 for one a core where there is enough to do. The results do not depend on it.

    Returns:
        What could not be computed; these fields are empty.

    Raises:
        DataError, ValueError, ImportError: what would fail for every utterance, with the mend, before any work.
    """
    check_plan(utterances, plan)
    outcomes = list(_outcomes(utterances, plan, jobs))
    fields = [{**outcome.fields, PROBLEMS: " | ".join(outcome.reasons())} for outcome in outcomes]
    table.set_columns([*plan.columns(), PROBLEMS], fields)
    table.write()
    return [
        Problem(utterance.name, reason)
        for utterance, outcome in zip(utterances, outcomes, strict=True)
        for reason in outcome.reasons()
    ]


def check_plan(utterances: Sequence[Utterance], plan: Plan) -> None:
    """Raise what would fail for every utterance: a missing package or function, no references, no texts."""
    for metric in plan.metrics:
        if metric in PAIR_METRICS and (module := PAIR_METRICS[metric].module):
            optional_module(module)
    wanted = [utterance for utterance in utterances if utterance.status == OK]
    if set(plan.metrics) & set(PAIR_METRICS) or (SPEAKER in plan.metrics and not plan.speaker_vectors):
        _some(wanted, "reference", "no utterance has a reference recording", "give --references FOLDER")
    if SOURCE in plan.systems:
        _some(wanted, "source", "--baseline source: no utterance has a source recording", "give --sources FOLDER")
    if SPEAKER in plan.metrics:
        load_function(plan.speaker_encoder, "--speaker-encoder")
        if plan.speaker_vectors:
            _some(wanted, "speaker", "--speaker-vectors: no utterance has one", "leave the option out")
    if ASR in plan.metrics:
        find_recogniser(plan.asr)
        _some(wanted, "text", "--metrics asr: no utterance has a text", "give --texts FILE")


def _some(utterances: Sequence[Utterance], field: str, problem: str, mend: str) -> None:
    if utterances and all(getattr(utterance, field) is None for utterance in utterances):
        raise DataError(f"{problem}; {mend}")


def _outcomes(utterances: Sequence[Utterance], plan: Plan, jobs: int) -> Iterator[Outcome]:
    """In the order of the utterances, with progress on stderr."""
    if jobs == 1 or (jobs == 0 and len(utterances) < SMALL_WORK):
        results = (score_utterance(utterance, plan) for utterance in utterances)
    else:
        tasks = (joblib.delayed(_in_worker)(utterance, plan) for utterance in utterances)
        results = joblib.Parallel(n_jobs=jobs or _cores(), return_as="generator")(tasks)
    yield from tqdm(results, total=len(utterances), desc="scores", unit="utt")


def _in_worker(utterance: Utterance, plan: Plan) -> Outcome:
    torch.set_num_threads(1)  # as many processes as cores: more threads in each would only fight
    return score_utterance(utterance, plan)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Which job a checkpoint is for: one answer for inspection, conversion and the interface."""

import pytest
from helpers import model_over, tiny_base, tiny_model

from speecht5_fairseq.models.jobs import JOBS, job_of, job_of_nets, told_job
from speecht5_fairseq.models.parts import nets_of


@pytest.mark.parametrize(
    "task, job",
    [
        ({"_name": "speecht5_s2t"}, "s2t"),
        ({"_name": "speecht5", "t5_task": "t2s"}, "t2s"),
        ({"_name": "speecht5_pretrain"}, None),
        ({"_name": "speecht5", "t5_task": "pretrain"}, None),
        ({"_name": "translation"}, None),
        ({"_name": "speecht5"}, None),
        ({}, None),
    ],
)
def test_a_task_tells_its_job(task, job):
    assert told_job(task) == job


@pytest.mark.parametrize("job", JOBS)
def test_the_job_is_told_by_the_task_or_by_the_nets(job):
    nets = nets_of(tiny_model(job).state_dict())
    told = "pretrain" if job == "pretrain_speech" else job
    assert job_of_nets(nets) == job_of({}, nets) == job_of({"_name": "my_task"}, nets) == job
    assert job_of({"_name": "speecht5", "t5_task": told}, nets) == job_of({"_name": f"speecht5_{told}"}, nets) == job


@pytest.mark.parametrize("job", JOBS)
def test_a_checkpoint_of_every_net_is_of_the_job_that_is_told(job):
    """As the published ones are."""
    nets = {net for job in JOBS for net in nets_of(tiny_model(job).state_dict())}
    assert job_of({"t5_task": job}, nets) == job
    assert job_of_nets(nets) == "pretrain"


@pytest.mark.parametrize("job", ["s2t", "s2c", "pretrain"])
def test_additions_are_of_the_likeliest_job(job, tmp_path):
    added = nets_of(model_over(tiny_base(tmp_path / "base.pt", "s2s"), job, lora_rank=2).state_dict())
    assert job_of({}, added) == job


def test_jobs_with_text():
    assert [job for job in JOBS if JOBS[job].has_text] == ["pretrain", "s2t", "t2s"]

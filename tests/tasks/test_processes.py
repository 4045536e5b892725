"""Several processes that train together."""

from speecht5_fairseq.tasks.processes import first_process_first


def test_one_process_is_the_first():
    with first_process_first() as first:
        assert first is True

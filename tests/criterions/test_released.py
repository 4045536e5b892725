"""The published criterion: the accuracy under its published name too."""

import pytest
import torch
from fairseq.logging import metrics

from speecht5_fairseq.criterions.released import CRITERION_FLAGS, ReleasedS2CCriterion, ReleasedS2TCriterion

LOGS = [
    {"loss": torch.tensor(4.0), "correct": torch.tensor(3.0), "tokens": 4, "sample_size": 2, "nsentences": 6},
    {"loss": torch.tensor(2.0), "correct": torch.tensor(1.0), "tokens": 4, "sample_size": 2, "nsentences": 2},
]


@pytest.mark.parametrize(
    "criterion, name, percent", [(ReleasedS2TCriterion, "s2t_accuracy", 50), (ReleasedS2CCriterion, "s2c_accuracy", 50)]
)
def test_the_accuracy_has_its_published_name_too(criterion, name, percent):
    with metrics.aggregate() as found:
        criterion.reduce_metrics(LOGS)
    values = found.get_smoothed_values()
    assert values[name] == values["accuracy"] == pytest.approx(percent)


def test_no_flag_stands_twice():
    names = [flag.name for flag in CRITERION_FLAGS]
    assert len(set(names)) == len(names)

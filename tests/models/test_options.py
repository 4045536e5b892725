"""Options of the model that others leave without effect; of adapters and speakers see their own files."""

import pytest
from helpers import tiny_config, tiny_model

from speecht5_fairseq.models.jobs import JOBS
from speecht5_fairseq.models.options import check_options

CHANNELS = {"mask_channel_prob": 0.5, "mask_channel_length": 7}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"mask_prob": 0.0, "mask_length": 5, **CHANNELS},
            ["no effect: --mask-length 5; it needs --mask-prob above 0"],
        ),
        (
            {"mask_channel_prob": 0.0, "mask_channel_length": 7},
            ["no effect: --mask-channel-length 7; it needs --mask-channel-prob above 0"],
        ),
        ({"mask_prob": 0.1, "mask_length": 5, **CHANNELS}, []),
    ],
)
def test_a_length_of_no_mask_is_told(options, told, caplog):
    check_options(tiny_config(**options), type(tiny_config()), JOBS["s2t"], tiny_model("s2t", **options))
    assert [line for line in caplog.messages if "--mask" in line] == told

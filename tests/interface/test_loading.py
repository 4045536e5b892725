"""Which model a folder of `transformers` is."""

import numpy as np
import pytest
from conversions import full_checkpoint
from helpers import tiny_piece_model

from speecht5_fairseq.convert.formats import convert
from speecht5_fairseq.interface import SpeechT5


@pytest.mark.parametrize("job", ["s2t", "t2s", "s2s"])
def test_a_pre_trained_model_is_of_the_job_that_it_was_made_for_there(tmp_path, job):
    spm = tiny_piece_model(tmp_path / "spm.model")
    convert(full_checkpoint(tmp_path / "ours.pt", "pretrain"), tmp_path / "hf", "hf", job=job, spm_model=spm)
    model = SpeechT5.from_pretrained(tmp_path / "hf", device="cpu")
    assert model.job == job
    if job == "s2t":
        assert isinstance(model.transcribe(np.zeros(8000, dtype=np.float32)).text, str)

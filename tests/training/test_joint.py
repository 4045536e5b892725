"""Joint samples: their parts, and what the parts log."""

from speecht5_fairseq.training.joint import merge_logs, split_parts


def test_a_joint_sample_is_split_and_others_are_not():
    sample = {"speech": {"nsentences": 1}, "text": {"nsentences": 2}, "nsentences": 3}
    speech, text = split_parts(sample)
    assert speech == {"speech": sample["speech"], "nsentences": 1}
    assert text == {"text": sample["text"], "nsentences": 2}
    plain = {"net_input": {}, "nsentences": 4}
    assert split_parts(plain) == [plain]


def test_logs_of_the_parts_are_added():
    assert merge_logs([{"loss": 1.0, "l1": 2.0}, {"loss": 3.0, "infilling": 4.0}]) == {
        "loss": 4.0, "l1": 2.0, "infilling": 4.0,
    }  # fmt: skip

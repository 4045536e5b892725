"""Names in messages about checkpoints."""

from speecht5_fairseq.models.errors import listed, shortened


def test_long_lists_end_in_a_number():
    letters = list("hgfedcbaij")
    assert shortened(letters) == "h, g, f, e, d, c, b, a and 2 more"
    assert listed(letters) == "a, b, c, d, e, f, g, h and 2 more"
    assert listed("ba") == "a, b" and listed([]) == ""

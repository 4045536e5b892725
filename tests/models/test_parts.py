"""Names of parts: what they stand for, what is said of one that is not there, and names put together again."""

import pytest

from speecht5_fairseq.models.parts import join_layers, part_values, prefixes, summary, within

NAMES = [f"encoder.layers.{layer}.{net}.weight" for layer in range(12) for net in ("fc1", "fc2")]
NAMES += ["encoder.layer_norm.bias", "decoder.layers.0.fc1.weight", "ctc_head.weight"]


def test_a_part_is_a_net_a_layer_layers_or_what_stands_in_them():
    assert prefixes("encoder", NAMES, "--x") == ["encoder"]
    assert prefixes("encoder.layers.11", NAMES, "--x") == ["encoder.layers.11"]
    assert prefixes("encoder.layers.9-11", NAMES, "--x") == [f"encoder.layers.{layer}" for layer in (9, 10, 11)]
    assert prefixes("encoder.layers.0-1.fc2", NAMES, "--x") == ["encoder.layers.0.fc2", "encoder.layers.1.fc2"]


def test_a_part_ends_where_a_name_ends():
    assert within("encoder.layers.1.fc1.weight", "encoder.layers.1")
    assert not within("encoder.layers.11.fc1.weight", "encoder.layers.1")
    assert within("encoder", "encoder") and not within("encoder_two.weight", "encoder")


@pytest.mark.parametrize(
    "part, message",
    [
        ("encodr", "--x encodr: there is no encodr here; its choices are encoder, decoder, ctc_head$"),
        ("encoder.layers.12", "--x .*: there is no encoder.layers.12 here; encoder.layers has 0-11$"),
        ("encoder.layers.10-13", "--x .*10-13: there is no encoder.layers.12 here; encoder.layers has 0-11$"),
        ("encoder.layers.5-3", "--x .*: 5-3 runs backwards; give the lower number first: 3-5$"),
        ("encoder.layers.0.fc", "there is no encoder.layers.0.fc here; encoder.layers.0 has fc1, fc2$"),
        ("encoder.layers.-1", "there is no encoder.layers.-1 here"),
        ("", "there is no  here; its choices are encoder"),
    ],
)
def test_what_is_not_there_is_an_error_that_names_the_choices(part, message):
    with pytest.raises(ValueError, match=message):
        prefixes(part, NAMES, "--x")


def test_words_of_parts_and_values():
    assert part_values(" a.b:3  c:x ", "--x", "a:1") == {"a.b": "3", "c": "x"}
    assert part_values("", "--x", "a:1") == {}
    for text, message in [
        ("a:1 b", "--x 'a:1 b': 'b' is no PART:VALUE; give words such as a:1"),
        (":1", "':1' is no PART:VALUE"),
        ("a:", "'a:' is no PART:VALUE"),
        ("a:1 a:2", "--x 'a:1 a:2': a comes twice; give it one value"),
    ]:
        with pytest.raises(ValueError, match=message):
            part_values(text, "--x", "a:1")


def test_names_are_summed_up_in_the_fewest_parts():
    assert summary(NAMES, NAMES) == ["encoder", "decoder", "ctc_head"]
    some = [name for name in NAMES if within(name, "encoder.layers") and not within(name, "encoder.layers.4")]
    assert summary([*some, "ctc_head.weight"], NAMES) == ["encoder.layers.0-3", "encoder.layers.5-11", "ctc_head"]
    assert summary(["encoder.layers.2.fc2.weight"], NAMES) == ["encoder.layers.2.fc2"]
    assert summary([], NAMES) == []


def test_neighbours_of_different_parents_stay_apart():
    assert join_layers(["a.0", "a.1", "b.2", "a.2", "a", "3"]) == ["a.0-1", "b.2", "a.2", "a", ".3"]

"""Two columns of names, in both directions."""

import pytest

from speecht5_fairseq.models.name_table import NameTable, under

TABLE = NameTable(
    {
        "net.layers.{n}": "other.{n}.0",
        "net.layers.{n}.norm": "other.{n}.0.norms.1",
        **under("head", "encoder.proj", {"projection": "linear", "cells.{n}.gates.{n}": "c.{n}.g{n}"}),
    }
)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ("net.layers.3.weight", "other.3.0.weight"),
        ("net.layers.12.norm.bias", "other.12.0.norms.1.bias"),  # the longest row counts
        ("net.layers.3", "other.3.0"),
        ("head.projection.weight", "encoder.proj.linear.weight"),
        ("head.cells.4.gates.2.bias", "encoder.proj.c.4.g2.bias"),
    ],
)
def test_both_directions(ours, theirs):
    assert TABLE.theirs(ours) == theirs and TABLE.ours(theirs) == ours


@pytest.mark.parametrize(
    "name", ["net.layers.x.weight", "net.layers3.weight", "head.projections", "headxprojection", ""]
)
def test_a_name_without_a_row(name):
    assert TABLE.theirs(name) is None and TABLE.ours(name) is None

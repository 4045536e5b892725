"""Pictures: their size, and that what they show is in them."""

import numpy as np
import pytest
import torch
from PIL import Image

from speecht5_fairseq.generation.pictures import (
    MOST_LABELS,
    alignment_figure,
    codebook_figure,
    draw_speech,
    pixels,
    require_matplotlib,
    speech_figure,
)

MEL = torch.linspace(-4, 0, 40)[:, None] + torch.zeros(40, 80)


def test_mels_share_the_colours_of_the_first():
    figure = speech_figure({"target": MEL, "prediction": MEL * 0.5}, [torch.eye(20)])
    target, prediction, alignment = figure.axes
    assert (target.get_title(), prediction.get_title(), alignment.get_title()) == (
        "target",
        "prediction",
        "attention, 0 to 1.00",
    )
    assert target.images[0].get_clim() == prediction.images[0].get_clim() == (-4, 0)
    assert np.array_equal(target.images[0].get_array(), MEL.T)
    assert np.array_equal(alignment.images[0].get_array(), np.eye(20))
    assert target.get_xlim() == (0, pytest.approx(0.64))


def test_one_mel_has_its_own_colours_and_alignments_stand_side_by_side():
    figure = speech_figure({"speech": MEL - 3}, [torch.eye(3), torch.eye(4)])
    assert [len(panel.images) for panel in figure.axes] == [1, 1, 1]
    assert figure.axes[0].images[0].get_clim() == (-7, -3)
    assert len(speech_figure({"speech": MEL}, []).axes) == 1


def test_symbols_stand_where_they_can_be_read():
    figure = alignment_figure(torch.eye(3), ["▁", "A", "</s>"], title="valid.tsv:2")
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["▁", "A", "</s>"]
    assert panel.get_title() == "valid.tsv:2: attention, 0 to 1.00"
    many = MOST_LABELS + 1
    (panel,) = alignment_figure(torch.eye(many), ["A"] * many, title="").axes
    assert panel.get_xlabel() == "decoder step"


def test_the_codebook_has_a_panel_for_each_that_chose():
    shares = {"speech": torch.tensor([[0.5, 0.5, 0], [0, 0, 1]]), "text": torch.tensor([[0, 1, 0], [1, 0, 0]])}
    figure = codebook_figure(shares)
    panels = [panel for panel in figure.axes if panel.get_title()]
    assert [panel.get_title() for panel in panels] == ["speech", "text"]
    for panel, table in zip(panels, shares.values(), strict=True):
        assert np.array_equal(panel.images[0].get_array(), table)


def test_pixels_are_those_of_the_file(tmp_path):
    draw_speech(tmp_path / "a.png", MEL, [torch.eye(20)], title="a")
    drawn = pixels(speech_figure({"a": MEL}, [torch.eye(20)]))
    assert drawn.shape == (500, 800, 3) and drawn.dtype == np.uint8
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png").convert("RGB")), drawn)


def test_half_precision_is_drawn():
    assert pixels(speech_figure({"a": MEL.bfloat16()}, [torch.eye(3).bfloat16()])).std() > 20


def test_without_matplotlib_the_option_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="--picture-interval needs matplotlib: `pip install matplotlib`"):
        require_matplotlib("--picture-interval")

"""Where lines, ticks and dots lie."""

import numpy as np
import pytest

from speecht5_fairseq.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MOST_POINTS,
    RIGHT,
    TOP,
    WIDTH,
    Line,
    Tick,
    line_chart,
    round_values,
    scatter_chart,
    square_chart,
    thinned,
)


def places(path):
    return [tuple(map(float, pair.split(","))) for pair in path.points.split()]


def test_a_line_goes_from_edge_to_edge_and_up_means_more():
    chart = line_chart("loss", [Line("train", 0, [(0, 1.0), (50, 2.0), (100, 3.0)])])
    (left, low), (_, middle), (right, high) = places(chart.paths[0])
    assert (left, right) == (LEFT, WIDTH - RIGHT) and middle == pytest.approx((low + high) / 2)
    assert TOP < high < low < HEIGHT - BOTTOM
    assert [tick.label for tick in chart.x_ticks] == ["0", "20", "40", "60", "80", "100"]
    assert [tick.label for tick in chart.y_ticks] == ["1", "1.5", "2", "2.5", "3"]


def test_two_decades_are_logarithmic_and_one_value_has_room():
    chart = line_chart("lr", [Line("train", 0, [(0, 1e-4), (1, 1e-3), (2, 1e-1)])])
    assert "logarithmic" in chart.y_label
    assert [tick.label for tick in chart.y_ticks] == [
        "0.0001",
        "0.001",
        "0.01",
        "0.1",
    ]
    for value in (0.0, 5.0, -2.0):
        ((_, y),) = places(line_chart("x", [Line("train", 0, [(7, value)])]).paths[0])
        assert y == pytest.approx((TOP + HEIGHT - BOTTOM) / 2)


@pytest.mark.parametrize("other", [0.0, 3.0, -3.0, 1e-310, 5e-324, 1e-100, 1e100, -1e100])
@pytest.mark.parametrize("value", [0.0, 3.0, 1e-310, 5e-324, 1e-100, 1e100, -1e100, 1e16])
def test_the_smallest_and_the_greatest_numbers_have_a_place(value, other):
    for points in ([(0, value), (1, other)], [(value, 1.0), (other, 2.0)]):
        chart = line_chart("loss", [Line("train", 0, points)])
        assert all(LEFT <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places(chart.paths[0]))
        assert chart.y_ticks and len(chart.x_ticks) < 9 and len(chart.y_ticks) < 12


@pytest.mark.parametrize("low, high", [(0, 1), (0.13, 0.17), (-5, 1200), (1e-9, 3e-9), (1, 2)])
def test_ticks_are_few_and_inside(low, high):
    values = round_values(low, high)
    assert 2 <= len(values) <= 7 and all(low - 1e-12 <= value <= high + 1e-9 for value in values)
    assert len(set(np.round(np.diff(values) / (values[1] - values[0]), 6))) == 1


def test_long_lines_keep_their_peaks_and_their_order():
    values = np.random.default_rng(0).standard_normal(20_000)
    values[777] = 50.0
    points = [(-number, float(value)) for number, value in enumerate(values)]
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2 and (-777, 50.0) in kept
    assert kept == sorted(kept, reverse=True) and set(kept) <= set(points)
    assert thinned(points[:10]) == points[:10]


def test_points_beyond_the_ticks_of_a_square_lie_on_its_frame():
    ticks = [Tick(-1.0, "16"), Tick(1.0, "84")]
    chart = square_chart("DET", [Line("a", 0, [(-2.0, 2.0), (0.0, 0.0)])], ticks, x_label="x", y_label="y")
    corner, (x, y) = places(chart.paths[0])
    assert corner == (LEFT, TOP) and x - LEFT == pytest.approx(y - TOP) and chart.x_ticks[0].place == LEFT


def test_a_map_has_a_dot_for_each_point():
    chart = scatter_chart("map", [(0, 0), (1, 5)], [0, 3], ["a", "b"])
    assert [(dot.colour, dot.title) for dot in chart.dots] == [(0, "a"), (3, "b")]
    assert chart.dots[0].x < chart.dots[1].x and chart.dots[0].y > chart.dots[1].y

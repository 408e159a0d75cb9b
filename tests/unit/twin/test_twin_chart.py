"""The chart: every report gives a picture that can be drawn, with axes that hold it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from openrdms.model.errors import InvalidParameter
from openrdms.twin import chart
from openrdms.twin.report import Report, Sample, Waited

COUNTS = st.integers(0, 20_000)
SAMPLES = st.lists(
    st.builds(Sample, st.floats(0, 100), COUNTS, COUNTS, COUNTS, COUNTS, COUNTS), max_size=20
)
WAITS = st.lists(st.builds(Waited, st.floats(0, 100), st.floats(0, 10_000)), max_size=20)


@settings(deadline=None)  # the processor may be busy
@given(seconds=st.floats(0, 1e6), samples=SAMPLES, waits=WAITS)
@example(seconds=0, samples=[], waits=[Waited(0, 5e-324)])
def test_everything_is_within_the_picture(
    seconds: float, samples: list[Sample], waits: list[Waited]
) -> None:
    report = Report("R&D <1>", 1, max(100.0, seconds), samples, waits)
    picture = etree.fromstring(chart.render(report).encode())
    _, _, width, height = map(float, picture.get("viewBox").split())
    xs, ys = [], []
    for line in picture.findall("{*}polyline"):
        for point in line.get("points").split():
            x, y = map(float, point.split(","))
            xs.append(x)
            ys.append(y)
    for dot in picture.findall("{*}circle"):
        xs.append(float(dot.get("cx")))
        ys.append(float(dot.get("cy")))
    assert all(0 <= x <= width for x in xs)
    assert all(0 <= y <= height for y in ys)
    words = [text.text for text in picture.findall("{*}text")]
    assert "R&D <1>" in words
    assert "time, s" in words


def test_follows_the_viewers_colours_but_png_has_paper() -> None:
    report = Report("x", 1, 10)
    assert "prefers-color-scheme:dark" in chart.render(report)
    assert "<rect" not in chart.render(report)


@pytest.mark.parametrize("most", [1, 1.7, 9, 10, 300, 999, 1000, 123_456])
def test_axes_end_beyond_their_data_with_few_round_numbers(most: float) -> None:
    end = chart._round_up(most)
    ticks = chart._ticks(end)
    assert most <= end <= 2 * most
    assert 2 <= len(ticks) <= 8


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="--chart"):
        chart.write(Report("x", 1), tmp_path / "x.gif")


def test_svg_is_written(tmp_path: Path) -> None:
    chart.write(Report("x", 1, 5), tmp_path / "x.svg")
    assert (tmp_path / "x.svg").read_text().startswith("<svg")

"""A scenario's report as a picture: three panels over the same time axis.

SVG is written here. PNG is that SVG drawn by GDK-Pixbuf, which QEMU's GTK window needs anyway
(Debian: libgdk-pixbuf2.0-bin, librsvg2-common).
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from openrdms.model.errors import InvalidParameter, OperationFailed
from openrdms.twin.report import Report, Sample

_WIDTH, _LEFT, _RIGHT = 900, 64, 24
_TOP, _PANEL, _GAP = 64, 170, 58
_PNG_SCALE = 2
_TICKS = 6
_FEWEST = 5
"""What an axis of whole things reaches to at least, so that its numbers are whole."""

# Colours that can be told apart by most colour-blind people, on white and on black.
_STYLE = """text{font:12px sans-serif;fill:#333}.title{font-size:16px;font-weight:bold}
.axis{stroke:#999;fill:none}.grid{stroke:#8884;fill:none}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.ready{stroke:#0a8a5f}.taken{stroke:#0072b2}.preparing{stroke:#d98200}.in_work{stroke:#a0529c}
.waiting{stroke:#c4432b}.wait{fill:#0072b2;fill-opacity:.5}
@media (prefers-color-scheme:dark){text{fill:#ddd}.axis{stroke:#777}}"""

_PAPER = '<rect width="100%" height="100%" fill="#fff"/>'


@dataclass(frozen=True)
class _Panel:
    """One pair of axes. ``number`` counts from the top."""

    number: int
    title: str
    seconds: float
    most: float

    @property
    def bottom(self) -> float:
        return _TOP + self.number * (_PANEL + _GAP) + _PANEL

    def x(self, at: float) -> float:
        return _LEFT + at / self.seconds * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return self.bottom - value / self.most * _PANEL

    def draw(self) -> Iterator[str]:
        """Title, grid, and axes with their numbers."""
        right = _WIDTH - _RIGHT
        yield _text(_LEFT, self.bottom - _PANEL - 10, self.title)
        for value in _ticks(self.most):
            y = self.y(value)
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
            yield _text(_LEFT - 8, y + 4, f"{value:g}", "end")
        for at in _ticks(self.seconds):
            yield _text(self.x(at), self.bottom + 18, f"{at:g}", "middle")
        yield f'<path class="axis" d="M{_LEFT} {self.bottom - _PANEL}V{self.bottom}H{right}"/>'


def write(report: Report, file: Path) -> None:
    """Write it as the file's ending says, .svg or .png. InvalidParameter, OperationFailed."""
    if file.suffix == ".svg":
        file.write_text(render(report))
    elif file.suffix == ".png":
        _write_png(render(report, paper=_PAPER), file)
    else:
        raise InvalidParameter("--chart", f"{file} ends neither in .svg nor in .png")


def render(report: Report, *, paper: str = "") -> str:
    """The picture as SVG, on nothing or on ``paper``: it follows the viewer's colour scheme."""
    seconds = max(1.0, report.seconds)
    desktops = max((s.ready + s.taken + s.preparing + s.in_work for s in report.samples), default=0)
    longest = max((sample.waiting for sample in report.samples), default=0)
    slowest = max((waited.seconds for waited in report.waits), default=0.0)
    uses = _Panel(0, "desktops", seconds, _round_up(max(desktops, _FEWEST)))
    line = _Panel(1, "users in line", seconds, _round_up(max(longest, _FEWEST)))
    waits = _Panel(2, "wait of each user for a desktop, s", seconds, _round_up(slowest))
    height = waits.bottom + 44
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{_STYLE}</style>{paper}',
        _text(_LEFT, 26, report.name, css="title"),
        *uses.draw(),
        *_draw_uses(uses, report.samples),
        *line.draw(),
        _line(line, report.samples, "waiting", lambda sample: sample.waiting),
        *waits.draw(),
        *(_dot(waits, waited.at, waited.seconds) for waited in report.waits),
        _text(_WIDTH / 2, waits.bottom + 38, "time, s", "middle"),
        "</svg>\n",
    ]
    return "\n".join(parts)


_USES: Sequence[tuple[str, str, Callable[[Sample], int]]] = (
    ("ready", "ready", lambda sample: sample.ready),
    ("taken", "with a user", lambda sample: sample.taken),
    ("preparing", "being prepared", lambda sample: sample.preparing),
    ("in_work", "in a job", lambda sample: sample.in_work),
)


def _draw_uses(panel: _Panel, samples: Sequence[Sample]) -> Iterator[str]:
    """The lines and their legend."""
    x = _LEFT + 90
    for css, words, value in _USES:
        yield _line(panel, samples, css, value)
        y = panel.bottom - _PANEL - 14
        yield f'<path class="line {css}" d="M{x} {y}h24"/>'
        yield _text(x + 30, y + 4, words)
        x += 60 + 7 * len(words)


def _line(
    panel: _Panel, samples: Sequence[Sample], css: str, value: Callable[[Sample], int]
) -> str:
    points = " ".join(f"{panel.x(s.at):.1f},{panel.y(value(s)):.1f}" for s in samples)
    return f'<polyline class="line {css}" points="{points}"/>'


def _dot(panel: _Panel, at: float, value: float) -> str:
    return f'<circle class="wait" cx="{panel.x(at):.1f}" cy="{panel.y(value):.1f}" r="2"/>'


def _text(x: float, y: float, words: str, anchor: str = "start", css: str = "") -> str:
    kind = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(words)}</text>'


def _step(most: float) -> float:
    """1, 2 or 5 times a power of ten, so that at most _TICKS of it reach to ``most``."""
    power: float = 10.0 ** math.floor(math.log10(most / _TICKS))
    return next(n * power for n in (1, 2, 5, 10) if n * power * _TICKS >= most)


def _ticks(most: float) -> list[float]:
    step = _step(most)
    return [number * step for number in range(int(most / step + 1e-9) + 1)]


def _round_up(most: float) -> float:
    """The end of an axis that ``most`` is to be on; less than a nanosecond counts as nothing."""
    if most < 1e-9:
        return 1.0
    step = _step(most)
    return math.ceil(most / step) * step


def _write_png(svg: str, file: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".svg") as source:
        source.write(svg)
        source.flush()
        size = str(_PNG_SCALE * _WIDTH)
        command = ["gdk-pixbuf-thumbnailer", "-s", size, source.name, str(file)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            words = "a PNG needs libgdk-pixbuf2.0-bin and librsvg2-common; SVG needs nothing"
            raise OperationFailed(words) from error
        except subprocess.CalledProcessError as error:
            raise OperationFailed(f"{file}: {error.stderr.strip()}") from error

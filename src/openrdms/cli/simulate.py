"""``rdms simulate``: the digital twin."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from openrdms.cli.commands import AsJson, exit_codes
from openrdms.cli.output import Document, Row, progress_bar, show
from openrdms.model.errors import InvalidParameter

JOB_COLUMNS = ("action", "collection", "state", "began", "ended", "succeeded", "failed", "reasons")
TIMES = ("began", "ended")


def register(app: typer.Typer) -> None:
    """Add the command to the ``rdms`` command."""
    app.command("simulate")(simulate)


def simulate(
    scenario: Annotated[
        str, typer.Argument(help="A file, or logon-storm, host-loss, broken-image.")
    ],
    speed: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=1000,
            help="Seconds of the scenario in one of the machine's; as fast as it can when none.",
        ),
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE.svg|.png", help="Draw what happened.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a scenario with the service's own parts on a simulated cluster, and tell what came."""
    with exit_codes():
        if chart and chart.suffix not in (".svg", ".png"):
            raise InvalidParameter("--chart", f"{chart} ends neither in .svg nor in .png")
        # what fails in a scenario is in its report
        quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
        structlog.configure(wrapper_class=quiet)
        from openrdms.twin import chart as charts
        from openrdms.twin import run as runs
        from openrdms.twin import scenario as scenarios

        told = scenarios.read(scenarios.find(scenario).read_text())
        with progress_bar("simulate") as tell:
            report = runs.run(told, speed, tell)
        if chart:
            charts.write(report, chart)
        whole = report.whole()
        rows = [_shorten(job) for job in whole["jobs"]]
        show(Document(whole, report.facts(), rows, JOB_COLUMNS), as_json=as_json)


def _shorten(job: dict[str, Any]) -> Row:
    """For people: times to a tenth of a second, reasons as words."""
    times = {key: value and round(value, 1) for key, value in job.items() if key in TIMES}
    reasons = ", ".join(f"{count} {why}" for why, count in job["reasons"].items())
    return {**job, **times, "reasons": reasons or None}

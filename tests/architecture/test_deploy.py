"""What is shipped for operations is accepted by the programs it is for, and true of us."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.core import Metric

from openrdms import metrics
from openrdms.frontends.web import state_metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "openrdms.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "openrdms.json"
UNIT = DEPLOY / "systemd" / "openrdms.service"


def run(program: str, *arguments: str | Path) -> str:
    """What it says when it accepts them; skipped where it is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_rules_and_configuration() -> None:
    run("promtool", "check", "rules", "--lint-fatal", RULES)
    run("promtool", "check", "config", "--syntax-only", DEPLOY / "prometheus" / "prometheus.yml")


def test_alerts_come_when_they_must() -> None:
    run("promtool", "test", "rules", DEPLOY / "prometheus" / "openrdms.test.yml")


def find_names() -> set[str]:
    """Of all samples that the service may show."""
    families: list[Metric] = [*metrics.REGISTRY.collect()]
    counted = {
        f"{one.name}{suffix}" for one in families for suffix in ("", "_total", "_bucket", "_count")
    }
    source = Path(state_metrics.__file__).read_text()
    gauges = {f"openrdms_{name}" for name in re.findall(r'_gauge\(\s*f?"([a-z_]+)', source)}
    calls = {f"openrdms_host_calls_{what}" for what in ("limit", "running", "waiting")}
    return counted | gauges | calls


@pytest.mark.parametrize("file", [RULES, DASHBOARD], ids=lambda file: file.name)
def test_every_figure_that_is_looked_at_exists(file: Path) -> None:
    asked = set(re.findall(r"\b(?:openrdms|process)_[a-z_]+", file.read_text()))
    assert asked - {"openrdms_token"} <= find_names()


def test_the_dashboard_has_its_panels_side_by_side() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/rdms", "/bin/true"))
    run("systemd-analyze", "verify", "--man=no", unit)


def test_systemd_calls_the_unit_hardened() -> None:
    """systemd's scale goes from 10, exposed, to 0; its default for a unit is above 9."""
    run("systemd-analyze", "security", "--offline=true", "--threshold=35", UNIT)

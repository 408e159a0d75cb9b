"""What is shipped for operations is accepted by the programs it is for, and true of us."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml  # type: ignore[import-untyped]
from prometheus_client.core import Metric

from openrdms import cli, config, metrics
from openrdms.frontends.web import state_metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "openrdms.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "openrdms.json"
UNITS = [DEPLOY / "systemd" / name for name in ("openrdms.service", "openrdms@.service")]
COMPOSE = DEPLOY / "container" / "compose.yaml"
CONTAINERFILE = DEPLOY / "container" / "Containerfile"
HAPROXY = DEPLOY / "haproxy" / "haproxy.cfg"


def run(program: str, *arguments: str | Path) -> str:
    """What it says when it accepts them."""
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


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.name)
def test_systemd_understands_the_unit(tmp_path: Path, file: Path) -> None:
    unit = tmp_path / file.name.replace("@.", "@one.")
    unit.write_text(file.read_text().replace("/usr/bin/rdms", "/bin/true"))
    run("systemd-analyze", "verify", "--man=no", unit)


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.name)
def test_systemd_calls_the_unit_hardened(tmp_path: Path, file: Path) -> None:
    """systemd's scale goes from 10, exposed, to 0; its default for a unit is above 9."""
    unit = tmp_path / file.name.replace("@.", "@one.")
    unit.write_text(file.read_text())
    run("systemd-analyze", "security", "--offline=true", "--threshold=35", unit)


def test_the_template_differs_in_what_several_services_need() -> None:
    alone, several = ({*file.read_text().splitlines()} for file in UNITS)
    keys = {line.partition("=")[0] for line in alone ^ several}
    assert keys - {line for line in keys if line.startswith("#")} == {
        *("Description", "Documentation", "EnvironmentFile", "LoadCredential", "ExecStart"),
        *("StateDirectory", "After", "RequiresMountsFor"),
        # hosts are elsewhere: no devices, no QEMU
        *("PrivateDevices", "ReadWritePaths", "DevicePolicy", "DeviceAllow"),
        "MemoryDenyWriteExecute",
        "CPUSchedulingPolicy",  # VMs would inherit it
    }


def options_of_serve() -> set[str]:
    command: Any = typer.main.get_command(cli.build(["serve"]))
    return {option for given in command.commands["serve"].params for option in given.opts}


def test_services_are_started_with_options_that_there_are() -> None:
    units = "".join(file.read_text() for file in UNITS)
    started = set(re.findall(r" (--[a-z-]+)", units)) | {
        str(argument).partition("=")[0] for argument in compose()["x-service"]["command"][1:]
    }
    assert started <= options_of_serve()


def compose() -> Any:
    return yaml.safe_load(COMPOSE.read_text())


def test_the_compose_file_has_what_it_names() -> None:
    parts = compose()
    named = [name for name in parts["services"] if name.startswith("service")]
    assert named == ["service1", "service2", "service3"]
    for service in parts["services"].values():
        assert {*service.get("secrets", [])} <= {*parts["secrets"]}
        assert {*service["networks"]} <= {*parts["networks"]}
        assert {*service.get("depends_on", [])} <= {*parts["services"]}
        volumes = [one.partition(":")[0] for one in service.get("volumes", [])]
        for volume in volumes:
            assert volume in parts["volumes"] or (COMPOSE.parent / volume).exists()
    build = parts["x-service"]["build"]
    top = (COMPOSE.parent / build["context"]).resolve()
    assert top / build["dockerfile"] == CONTAINERFILE
    balancer = parts["services"]["balancer"]["networks"]["inside"]["ipv4_address"]
    assert f"--trusted-proxy={balancer}" in parts["x-service"]["command"]


def test_the_balancer_has_the_ports_and_services_of_the_compose_file() -> None:
    text, parts = HAPROXY.read_text(), compose()["services"]
    bound = re.findall(r"^    bind :(\d+)$", text, re.MULTILINE)
    published = [one.partition(":")[2] for one in parts["balancer"]["ports"]]
    assert bound == published
    servers = re.findall(r"^    server (\S+) (\S+):(\d+)\b", text, re.MULTILINE)
    assert servers == [(name, name, port) for port in bound for name in sorted(parts)[2:]]
    assert "mode http" not in re.sub("#.*", "", text)
    assert {int(port) for port in bound} == {
        *(config.WEB_PORT, config.RDP_PORT, config.WSMAN_HTTP_PORT, config.WSMAN_HTTPS_PORT),
        *(config.CIMXML_HTTP_PORT, config.CIMXML_HTTPS_PORT),
    }


def test_haproxy_accepts_its_configuration(tmp_path: Path) -> None:
    """With addresses for the services' names, which it would look up in the network."""
    settings = tmp_path / HAPROXY.name
    settings.write_text(re.sub(r" service\d:", " 127.0.0.1:", HAPROXY.read_text()))
    run("/usr/sbin/haproxy", "-c", "-f", settings)


def test_the_container_is_built_of_what_there_is() -> None:
    lines = CONTAINERFILE.read_text().replace("\\\n", "").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    known = {
        "FROM",
        "RUN",
        "COPY",
        "WORKDIR",
        "USER",
        "ENV",
        "VOLUME",
        "EXPOSE",
        "ENTRYPOINT",
        "CMD",
    }
    assert {line[0] for line in words} <= known
    top = DEPLOY.parent
    kept = re.findall(r"^!(\S+)$", (top / ".dockerignore").read_text(), re.MULTILINE)
    copied = [
        name
        for line in words
        if line[0] == "COPY" and not line[1].startswith("--from")
        for name in line[1:-1]
    ]
    assert all((top / name).exists() for name in copied)
    assert {name.partition("/")[0] for name in copied} == {*kept}

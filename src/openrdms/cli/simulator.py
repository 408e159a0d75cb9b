"""``rdms simulator``: a simulated cluster, seen and touched past its service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from openrdms.adapters import simulator
from openrdms.adapters.simulator.bound import Work, compute
from openrdms.adapters.simulator.uri import SCHEME, parse
from openrdms.cli.commands import command
from openrdms.cli.output import Document, Result
from openrdms.model.errors import InvalidParameter

VM_COLUMNS = ("host", "name", "state", "disks", "users")

group = typer.Typer(help="A simulated cluster: its truth, its users, its faults.")

State = Annotated[
    Path, typer.Argument(metavar="PATH", help="The simulator's own state: the URI's path.")
]
Host = Annotated[str, typer.Argument(help="Name of the host.")]
Vm = Annotated[str, typer.Argument(help="Name of the VM.")]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="simulator")


@command(group, "state")
def show_state(path: State) -> Result:
    """Show what is on the hosts, read without the service."""
    truth = simulator.read_state(path)
    rows = [_row(host, vm) for host in truth["hosts"] for vm in host["vms"]]
    return Document(truth, {"hosts": len(truth["hosts"]), "vms": len(rows)}, rows, VM_COLUMNS)


@command(group, "log-on")
def log_on(path: State, host: Host, vm: Vm, user: str) -> Result:
    """Log a user on in a running VM."""
    return {"id": simulator.log_on(path, host, vm, user)}


@command(group, "log-off")
def log_off(path: State, host: Host, vm: Vm, user: str) -> Result:
    """Log a user off in a running VM."""
    simulator.log_off(path, host, vm, user)
    return None


@command(group, "fault")
def set_fault(
    path: State,
    host: Annotated[str, typer.Argument(help="Name of the host, unless --image.")] = "",
    vm: Annotated[str, typer.Option(help="The VM concerned; the host itself when none.")] = "",
    image: Annotated[
        str, typer.Option(metavar="NAME@VERSION", help="All that boots from this image.")
    ] = "",
    kind: Annotated[
        str,
        typer.Option(
            help="'down' or 'slow' for a host; 'silent', 'no-agent' or 'probe' for a VM;"
            " 'no-agent', 'probe' or 'corrupt' for an image; '' mends it."
        ),
    ] = "",
) -> Result:
    """Break a host, a VM's agent or an image, or mend it."""
    if bool(host) == bool(image):
        raise InvalidParameter("host", "either a host or --image is needed")
    if image:
        simulator.set_image_fault(path, image, kind)
    else:
        simulator.set_fault(path, host, vm, kind)
    return None


@command(group, "bound")
def show_bound(
    count: Annotated[int, typer.Argument(min=1, help="How many desktops.")],
    cluster: Annotated[
        str,
        typer.Argument(
            metavar="URI|PATH",
            help="simulator:///PATH?hosts=10&slots=2&...; a path has the default latencies.",
        ),
    ],
    no_start: Annotated[bool, typer.Option("--no-start", help="They are left off.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="They are removed.")] = False,
) -> Result:
    """Compute the least a job can take: the critical path through slots and latencies."""
    if no_start and delete:
        raise InvalidParameter("--no-start", "does not go with --delete")
    uri = cluster if "://" in cluster else f"{SCHEME}://{Path(cluster).absolute()}"
    work = Work.DELETE if delete else Work.CREATE_OFF if no_start else Work.CREATE
    bound = compute(count, parse(uri), work)
    return {
        "seconds": round(bound.seconds, 3),
        "on slots": round(bound.on_slots, 3),
        "after": round(bound.after, 3),
        "desktops of a host": bound.desktops_of_a_host,
    }


@command(group, "add-vm")
def add_vm(path: State, host: Host, vm: Vm) -> Result:
    """Make a running VM that no service made."""
    simulator.add_stranger(path, host, vm)
    return None


def _row(host: dict[str, Any], vm: dict[str, Any]) -> dict[str, Any]:
    return {"host": host["name"], **vm, "users": [one["user"] for one in vm["sessions"]]}

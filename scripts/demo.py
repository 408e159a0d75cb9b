"""The main job from end to end: golden image, desktops, users, a message, a cancelled job.

Every RDMS step is sent over WS-Management by a stock client library (pypsrp). `./demo` prepares
the machine and runs this; `./demo --help` lists the options.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from openrdms import runtime_dir
from openrdms.cli.rdms_client import Login, RdmsClient
from openrdms.model import collection, host, job, provisioning, report

Found = TypeVar("Found")

COLLECTION = "Win32_RDMSVirtualDesktopCollection"
SESSION = "Win32_VirtualDesktopSession"
RDMS = [sys.executable, "-m", "openrdms"]
TITLE, TEXT = "Planned maintenance", "Please save your work before noon"


@dataclass
class Desktop:
    """One desktop of the first job; ``agent_s``: from the job's start to its agent's answer."""

    name: str
    host: str
    variant: str
    agent_s: float


@dataclass
class Findings:
    """What --report writes."""

    simulated: bool
    accelerator: str = ""
    image_build_s: float | None = None
    desktops: list[Desktop] = field(default_factory=list)
    session_found: bool = False
    message_in_guest: bool = False
    screenshot: str = ""
    logoff_verified: bool = False
    cancel_s: float | None = None
    orphans_after_cancel: int | None = None
    qemu_processes_left: int | None = None
    ready_file: str | None = None


@dataclass
class Place:
    """Where a demonstration happens: its own state directory, hypervisor and image."""

    state_dir: Path
    hypervisor: str
    variant: str
    simulated: bool
    keep: bool


def say(text: str) -> None:
    """A line with the time since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", flush=True)


STARTED = time.monotonic()


def rdms(*arguments: str) -> str:
    """Run the rdms command; its progress goes to the terminal, its output is returned."""
    return subprocess.run([*RDMS, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def until(
    what: str, seconds: float, check: Callable[[], Found | None], every: float = 0.2
) -> Found:
    """Ask again until ``check`` gives something true; a stock client has no other way to wait."""
    end = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > end:
            raise SystemExit(f"gave up after {seconds:.0f} s: {what}")
        time.sleep(every)
    return found


@contextlib.contextmanager
def serving(place: Place) -> Iterator[tuple[subprocess.Popen[bytes], Login, Path]]:
    """The service, until the end of the block."""
    password, ready = place.state_dir / "admin-password", place.state_dir / "ready.json"
    password.touch(0o600)
    password.write_text(secrets.token_urlsafe(18))
    ready.unlink(missing_ok=True)
    command = [*RDMS, "serve", "--state-dir", str(place.state_dir)]
    command += ["--hypervisor", place.hypervisor, "--listen", "127.0.0.1"]
    command += ["--wsman-http-port", "0", "--wsman-https-port", "0"]
    command += ["--cimxml-http-port", "0", "--cimxml-https-port", "0"]
    command += ["--web-port", "0", "--rdp-port", "0"]
    command += ["--admin-user", "admin", "--admin-password-file", str(password)]
    command += ["--ready-file", str(ready)]
    with (place.state_dir / "service.log").open("ab") as log:
        service = subprocess.Popen(command, stderr=log, start_new_session=True)
    try:
        until("the service is ready", 60, lambda: ready.exists() or service.poll() is not None)
        if service.poll() is not None:
            raise SystemExit((place.state_dir / "service.log").read_text()[-2000:])
        url = json.loads(ready.read_text())["wsman_https"]
        ca = place.state_dir / "tls" / "certificate.pem"
        yield service, Login(url, "admin", password.read_text(), ca), ready
    finally:
        if service.poll() is None and not place.keep:
            service.send_signal(signal.SIGTERM)
            service.wait(30)


def provision(client: RdmsClient, alias: str, place: Place, count: int) -> str:
    """Create a pooled collection and the job that fills it; returns the job's GUID."""
    client.create(
        COLLECTION,
        {"Alias": alias, "Name": alias, "Type": 1, "IsManaged": True, "ShowInPortal": True},
    )
    return execute(
        client,
        provisioning.JobDocument(
            action=job.JobAction.CREATE,
            on_error=provisioning.OnError.STOP,
            collection=alias,
            disk_kind=host.DiskKind.LINKED,
            base_vm_location=f"image:{place.variant}",
            name_prefix=f"{alias}-",
            hosts=(provisioning.HostAllocation("", count),),
        ),
    )


def execute(client: RdmsClient, document: provisioning.JobDocument) -> str:
    """Hand in a job; returns its GUID."""
    text = provisioning.render_job(document)
    return str(client.invoke(COLLECTION, "ProvisioningJobExecute", JobInputXml=text)["JobGuid"])


def read_report(client: RdmsClient, guid: str) -> report.Report:
    """The job's report, parsed."""
    return report.parse_report(client.get_report(guid))


def follow(client: RdmsClient, guid: str, seconds: float) -> tuple[report.Report, dict[str, float]]:
    """Watch a job to its end; returns its report and when each desktop was complete."""
    complete: dict[str, float] = {}
    began, shown = time.monotonic(), -1

    def ended() -> report.Report | None:
        nonlocal shown
        now = read_report(client, guid)
        for desktop in now.desktops:
            if desktop.status is job.VmStatus.COMPLETE:
                complete.setdefault(desktop.name, time.monotonic() - began)
        if now.percent != shown:
            shown = now.percent
            say(f"  job {now.state.name}: {shown} %, {now.succeeded} of {now.requested}")
        return now if now.state in collection.IDLE_STATES else None

    final = until(f"job {guid} has ended", seconds, ended)
    return final, complete


def find_sessions(client: RdmsClient, where: str) -> list[dict[str, object]]:
    """Users logged on, as a WQL condition selects them."""
    return [dict(row) for row in client.enumerate(SESSION, where)]


def session_keys(session: dict[str, object]) -> dict[str, str | int]:
    return {"VMHostName": str(session["VMHostName"]), "SessionId": int(str(session["SessionId"]))}


def send_message(
    client: RdmsClient, session: dict[str, object], place: Place, found: Findings
) -> None:
    """Send the message and look for it where the user would: on the guest's screen."""
    vm = str(session["VMName"])
    client.invoke(SESSION, "SendMessage", session_keys(session), Title=TITLE, Message=TEXT)
    picture = place.state_dir.parent / "message.png"

    def is_seen() -> bool:
        rdms("host", "screenshot", vm, str(picture), "--state-dir", str(place.state_dir))
        return read_message(place, vm) if place.simulated else read_screen(picture)

    # A guest without KVM may take a moment to paint a session that has just begun.
    found.message_in_guest = until("the message is on the screen", 60, is_seen)
    found.screenshot = str(picture)
    say(f"  {session['UserName']} on {vm} sees it; the screen is in {picture}")


def read_message(place: Place, vm: str) -> bool:
    """The simulator's own truth, read without the service."""
    path = place.hypervisor.removeprefix("simulator://").partition("?")[0]
    truth = json.loads(rdms("simulator", "state", path, "--json"))
    messages = [
        (message["title"], message["text"])
        for simulated in truth["hosts"]
        for machine in simulated["vms"]
        if machine["name"] == vm
        for session in machine["sessions"]
        for message in session["messages"]
    ]
    return (TITLE, TEXT) in messages


def read_screen(picture: Path) -> bool:
    """Read the words off the screenshot, as bright writing on a dark ground."""
    image = picture.read_bytes()
    for program in (
        ["pngtopam"],
        ["ppmtopgm"],
        ["pamscale", "2"],
        ["pamthreshold", "-simple", "-threshold", "0.7"],
        ["pamtopnm"],
        ["pnminvert"],
        ["tesseract", "-", "-", "--psm", "11"],
    ):
        image = subprocess.run(program, input=image, check=True, capture_output=True).stdout
    words = image.decode(errors="replace").split()
    return set(TITLE.split() + TEXT.split()) <= set(words)


def log_off(client: RdmsClient, session: dict[str, object], alias: str) -> bool:
    """Log the user off and see the session gone."""
    client.invoke(SESSION, "Logoff", session_keys(session))
    left = find_sessions(client, f"CollectionId = '{alias}'")
    return session_keys(session) not in map(session_keys, left)


def cancel_halfway(client: RdmsClient, place: Place, found: Findings) -> None:
    """A second job, cancelled once desktops of it exist; then look for anything left of it."""
    guid = provision(client, "second", place, 20 if place.simulated else 3)

    def begun() -> bool:
        now = read_report(client, guid)
        return now.percent > 0 and now.state not in collection.IDLE_STATES

    until("the second job is halfway", 120, begun)
    began = time.monotonic()
    client.invoke(COLLECTION, "ProvisioningJobCancel", JobGuid=guid)
    final, _ = follow(client, guid, 120)
    found.cancel_s = round(time.monotonic() - began, 2)
    undone = sum(1 for desktop in final.desktops if desktop.undone)
    orphans = json.loads(rdms("audit", "orphans", "--state-dir", str(place.state_dir), "--json"))
    found.orphans_after_cancel = len(orphans)
    say(
        f"  {final.state.name} after {found.cancel_s} s, {undone} desktops taken back, "
        f"{len(orphans)} orphans"
    )
    client.delete(COLLECTION, {"Alias": "second"})


def remove(client: RdmsClient, alias: str) -> None:
    """Delete a collection with its desktops, as an administrator would."""
    guid = execute(
        client,
        provisioning.JobDocument(
            action=job.JobAction.DELETE,
            on_error=provisioning.OnError.CONTINUE,
            collection=alias,
            disk_kind=host.DiskKind.LINKED,
        ),
    )
    follow(client, guid, 120)
    client.delete(COLLECTION, {"Alias": alias})


def find_qemu(place: Place) -> list[int]:
    """QEMU processes that belong to this demonstration, whoever started them."""
    own = os.fsencode(runtime_dir.make_runtime_dir(place.state_dir))
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes()
            if line.startswith(b"/usr/bin/qemu-system") and own in line:
                found.append(int(process.name))
    return found


def run(place: Place, found: Findings) -> None:
    """Every step of the main job."""
    if not place.simulated:
        say("Building the golden image from Debian packages (minutes the first time)")
        began = time.monotonic()
        rdms(
            "image",
            "build",
            place.variant,
            "--variant",
            place.variant,
            "--state-dir",
            str(place.state_dir),
        )
        found.image_build_s = round(time.monotonic() - began, 1)
    with serving(place) as (_, login, ready), RdmsClient(login) as client:
        hosts = json.loads(rdms("host", "list", "--state-dir", str(place.state_dir), "--json"))
        found.accelerator = hosts[0]["accelerator"]
        say(f"The service answers at {login.url}; VMs run under {found.accelerator}")
        say("Creating collection 'first' with two pooled desktops")
        guid = provision(client, "first", place, 2)
        final, complete = follow(client, guid, 900)
        found.desktops = [
            Desktop(desktop.name, desktop.host, place.variant, round(complete[desktop.name], 1))
            for desktop in final.desktops
        ]
        say("Waiting for a user to be logged on")

        def at_work() -> list[dict[str, object]]:
            return find_sessions(client, "CollectionId = 'first' and ConnectState = 0")

        sessions = until("a session", 300, at_work, every=1)
        found.session_found = True
        say("Sending a message")
        send_message(client, sessions[0], place, found)
        say("Logging the user off")
        found.logoff_verified = log_off(client, sessions[0], "first")
        say("Cancelling a second job halfway")
        cancel_halfway(client, place, found)
        if place.keep:
            found.ready_file = str(ready)
            return
        say("Removing everything")
        remove(client, "first")
    found.qemu_processes_left = len(find_qemu(place))


def find_place(directory: Path, *, simulate: bool, keep: bool) -> Place:
    """A state directory of this demonstration's own."""
    state_dir = directory / "state"
    state_dir.mkdir()
    if simulate:
        cluster = f"simulator://{directory}/cluster?hosts=4"
        return Place(state_dir, cluster, "tiny", simulated=True, keep=keep)
    return Place(state_dir, "qemu:///embed", "desktop", simulated=False, keep=keep)


def main() -> None:
    """Parse the options, run, report."""
    parser = argparse.ArgumentParser(prog="./demo", description=__doc__)
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the findings as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the service and desktops up")
    parser.add_argument("--simulate", action="store_true", help="use the simulator, no real VM")
    options = parser.parse_args()
    if options.simulate:
        say("Simulated: no virtual machine is started")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    directory = Path(tempfile.mkdtemp(prefix="openrdms-demo-"))
    place = find_place(directory, simulate=options.simulate, keep=options.keep)
    found = Findings(simulated=options.simulate)
    try:
        run(place, found)
    finally:
        if not place.keep:
            for pid in find_qemu(place):
                os.kill(pid, signal.SIGKILL)
        tell(found, options.report)
    if not place.keep:
        shutil.rmtree(place.state_dir)


def tell(found: Findings, file: Path | None) -> None:
    """Print the findings, also those of a demonstration that failed, and write them to a file."""
    findings = asdict(found)
    if not found.ready_file:
        del findings["ready_file"]
    text = json.dumps(findings, indent=1)
    print(text)
    if file:
        file.write_text(text + "\n")


if __name__ == "__main__":
    main()

"""PostgreSQL goes and comes back while people work: nobody is told anything wrong, nothing that
was acknowledged is lost, nothing is done twice, and what is open stays open.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pyotp
import pytest
import pywbem

from functional.test_cli import Rdms
from functional.test_rdp import enter, fetch
from functional.test_takeover import count_started, create, judge
from live.browser import WebClient, csrf_of
from live.database_load import POOL, Load
from live.displays import COOKIE, get_ticket, open_display
from live.postgresql import PostgreSql
from live.rdp import read
from live.rfb import Viewer
from live.service import PASSWORD, USER, rdms, until
from live.services import Services, services
from live.wire import CIM_NAMESPACE, fault
from openrdms.model.errors import WbemCode
from openrdms.security.web_sessions import SIGNED_IN
from openrdms.services.live_connections import PERIOD as CHECKED
from openrdms.services.local_copy import PERIOD

PROOF = Path(__file__).parents[2] / "docs" / "proofs" / "database-away.txt"
COLLECTION = "Win32_RDMSVirtualDesktopCollection"
SPEED = "hosts=2&slots=4&clone_ms=150&start_ms=150&boot_ms=200&agent_ms=1&users=0"
SECRET = "quite a long password"
USERS = ("bob", "cid", "dot", "ann")
NEWCOMER = "eva"
"""Has no desktop."""
OWNER = "fay"

PAGE = {"accept": "text/html"}

AT_ONCE = 10.0
"""Seconds within which a refusal must have come, however busy the machine is."""


def furnish(world: Services, place: Path, desktops: int) -> str:
    """People, and a pool for them, of which ann has the desktop that is returned."""
    password = place / "users-password"
    password.write_text(f"{SECRET}\n")
    command = Rdms(world.members[0])
    for name in (*USERS, NEWCOMER, OWNER):
        command.read("user", "add", name, "--role", "user", "--password-file", str(password))
    command.read(
        *("collection", "create", "Pool", "--alias", POOL, "--prefix", "d-", "--wait"),
        *("--image", "image:tiny", "--host", f"host1={desktops}", "--user-group", "Everyone"),
    )
    given: str = command.read("desktop", "connect", POOL, "ann", "--wait", "60")["VMName"]
    return given


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, postgresql: PostgreSql) -> Iterator[Services]:
    """One service; PostgreSQL is there again after every test."""
    place = tmp_path_factory.mktemp("away")
    with services(place, postgresql, SPEED, count=1) as started:
        furnish(started, place, 4)
        yield started


@contextmanager
def crashed(server: PostgreSql) -> Iterator[None]:
    server.crash()
    try:
        yield
    finally:
        server.start()


@contextmanager
def hung(server: PostgreSql) -> Iterator[None]:
    """It takes connections, and answers to nobody."""
    _signal(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(server.pid, signal.SIGCONT)


def _signal(first: int, number: signal.Signals) -> None:
    """To the first process of the server, which makes no others while it is stopped, and all."""
    os.kill(first, number)
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    for child in map(int, children):
        with suppress(ProcessLookupError):
            os.kill(child, number)


def test_everybody_is_told_to_try_again(world: Services, postgresql: PostgreSql) -> None:
    [service] = world.members
    wire, command = service.wire(), Rdms(service)
    wanted = {"Alias": "later", "Name": "Later", "Type": "1"}
    cim = pywbem.WBEMConnection(
        service.ready["cimxml_https"].removesuffix("/cimom"),
        (USER, PASSWORD),
        CIM_NAMESPACE,
        ca_certs=str(service.state_dir / "tls" / "certificate.pem"),
    )
    with WebClient(service) as web:
        web.sign_in(USER, PASSWORD)
        csrf = {"x-csrf-token": csrf_of(web.get("/").text)}
        with crashed(postgresql):
            begun = time.monotonic()
            for ask in (
                lambda: wire.create(COLLECTION, wanted),
                lambda: wire.get(COLLECTION, Alias="pool"),
                lambda: wire.enumerate(COLLECTION),
            ):
                with fault() as refused:
                    ask()
                assert (refused.code, "try again" in refused.text) == (WbemCode.NOT_AVAILABLE, True)
            for ask in (
                lambda: cim.EnumerateInstances(COLLECTION),
                lambda: cim.DeleteInstance(pywbem.CIMInstanceName(COLLECTION, {"Alias": "pool"})),
            ):
                with pytest.raises(pywbem.CIMError, match="database does not answer; try again"):
                    ask()
            body = {"alias": "later", "allowed": ["Everyone"]}
            for answer in (
                web.get("/api/v1/collections"),
                web.post("/api/v1/collections", json=body, headers=csrf),
                web.get("/console", headers=PAGE),
                web.get("/", headers=PAGE),
                web.get("/api/v1/no-such-thing", headers={"cookie": f"{COOKIE}=unknown"}),
            ):
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), answer.url
            assert "try again" in command.refuse(3, "collection", "delete", "pool")
            assert [web.get(path).status_code for path in ("/readyz", "/healthz")] == [503, 200]
            assert time.monotonic() - begun < 10 * AT_ONCE
        until("it answers again", lambda: web.get("/readyz").status_code == 200)
    wire.create(COLLECTION, wanted)
    wire.delete(COLLECTION, Alias="later")


Away = Callable[[PostgreSql], object]


@pytest.mark.parametrize(("away", "seconds"), [(crashed, 5), (hung, 9)])
def test_nothing_is_lost_or_done_twice(
    world: Services, postgresql: PostgreSql, away: Away, seconds: float
) -> None:
    for line in work_through(world, postgresql, away, seconds, f"job{seconds}", 30):
        print(line)


class Owner:
    """Somebody with a device, whose own desktop runs, and who has not been in it. He has a file
    that leads there by RDP.
    """

    def __init__(self, world: Services) -> None:
        self._world, [self._service] = world, world.members
        command = Rdms(self._service)
        command.read(
            *("collection", "create", "Own", "--alias", "own", "--prefix", "o-", "--wait"),
            *("--type", "personal", "--image", "image:tiny", "--host", "host1=1"),
            *("--user-group", "Everyone"),
        )
        [self.desktop] = [
            one["Name"] for one in command.read("desktop", "list", "--collection", "own")
        ]
        command.read("desktop", "assign", self.desktop, "--to", OWNER)
        with WebClient(self._service) as client:
            client.sign_in(OWNER, SECRET)
            client.headers["x-csrf-token"] = csrf_of(client.get("/").text)
            proposal = client.post("/api/v1/me/totp/proposal").json()
            self._device = pyotp.TOTP(proposal["secret"])
            shown = {"code": self._device.now()}
            assert client.post("/api/v1/me/totp", json=shown).status_code == 200
            self._file = fetch(client, collection="own")

    @property
    def use(self) -> tuple[str, str]:
        """Who is in it."""
        query = "SELECT use, coalesce(holder, '') FROM desktop_uses WHERE name_key = %s"
        [(use, holder)] = self._world.read(query, self.desktop.casefold())
        return use, holder

    def sign_in(self, client: WebClient) -> None:
        """With the code of the step to come, which is good once."""
        code = {"code": self._device.at(int(time.time()) + 30)}
        with WebClient(self._service) as other:
            for one in (client, other):
                assert one.try_sign_in(OWNER, SECRET).headers["location"] == "/sign-in/code"
            assert client.send_form("/sign-in/code", code).status_code == 303
            assert other.send_form("/sign-in/code", code).status_code == 401

    def connect(self) -> socket.socket:
        """By RDP."""
        connection, desktop = enter(self._service, self._file)
        assert desktop == self.desktop
        return connection


def test_who_has_a_desktop_signs_in_and_uses_it(world: Services, postgresql: PostgreSql) -> None:
    [service] = world.members
    owner = Owner(world)
    [(desktop,)] = world.read("SELECT name_key FROM desktop_uses WHERE holder = 'ann'")
    time.sleep(2 * PERIOD)  # what she has is known by then
    with WebClient(service) as ann, WebClient(service) as eva, WebClient(service) as fay:
        with crashed(postgresql):
            assert ann.try_sign_in("ann", "not her password").status_code == 401
            ann.sign_in("ann", SECRET)
            shown = ann.get("/", headers=PAGE)
            assert (shown.status_code, desktop in shown.text) == (200, True)
            eva.sign_in(NEWCOMER, SECRET)
            assert eva.get("/", headers=PAGE).status_code == 503
            assert eva.get(f"/display/{desktop}").status_code == 503
            display = open_display(service, ann, get_ticket(ann, desktop))
            viewer = Viewer(display.__enter__())
            before = viewer.look()
            viewer.type("hello")
            viewer.look_until_it_changes(before)
            csrf = {"x-csrf-token": csrf_of(shown.text)}
            body = {"collection": POOL}
            assert ann.post("/api/v1/me/connections", json=body, headers=csrf).status_code == 503
            again = ann.post(f"/api/v1/me/desktops/{desktop}/reset", headers=csrf)
            assert again.status_code == 503
            owner.sign_in(fay)
            assert owner.desktop in fay.get("/", headers=PAGE).text
            hers = open_display(service, fay, get_ticket(fay, owner.desktop))
            looking = Viewer(hers.__enter__())
            before = looking.look()
            looking.type("hello")
            looking.look_until_it_changes(before)
            by_rdp = owner.connect()
        until("it answers again", lambda: eva.get("/readyz").status_code == 200)
        assert eva.get("/", headers=PAGE).status_code == 200
        opened = ann.post("/api/v1/me/connections", json=body, headers=csrf)
        assert opened.json()["desktop"] == desktop, opened.text
        calls = Rdms(service)
        with suppress(psycopg.OperationalError):  # the connection of before
            world.read("SELECT 1")
        until("she has moved in", lambda: owner.use == ("taken", OWNER))
        until("sign-ins are on record", lambda: _signed_in(calls) == {"ann", NEWCOMER, OWNER})
        assert fay.get("/api/v1/me").status_code == 401  # the code was good for as long
        time.sleep(CHECKED + 1)
        before = viewer.look()
        viewer.type("!")
        viewer.look_until_it_changes(before)
        by_rdp.sendall(b"octets")
        assert read(by_rdp, 6) == b"octets"
        by_rdp.close()
        for one in (display, hers):
            one.__exit__(None, None, None)


def _signed_in(command: Rdms) -> set[str]:
    calls = command.read("audit", "log")
    return {one["who"] for one in calls if one["what"] == SIGNED_IN}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_is_lost_in_a_minute(tmp_path: Path, postgresql: PostgreSql) -> None:
    """Some five minutes: three services, a job of 300 desktops, a crash and a hang of 60 s."""
    speed = SPEED.replace("hosts=2", "hosts=4&capacity=100000")
    with services(tmp_path, postgresql, speed) as started, PROOF.open("w") as proof:
        furnish(started, tmp_path, 6)
        for away in (crashed, hung):
            lines = work_through(started, postgresql, away, 60, f"job-{away.__name__}", 300)
            print(f"PostgreSQL {away.__name__}, 60 s:", *lines, sep="\n  ", file=proof, flush=True)


def work_through(
    world: Services, server: PostgreSql, away: Away, seconds: float, alias: str, count: int
) -> list[str]:
    """Figures of what came of it; AssertionError for anything wrong."""
    load = Load(world.members, USERS, SECRET, alias)
    try:
        begun = time.monotonic()
        until("everybody works", lambda: load.wrong or load.good_since(begun))
        guid = create(world.members[0], alias, count)
        until("the job is under way", lambda: count_started(world, alias) > 2)
        with away(server):
            gone = time.monotonic()
            time.sleep(seconds)
        back = time.monotonic()
        until("all is well again", lambda: load.wrong or load.good_since(back), 120)
    finally:
        load.stop()
    assert load.wrong == []
    with suppress(psycopg.OperationalError):  # the connection of before
        world.read("SELECT 1")
    judge(world, alias, guid, count)
    return [*load.figures(gone, back), judge_writes(world, load, alias)]


def judge_writes(world: Services, load: Load, alias: str) -> str:
    """All that was acknowledged is on record, and the audit log is whole."""
    query = "SELECT alias FROM collections WHERE alias LIKE %s"
    there = {one for (one,) in world.read(query, f"{alias}-w%")}
    ledger = load.ledger
    assert {*ledger.acknowledged, *ledger.unanswered} <= there
    checked = rdms("audit", "verify", "--state-dir", world.members[0].state_dir)
    for member in world.members:
        assert "Exception in thread" not in (member.state_dir / "service.log").read_text()
    return (
        f"{len(ledger.acknowledged)} collections were acknowledged, all are there; of "
        f"{len(ledger.unanswered)} more the answer was lost; the job made what was asked for, no "
        f"step twice, no orphan; the audit log's {checked['records']} records are whole"
    )

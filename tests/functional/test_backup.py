"""A backup made while the service works, the service killed, and all brought back elsewhere."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from functional.portal_world import SECRET, PortalWorld, open_portal_world
from functional.test_cli import Rdms
from live.browser import WebClient, csrf_of
from live.service import Service, until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalWorld]:
    made = open_portal_world(tmp_path_factory.mktemp("backup"))
    try:
        yield made
    finally:
        made.service.clear()


def connect(web: WebClient, collection: str, log: Path) -> str:
    """A desktop for who is signed in, whose ticket is in nobody's log."""
    headers = {"x-csrf-token": csrf_of(web.get("/").text)}

    def ask() -> httpx.Response:
        reply = web.post("/api/v1/me/connections", json={"collection": collection}, headers=headers)
        assert reply.status_code in (200, 202), reply.text
        return reply

    reply = until("he has a desktop", lambda: (found := ask()).status_code == 200 and found).json()
    assert reply["display"]["ticket"] not in log.read_text()
    assert SECRET not in log.read_text()
    return str(reply["desktop"])


def find_uses(state_dir: Path) -> dict[str, str]:
    with closing(sqlite3.connect(state_dir / "records.sqlite")) as records:
        return dict(records.execute("SELECT name_key, use FROM desktop_uses").fetchall())


def test_all_is_brought_back_but_what_was_handed_out(world: PortalWorld, tmp_path: Path) -> None:
    service, rdms, file = world.service, world.rdms, tmp_path / "backup.tar"
    with WebClient(service) as ann:
        ann.sign_in("ann", SECRET)
        taken = connect(ann, "office", service.state_dir / "service.log")
        cookie = ann.cookies["__Host-openrdms"]
    made = ("--alias", "big", "--prefix", "big-", "--image", "image:tiny", "--host", "host1=60")
    guid = rdms.read("collection", "create", "Big", *made, "--user-group", "Staff")["JobGuid"]
    until("the job is at work", lambda: any(name.startswith("big-") for name in rdms.truth()))
    rdms.read("backup", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "is in use by process" in rdms.refuse(1, "restore", str(file))
    service.kill()

    elsewhere = service.state_dir.parent / "elsewhere"
    listed = Rdms(Service(elsewhere)).run("restore", str(file), "--json")
    assert listed.exit_code == 0, listed.output
    assert find_uses(elsewhere)[taken] == "unready"
    assert not {"ready", "taken", "preparing"} & {*find_uses(elsewhere).values()}

    again = Service(elsewhere, f"simulator://{rdms.cluster}?hosts=1&users=0")
    try:
        again.start()
        restored = Rdms(again)
        until(
            "the job ends",
            lambda: restored.read("job", "show", guid)["PercentComplete"] == 100,
            120,
        )
        assert restored.read("audit", "verify")["records"]
        with WebClient(again) as web:
            web.cookies.set("__Host-openrdms", cookie)
            assert web.get("/api/v1/me").status_code == 401
            web.cookies.clear()
            web.sign_in("ann", SECRET)
            fresh = connect(web, "office", elsewhere / "service.log")
        row = again.read_rows("SELECT fresh FROM desktop_uses WHERE name_key = ?", fresh)
        backed_up = again.read_rows("SELECT time FROM audit_log WHERE what = 'restore'")
        assert row[0][0] > backed_up[0][0]
    finally:
        again.clear()

"""What the cases act on: a service on the simulator with a bit of everything, and its truth."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conformance.speakers import Answer, Refused, Speaker, WsManSpeaker
from live.rollout import (
    COLLECTION,
    DESKTOP,
    SESSION,
    begin_create,
    create_collection,
    follow,
)
from live.service import Service, rdms, until
from live.wire import Wire
from openrdms.adapters import simulator

HOST, SPARE, IMAGE = "host1.sim.local", "host3.sim.local", "tiny@1"

_RDSH, _SERVER = "Win32_RDSHCollection", "Win32_RDSHServer"
_APPLICATION = "Win32_RDMSPublishedApplication"
_OF_USES = "name_key, collection_key, claim, use IN ('work', 'quarantined')"
"""Who is on a desktop the service sees by itself, whenever that is."""

Values = Mapping[str, Any]


class World:
    """``speaker`` is the protocol under test, ``other`` the one that reads effects back."""

    host = HOST
    spare_host = SPARE

    def __init__(self, service: Service, directory: Path) -> None:
        self.service = service
        self.directory = directory
        self.speaker: Speaker = WsManSpeaker(service)
        self.other: Speaker = self.speaker
        self.memory: Any = None
        self.last_pool = ""
        self._slow_job = ""
        self._wire: Wire = service.wire()
        self._numbers = itertools.count(1)
        self.pool, self.job, self.desktops = self._make_pool(3)
        self.next_index = 4
        self.personal = self._make_personal()
        self.personal_desktop = self.new_stranger()
        self._wire.invoke(
            COLLECTION,
            "AddVirtualDesktop",
            {"Alias": self.personal},
            VMName=self.personal_desktop,
        )
        self.rdsh = self._new_rdsh("0")
        self.server = self.new_server()

    @property
    def login(self) -> list[str]:
        """Options with which `rdms` reaches the service."""
        return [
            *("--ready-file", str(self.service.state_dir / "ready.json")),
            *("--user", "admin", "--ca", str(self.service.state_dir / "tls" / "certificate.pem")),
            *("--password-file", str(self.service.state_dir / "admin-password")),
        ]

    def fresh(self, stem: str) -> str:
        """A name nobody has used."""
        return f"{stem}{next(self._numbers)}"

    def set_up(self, name: str, method: str, keys: Values | None, given: Values) -> None:
        """What a case needs before its call; by the protocol that is not under test."""
        answer = self.other.invoke(name, method, keys, given)
        assert answer.code == 0, f"{method}: {answer.code:#x}"

    def read(self, name: str, method: str, keys: Values | None, given: Values) -> dict[str, Any]:
        """Out-parameters, asked by the other protocol."""
        answer = self.other.invoke(name, method, keys, given)
        assert answer.code == 0, f"{method}: {answer.code:#x}"
        return answer.outputs

    def expect(
        self, expected: Any, name: str, method: str, keys: Values | None, given: Values
    ) -> None:
        """A fault of that status (Faults) when the other protocol asks."""
        with pytest.raises(Refused) as refused:
            self.other.invoke(name, method, keys, given)
        assert refused.value.status == expected.status

    def invoke(self, name: str, method: str, keys: Values | None, given: Values) -> Answer:
        """By the protocol under test."""
        return self.speaker.invoke(name, method, keys, given)

    def new_directory(self) -> Path:
        made = self.directory / self.fresh("directory")
        made.mkdir()
        return made

    def new_collection(self) -> str:
        """A managed pooled collection that has had no job."""
        alias = self.fresh("c")
        create_collection(self._wire, alias)
        return alias

    def new_pool(self) -> str:
        """A managed pooled collection with one desktop."""
        self.last_pool, _, _ = self._make_pool(1)
        return self.last_pool

    def begin_slow_job(self) -> str:
        """A job whose desktop never answers: it runs until it is cancelled, or the next begins."""
        if self._slow_job:
            self._wire.invoke(COLLECTION, "ProvisioningJobCancel", JobGuid=self._slow_job)
            follow(self._wire, self._slow_job)
        alias = self.fresh("c")
        simulator.set_image_fault(self._cluster, IMAGE, "no-agent")
        self._slow_job = begin_create(self._wire, alias, 1, host=HOST)
        until("the desktop is started", lambda: self._is_running(f"{alias}-1"))
        simulator.set_image_fault(self._cluster, IMAGE)
        until("the job does nothing but wait", self._is_quiet)
        return self._slow_job

    def new_stranger(self) -> str:
        """A running VM that no service made."""
        name = self.fresh("loose")
        simulator.add_stranger(self._cluster, HOST, name)
        return name

    def stopped_stranger(self) -> str:
        """A VM that no service made and that is off."""
        name = self.new_stranger()
        self._wire.invoke(COLLECTION, "AddVirtualDesktop", {"Alias": self.personal}, VMName=name)
        self._wire.invoke(DESKTOP, "SetVirtualDesktopState", {"Name": name}, VMState="3")
        keys = {"Alias": self.personal}
        self._wire.invoke(COLLECTION, "RemoveVirtualDesktop", keys, VMName=name)
        return name

    def new_server(self, collection: str = "") -> str:
        name = f"{self.fresh('rdsh')}.corp.example"
        self._wire.create(_SERVER, {"Name": name, "CollectionAlias": collection})
        return name

    def new_personal_rdsh(self) -> tuple[str, str]:
        """A collection of Type 4 and its one server."""
        alias = self._new_rdsh("4")
        return alias, self.new_server(alias)

    def publish(self, collection: str) -> str:
        """An application of that collection; its alias."""
        alias = self.fresh("app")
        properties = {
            "AppAlias": alias,
            "PoolName": collection,
            "DisplayName": f"Application {alias}",
            "ShowInPortal": "true",
            "AppPath": "/usr/bin/editor",
            "CommandLineSetting": "0",
        }
        self._wire.create(_APPLICATION, properties)
        return alias

    def feed(self) -> list[dict[str, Any]]:
        """What `rdms feed` lists."""
        listed: list[dict[str, Any]] = rdms("feed", *self._offline)
        return listed

    def forget_feed(self) -> None:
        """Lose what the feed is made of, past the service."""
        with closing(self._records()) as records, records:
            records.execute("DELETE FROM feed")

    def new_session(self) -> dict[str, Any]:
        """Keys of a session that somebody has just opened in the first desktop."""
        user = self.fresh("user")
        simulator.log_on(self._cluster, self._host_of(self.desktops[0]), self.desktops[0], user)

        def find() -> list[dict[str, Any]]:
            found = self.other.list(SESSION)
            return [one for one in found if one["UserName"] == user]

        [session] = until("the session is listed", find)
        return {key: session[key] for key in ("VMHostName", "SessionId")}

    def messages(self, session: Values) -> list[str]:
        """Texts that were shown in the first desktop, by the simulator's truth."""
        return [
            message["text"]
            for one in self._machine(self.desktops[0])["sessions"]
            for message in one["messages"]
        ]

    def simulated_state(self, vm: str) -> str:
        return str(self._machine(vm)["state"])

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """All records that callers change, and the cluster's truth.

        Not the log of who asked for what, nor how long steps took; of uses not what the service
        notes by itself when it looks at a desktop.
        """
        until("pools are done", lambda: not self._is_preparing())
        with closing(self._records()) as records:
            names = [
                name
                for (name,) in records.execute("SELECT name FROM sqlite_master WHERE type='table'")
                if not name.startswith(("audit", "sqlite_", "step_times"))
            ]
            columns = dict.fromkeys(names, "*") | {"desktop_uses": _OF_USES}
            tables = {
                name: sorted(records.execute(f"SELECT {what} FROM {name}").fetchall(), key=repr)
                for name, what in columns.items()
            }
        return tables | {"cluster": [(repr(simulator.read_state(self._cluster)),)]}

    @property
    def _cluster(self) -> Path:
        return self.service.state_dir.parent / "cluster"

    @property
    def _offline(self) -> list[str]:
        return ["--state-dir", str(self.service.state_dir)]

    def _is_preparing(self) -> bool:
        with closing(self._records()) as records:
            query = "SELECT count(*) FROM desktop_uses WHERE use = 'preparing'"
            return bool(records.execute(query).fetchone()[0])

    def _records(self) -> sqlite3.Connection:
        return sqlite3.connect(self.service.state_dir / "records.sqlite", timeout=10)

    def _machine(self, vm: str) -> dict[str, Any]:
        hosts = simulator.read_state(self._cluster)["hosts"]
        [machine] = [one for host in hosts for one in host["vms"] if one["name"] == vm]
        return dict(machine)

    def _is_quiet(self) -> bool:
        before = self.dump()
        time.sleep(0.5)
        return self.dump() == before

    def _is_running(self, vm: str) -> bool:
        hosts = simulator.read_state(self._cluster)["hosts"]
        states = {one["name"]: one["state"] for host in hosts for one in host["vms"]}
        return states.get(vm) == "running"

    def _host_of(self, vm: str) -> str:
        hosts = simulator.read_state(self._cluster)["hosts"]
        [host] = [one["name"] for one in hosts if vm in {machine["name"] for machine in one["vms"]}]
        return str(host)

    def _make_pool(self, count: int) -> tuple[str, str, list[str]]:
        """Alias, GUID of the job that filled it, names of its desktops."""
        alias = self.fresh("pool")
        guid = begin_create(self._wire, alias, count, host=HOST)
        report = follow(self._wire, guid)
        assert report.state == "JOB_COMPLETED"
        return alias, guid, sorted(report.statuses)

    def _make_personal(self) -> str:
        alias = self.fresh("personal")
        self._wire.create(
            COLLECTION, {"Alias": alias, "Name": alias, "Type": "2", "IsManaged": "false"}
        )
        return alias

    def _new_rdsh(self, kind: str) -> str:
        alias = self.fresh("rdsh")
        self._wire.create(_RDSH, {"Alias": alias, "Name": f"Hosts {alias}", "Type": kind})
        return alias

"""Many clients at once for a while: no error, no lost update, nothing that grows."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pywbem

from conftest import ServiceFactory
from live.service import PASSWORD, RDMS, USER, Service, until
from live.wire import Wire, fault
from openrdms.adapters import simulator

COLLECTION, SESSIONS = "Win32_RDMSVirtualDesktopCollection", "Win32_RDSHCollection"
DESKTOP = "Win32_RDMSVirtualDesktop"
STRANGERS = 200
CLIENTS = 4
"""Of each of six kinds."""
COUNTER = {"Alias": "counted"}
MEMORY_MIB, FILES = 24, 24
"""How much more may be in use at the end than after the first third: noise, no growth."""
BROKEN = (
    b"GET /wsman HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /wsman HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n<a></",
    b"POST /wsman HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n",
    b"POST /wsman HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n<half",
    b"POST /cimom HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"A" * 100_000,
)

Turn = Callable[[int], None]


@pytest.fixture(scope="module")
def service(
    services: ServiceFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Whose memory is all its own."""
    cluster = tmp_path_factory.mktemp("cluster")
    state_dir = tmp_path_factory.mktemp("soak")
    service = services(state_dir, f"simulator://{cluster}?hosts=2", options=["--allow-unencrypted"])
    service.start(RDMS)
    for number in range(STRANGERS):
        simulator.add_stranger(cluster, f"host{number % 2 + 1}", f"stranger-{number}")
    yield service


class Gauge:
    """Memory and open files of a process."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")

    def read(self) -> tuple[float, int]:
        """MiB and files, the least of some moments."""
        samples = []
        for _ in range(10):
            resident = int((self._process / "statm").read_text().split()[1]) * 4096 / (1 << 20)
            samples.append((resident, len(list((self._process / "fd").iterdir()))))
            time.sleep(0.05)
        return min(memory for memory, _ in samples), min(files for _, files in samples)


class Clients:
    """What each kind of client does in one turn; a turn that fails ends the test."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.added = itertools.count()
        """One step for each successful addition to the shared counter."""

    def make(self) -> list[Turn]:
        """Four clients of each kind, every one with a connection of its own."""
        kinds = (self._read, self._write, self._put, self._count, self._ask_cimxml, self._break)
        return [kind(number) for kind in kinds for number in range(CLIENTS)]

    def _wire(self, number: int) -> Wire:
        return Wire(self._service.client("http" if number % 2 else "https"))

    def _read(self, number: int) -> Turn:
        wire = self._wire(number)

        def turn(_: int) -> None:
            assert wire.get(COLLECTION, Alias="farm")["Alias"] == "farm"
            names = {item["Name"] for item in wire.enumerate(DESKTOP)}
            assert len(names) == STRANGERS

        return turn

    def _write(self, number: int) -> Turn:
        wire, keys = self._wire(number), {"Alias": "farm"}

        def turn(count: int) -> None:
            key = f"Key{number}"
            done = wire.invoke(COLLECTION, "SetInt32Property", keys, Key=key, Value=str(count))
            assert done.return_value == 0
            found = wire.invoke(COLLECTION, "GetInt32Property", keys, Key=key)
            assert found.outputs["Value"] == str(count)

        return turn

    def _put(self, number: int) -> Turn:
        """Each has a property of its own in the one instance that all of them change."""
        wire = self._wire(number)
        name = ("CollectionDescription", "Name", "ShowInPortal", "RollbackEnabled")[number]

        def turn(count: int) -> None:
            text = f"farm {count}" if number < 2 else ("true", "false")[count % 2]
            assert wire.put(COLLECTION, {name: text}, Alias="farm")[name] == text
            assert wire.get(COLLECTION, Alias="farm")[name] == text

        return turn

    def _count(self, number: int) -> Turn:
        """Compare and set until it was this client that added one."""
        wire = self._wire(number)

        def turn(_: int) -> None:
            before = read_counter(wire)
            inputs = {"Key": "n", "Comparand": str(before), "NewValue": str(before + 1)}
            answer = wire.invoke(SESSIONS, "KeyValueCompareAndSet", COUNTER, **inputs)
            assert answer.return_value == 0
            if answer.outputs["InitialValue"] == str(before):
                next(self.added)

        return turn

    def _ask_cimxml(self, number: int) -> Turn:
        connection = pywbem.WBEMConnection(
            self._service.ready["cimxml_http"],
            (USER, PASSWORD),
            default_namespace="root/cimv2/rdms",
            stats_enabled=False,
        )

        def turn(_: int) -> None:
            path = pywbem.CIMInstanceName(COLLECTION, {"Alias": "farm"})
            assert connection.GetInstance(path)["Alias"] == "farm"
            found = connection.IterEnumerateInstances(DESKTOP, MaxObjectCount=50)
            assert len(list(found)) == STRANGERS

        return turn

    def _break(self, number: int) -> Turn:
        """Faults over the protocol, then octets that are none."""
        wire = self._wire(number)
        places = [
            urlsplit(self._service.ready[name])
            for name in ("wsman_http", "wsman_https", "cimxml_http", "cimxml_https")
        ]

        def turn(count: int) -> None:
            with fault() as unknown:
                wire.get(COLLECTION, Alias=f"nobody-{count}")
            assert unknown.subcode
            with fault() as wrong:
                wire.invoke(COLLECTION, "NoSuchMethod", {"Alias": "farm"})
            assert wrong.subcode
            place = places[count % len(places)]
            with socket.create_connection((place.hostname, place.port), 10) as raw:
                raw.sendall(BROKEN[count % len(BROKEN)])

        return turn


def read_counter(wire: Wire) -> int:
    return int(str(wire.invoke(SESSIONS, "KeyValueGet", COUNTER, Key="n").outputs["Value"]))


@pytest.mark.parametrize(
    "seconds",
    [10, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
    ids="{} s".format,
)
def test_nothing_is_lost_and_nothing_grows(service: Service, seconds: int) -> None:
    prepare(service.wire())
    before = read_counter(service.wire())
    clients, gauge = Clients(service), Gauge(service.ready["pid"])
    turns = clients.make()
    ended = threading.Event()
    counts = [0] * len(turns)

    def live(number: int) -> None:
        while not ended.is_set():
            try:
                turns[number](counts[number])
            except BaseException:
                ended.set()
                raise
            counts[number] += 1

    with ThreadPoolExecutor(len(turns)) as threads:
        running = [threads.submit(live, number) for number in range(len(turns))]
        try:
            until("all are at work", lambda: ended.is_set() or min(counts) > 2, 120)
            ended.wait(seconds / 3)
            memory, files = gauge.read()
            ended.wait(seconds * 2 / 3)
            memory_at_end, files_at_end = gauge.read()
        finally:
            ended.set()
    for future in running:
        future.result()
    assert read_counter(service.wire()) - before == next(clients.added)
    assert memory_at_end - memory < MEMORY_MIB
    assert files_at_end - files < FILES
    assert "unexpectedly" not in (service.state_dir / "service.log").read_text()


def prepare(wire: Wire) -> None:
    """The collections that clients work on; left from before is fine."""
    present = {item["Alias"] for item in wire.enumerate(COLLECTION)}
    if "farm" not in present:
        wire.create(COLLECTION, {"Alias": "farm", "Name": "farm", "Type": "1"})
        wire.create(SESSIONS, {"Alias": "counted", "Name": "counted", "Type": "0"})
        first = wire.invoke(
            SESSIONS, "KeyValueCompareAndSet", COUNTER, Key="n", Comparand=None, NewValue="0"
        )
        assert first.return_value == 0

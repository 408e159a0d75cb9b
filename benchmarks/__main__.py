"""Measure, and print what came of it beside the bars.

usage: benchmarks/run [--seconds N] [--desktops N] [--many N]
"""

from __future__ import annotations

import argparse
import base64
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import client, messages, wrk
from benchmarks.client import Client
from benchmarks.fill import fill
from live.service import PASSWORD, USER, Service, rdms

HERE = Path(__file__).parent
BASIC = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
RATIOS = {1: 0.16, 8: 0.25}
"""Bars: requests a second as a share of the floor's, by connections."""
RATES = {"WS-Management": 25_000, "CIM-XML": 50_000}
"""Bars: instances a second."""
MEMORY_MIB = 50
_SETTLED_SHARE = 0.1
"""Of a processor: a service with nothing to do takes less."""
NAGLE_MS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="for each figure")
    parser.add_argument("--desktops", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000, help="0 leaves memory out")
    given = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory:
        with _floor() as floor, _service(Path(directory) / "small", given.desktops) as service:
            _settle(service)
            _print_requests(floor, service, given.seconds)
            _print_ntlm(service, given.seconds)
            _print_latency(service)
            _print_enumeration(service)
        if given.many:
            with _service(Path(directory) / "large", given.many) as service:
                _settle(service)
                _print_memory(service)


def _settle(service: Service) -> None:
    """Until it has asked all guests who is there, as it does when it starts."""
    spent = _SETTLED_SHARE
    while spent >= _SETTLED_SHARE:
        before = _cpu_seconds(service.ready["pid"])
        time.sleep(1)
        spent = _cpu_seconds(service.ready["pid"]) - before


def _print_requests(floor: str, service: Service, seconds: int) -> None:
    print(
        f"\n{'Basic':24}{'connections':>12}{'floor/s':>9}{'service/s':>10}{'ratio':>7}"
        f"{'CPU us':>8}  bar"
    )
    wsman, cimxml = service.ready["wsman_http"], service.ready["cimxml_http"]
    for name, url, request, bars in (
        ("WS-Man Get", wsman, messages.wsman_get(), RATIOS),
        ("WS-Man Invoke", wsman, messages.wsman_invoke(), RATIOS),
        ("CIM-XML GetInstance", cimxml, messages.cimxml_get(), {}),
        ("CIM-XML method", cimxml, messages.cimxml_invoke(), {}),
        ("WS-Man Get, TLS", service.ready["wsman_https"], messages.wsman_get(), {}),
        ("WS-Man Invoke, TLS", service.ready["wsman_https"], messages.wsman_invoke(), {}),
    ):
        with Client(wsman if request.path == "/wsman" else cimxml, BASIC) as one:
            size = len(one.post(request))
        asked = replace(request, headers={**request.headers, "Authorization": BASIC})
        for connections in (1, 8):
            plain = wrk.ask([f"{floor}/{size}"], asked, connections, seconds)
            spent = _cpu_seconds(service.ready["pid"])
            ours = wrk.ask([url], asked, connections, seconds)
            spent = _cpu_seconds(service.ready["pid"]) - spent
            ratio = ours / plain
            print(
                f"{name:24}{connections:12}{plain / seconds:9.0f}{ours / seconds:10.0f}{ratio:7.3f}"
                f"{spent / ours * 1e6:8.0f}  {_verdict(ratio, bars.get(connections))}"
            )


def _print_ntlm(service: Service, seconds: int) -> None:
    """One connection, authenticated once; by a client in Python, whose own time is in it."""
    file = service.state_dir / "bench-password"
    file.write_text(PASSWORD)
    file.chmod(0o600)
    place = ("--state-dir", service.state_dir)
    rdms("user", "add", "bench", "--role", "operator", "--password-file", file, *place)
    rdms("user", "set", "bench", "--ntlm", "--password-file", file, *place)
    url = service.ready["wsman_http"]
    print(f"\n{'1 connection, client in Python':36}{'Basic/s':>10}{'NTLM/s':>10}")
    for name, request in (("Get", messages.wsman_get()), ("Invoke", messages.wsman_invoke())):
        with Client(url, BASIC) as basic, Client(url) as ntlm:
            ntlm.log_on("/wsman", "bench", PASSWORD)
            figures = [client.rate(partial(one.post, request), seconds) for one in (basic, ntlm)]
        print(f"WS-Man {name:29}{figures[0]:10.0f}{figures[1]:10.0f}")


def _print_latency(service: Service) -> None:
    """Head and body in two segments are what Nagle's algorithm and delayed ACKs quarrel about."""
    print(f"\n{'head and body apart':36}{'median ms':>10}{'worst ms':>10}  bar")
    for name, url, request in (
        ("WS-Man Get", service.ready["wsman_http"], messages.wsman_get()),
        ("WS-Man Invoke", service.ready["wsman_http"], messages.wsman_invoke()),
        ("WS-Man Enumerate", service.ready["wsman_http"], messages.wsman_enumerate(10)),
        ("CIM-XML GetInstance", service.ready["cimxml_http"], messages.cimxml_get()),
        ("CIM-XML OpenEnumerateInstances", service.ready["cimxml_http"], messages.cimxml_open(10)),
    ):
        times = []
        with Client(url, BASIC) as one:
            for _ in range(100):
                begin = time.perf_counter()
                one.post(request, split=True)
                times.append((time.perf_counter() - begin) * 1000)
        median = statistics.median(times)
        print(f"{name:36}{median:10.2f}{max(times):10.2f}  {_below(median, NAGLE_MS, 'ms')}")


def _print_enumeration(service: Service) -> None:
    print(f"\n{'enumeration':24}{'instances':>12}{'seconds':>10}{'a second':>10}  bar")
    for name, count, seconds in _drain_both(service):
        bar = _verdict(count / seconds, RATES[name])
        print(f"{name:24}{count:12}{seconds:10.2f}{count / seconds:10.0f}  {bar}")


def _print_memory(service: Service) -> None:
    pid = service.ready["pid"]
    print(f"\n{'memory':24}{'instances':>12}{'before MiB':>12}{'most MiB':>10}  bar")
    for name, drain, url in _drains(service):
        with Client(url, BASIC) as one:
            before = most = _resident_mib(pid)
            count = 0
            for batch in drain(one):
                count += batch
                most = max(most, _resident_mib(pid))
        bar = _below(most - before, MEMORY_MIB, "MiB more")
        print(f"{name:24}{count:12}{before:12.1f}{most:10.1f}  {bar}")


def _drain_both(service: Service) -> Iterator[tuple[str, int, float]]:
    """The best of three each: whatever disturbs only makes it slower."""
    for name, drain, url in _drains(service):
        best, count = float("inf"), 0
        for _ in range(3):
            with Client(url, BASIC) as one:
                begin = time.perf_counter()
                count = sum(drain(one))
                best = min(best, time.perf_counter() - begin)
        yield name, count, best


def _drains(service: Service) -> list[tuple[str, Callable[[Client], Iterator[int]], str]]:
    return [
        ("WS-Management", client.drain_wsman, service.ready["wsman_http"]),
        ("CIM-XML", client.drain_cimxml, service.ready["cimxml_http"]),
    ]


def _verdict(figure: float, bar: float | None) -> str:
    if bar is None:
        return "-"
    return f"at least {bar:g}: {'reached' if figure >= bar else 'MISSED'}"


def _below(figure: float, bar: float, unit: str) -> str:
    return f"below {bar:g} {unit}: {'kept' if figure < bar else 'EXCEEDED'}"


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / (1 << 20)


@contextmanager
def _floor() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, HERE / "floor.py"], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def _service(state_dir: Path, count: int) -> Iterator[Service]:
    begin = time.monotonic()
    service = Service(state_dir, fill(state_dir, count), options=["--allow-unencrypted"])
    filled = time.monotonic()
    try:
        service.start()
        print(
            f"\n{count} desktops written in {filled - begin:.1f} s,"
            f" service started in {time.monotonic() - filled:.1f} s"
        )
        yield service
    finally:
        service.clear()


if __name__ == "__main__":
    main()

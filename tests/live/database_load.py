"""Many at work at services whose database goes and comes back: what each of them was told, and
when.

Whoever is told to try again later does so; any other answer than that or a right one is wrong.
"""

from __future__ import annotations

import itertools
import string
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx
from pypsrp.exceptions import WinRMTransportError, WSManFaultError

from live.browser import WebClient, csrf_of
from live.displays import get_ticket, open_display
from live.rfb import Viewer
from live.service import PASSWORD, USER, Service
from live.wire import Wire
from openrdms.model.errors import WbemCode

COLLECTION = "Win32_RDMSVirtualDesktopCollection"
POOL = "pool"
"""From which users get their desktops."""

_PAUSE = 0.05


class Later(Exception):
    """Refused: the same may be asked again in a while."""


@dataclass(frozen=True)
class Answer:
    """``began`` and ``ended`` by the monotonic clock."""

    began: float
    ended: float
    is_good: bool


class Caller:
    """Asks again and again, in a thread of its own."""

    def __init__(self, kind: str, ask: Callable[[], None]) -> None:
        """``ask`` raises Later, or anything else for a wrong answer."""
        self.kind = kind
        self.answers: list[Answer] = []
        self.wrong: list[str] = []
        self._ask = ask
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=kind)
        self._thread.start()

    def stop(self) -> None:
        """Return when the last answer has come."""
        self._closed.set()
        self._thread.join()

    @property
    def good(self) -> int:
        return sum(one.is_good for one in self.answers)

    def _run(self) -> None:
        while not self._closed.wait(_PAUSE) and not self.wrong:
            began, is_good = time.monotonic(), True
            try:
                self._ask()
            except Later:
                is_good = False
            except BaseException as error:  # noqa: BLE001  whatever it is, it is no right answer
                self.wrong.append(f"{self.kind}: {error!r}")
                return
            self.answers.append(Answer(began, time.monotonic(), is_good))


class Ledger:
    """What writers were told that it is there, each collection by its alias."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.unanswered: list[str] = []
        """There, although it was refused: the answer to its commit was lost."""


class Writer:
    """Makes one collection after the other; what was refused is asked for again."""

    def __init__(self, wire: Wire, name: str, ledger: Ledger) -> None:
        self._wire = wire
        self._name = name
        self._ledger = ledger
        self._number = 1
        self._was_refused = False

    def ask(self) -> None:
        alias = f"{self._name}-{self._number}"
        wanted = {"Alias": alias, "Name": alias, "Type": "1", "IsManaged": "false"}
        try:
            with later():
                self._wire.create(COLLECTION, wanted)
        except Later:
            self._was_refused = True
            raise
        except WSManFaultError as error:
            if not self._was_refused or int(error.code or 0) != WbemCode.ALREADY_EXISTS:
                raise
            self._ledger.unanswered.append(alias)
        else:
            self._ledger.acknowledged.append(alias)
        self._number += 1
        self._was_refused = False


class Reader:
    """Reads what was acknowledged: it is there, whoever is asked."""

    def __init__(self, web: WebClient, ledger: Ledger) -> None:
        self._web = web
        self._ledger = ledger

    def ask(self) -> None:
        known = self._ledger.acknowledged[-1:]
        for alias in known:
            read = check(self._web.get(f"/api/v1/collections/{alias}"), 200).json()
            assert read["alias"] == alias


class Owners:
    """Who has which desktop of the pool, by what the users were told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: dict[str, str] = {}

    def take(self, desktop: str, user: str) -> None:
        with self._lock:
            owner = self._owners.setdefault(desktop, user)
        assert owner == user, f"{desktop} was given to {user}, and {owner} has it"

    def leave(self, desktop: str, user: str) -> None:
        with self._lock:
            assert self._owners.pop(desktop) == user


class User:
    """Opens a desktop of the pool and gives it back, again and again."""

    def __init__(self, web: WebClient, name: str, owners: Owners) -> None:
        self._web = web
        self._name = name
        self._owners = owners
        self._desktop = ""
        web.headers["x-csrf-token"] = csrf_of(web.get("/").text)

    def ask(self) -> None:
        if self._desktop:
            check(self._web.post(f"/api/v1/me/desktops/{self._desktop}/reset"), 204, 404)
            self._desktop = ""
            return
        reply = self._web.post("/api/v1/me/connections", json={"collection": POOL})
        if check(reply, 200, 202).status_code == 200:
            self._desktop = reply.json()["desktop"]
            self._owners.take(self._desktop, self._name)
            self._owners.leave(self._desktop, self._name)


class Screen:
    """One display, which stays open: whoever looks sees, and what he types arrives."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._letters = itertools.cycle(string.ascii_lowercase)
        """A screen that is full of one letter would not change by one more."""

    def ask(self) -> None:
        before = self._viewer.look()
        self._viewer.type(next(self._letters))
        self._viewer.look_until_it_changes(before)


@contextmanager
def later() -> Iterator[None]:
    """Over WS-Management: the fault that says so, or 503 of who cannot be known."""
    try:
        yield
    except WSManFaultError as error:
        if int(error.code or 0) == WbemCode.NOT_AVAILABLE:
            raise Later from error
        raise
    except WinRMTransportError as error:
        if error.code == 503:
            raise Later from error
        raise


def check(reply: httpx.Response, *wanted: int) -> httpx.Response:
    """One of those, or Later, which says when."""
    if reply.status_code == 503:
        assert int(reply.headers["retry-after"]) > 0, reply.text
        raise Later
    assert reply.status_code in wanted, f"{reply.status_code}: {reply.text}"
    return reply


class Load:
    """Two writers, two readers at each service, users who come and go, and open displays."""

    def __init__(
        self, services: Sequence[Service], users: Sequence[str], password: str, name: str
    ) -> None:
        """What writers make has names that begin with ``name``. The last one of ``users`` keeps
        his desktop, looking at it at every service.
        """
        self.ledger = Ledger()
        self.callers: list[Caller] = []
        self._clients = ExitStack()
        owners = Owners()
        for number, service in enumerate(services):
            for copy in "ab":
                writer = Writer(service.wire(), f"{name}-w{number}{copy}", self.ledger)
                self._add("writes", writer.ask)
                reader = Reader(self._sign_in(service, USER, PASSWORD), self.ledger)
                self._add("reads", reader.ask)
            web = self._sign_in(service, users[-1], password)
            self._add("displays", Screen(self._open(service, web)).ask)
        for number, name in enumerate(users[:-1]):
            web = self._sign_in(services[number % len(services)], name, password)
            self._add("connections", User(web, name, owners).ask)

    def _add(self, kind: str, ask: Callable[[], None]) -> None:
        self.callers.append(Caller(kind, ask))

    def _sign_in(self, service: Service, name: str, password: str) -> WebClient:
        web = self._clients.enter_context(WebClient(service))
        web.sign_in(name, password)
        return web

    def _open(self, service: Service, web: WebClient) -> Viewer:
        web.headers["x-csrf-token"] = csrf_of(web.get("/").text)
        reply = web.post("/api/v1/me/connections", json={"collection": POOL})
        ticket = get_ticket(web, reply.json()["desktop"])
        return Viewer(self._clients.enter_context(open_display(service, web, ticket)))

    @property
    def wrong(self) -> list[str]:
        return [words for one in self.callers for words in one.wrong]

    def good_since(self, moment: float) -> bool:
        """Whether everybody has had a good answer to what he has asked since then."""
        return all(self._first_good(one, moment) is not None for one in self.callers)

    def _first_good(self, caller: Caller, moment: float) -> Answer | None:
        return next((a for a in [*caller.answers] if a.is_good and a.began >= moment), None)

    def stop(self) -> None:
        """Everybody goes."""
        for caller in self.callers:
            caller.stop()
        self._clients.close()

    def figures(self, gone: float, back: float) -> Iterator[str]:
        """One line for each kind; it went and answered again at these moments."""
        for kind in dict.fromkeys(one.kind for one in self.callers):
            callers = [one for one in self.callers if one.kind == kind]
            answers = [answer for one in callers for answer in one.answers]
            refused = [one for one in answers if not one.is_good]
            slowest = max((one.ended - one.began for one in refused), default=0.0)
            good = [self._first_good(one, back) for one in callers]
            first = max(one.ended - back for one in good if one)
            during = sum(one.is_good and one.began > gone and one.ended < back for one in answers)
            yield (
                f"{kind}: {len(callers)} callers, {len(answers)} answers, {during} good ones while "
                f"it was away, {len(refused)} refusals, the slowest after {slowest:.2f} s; all had "
                f"a good one {first:.1f} s after its return"
            )

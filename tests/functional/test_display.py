"""Desktops through the web port: who may look at them and type in them, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import InvalidStatus

from functional.test_cli import Rdms
from live.browser import WebClient, csrf_of
from live.displays import WebDisplay, get_ticket, open_display
from live.rfb import Ended, Viewer
from live.service import PASSWORD, USER, Service, until
from openrdms.adapters import simulator
from openrdms.frontends.web.display import MAX_VIEWERS

ServiceFactory = Callable[..., Service]

TIMES = "clone_ms=20&start_ms=20&boot_ms=100&agent_ms=10&destroy_ms=10&users=0"
BACKSPACE = 0xFF08
USERS = {"ann": "user", "bob": "user", "hal": "helpdesk", "olga": "operator"}
SECRET = "quite a long password"

Open = Callable[..., WebDisplay]
SignIn = Callable[[str], WebClient]


@pytest.fixture(scope="module")
def rdms(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Rdms:
    """A pool whose desktops are made anew after each user, and some people."""
    place = tmp_path_factory.mktemp("display")
    rdms = Rdms(running_service(place / "state", f"simulator://{place}/cluster?hosts=1&{TIMES}"))
    password = place / "users-password"
    password.write_text(f"{SECRET}\n")
    for name, role in USERS.items():
        rdms.read("user", "add", name, "--role", role, "--password-file", str(password))
    rdms.read(
        *("collection", "create", "Pool", "--alias", "pool", "--prefix", "d-"),
        *("--image", "image:tiny", "--host", "host1=3", "--wait"),
    )
    assert rdms.run("collection", "set", "pool", "--user-group", "Everyone").exit_code == 0
    return rdms


@pytest.fixture
def sign_in(rdms: Rdms) -> Iterator[SignIn]:
    with ExitStack() as clients:

        def sign_in(name: str) -> WebClient:
            client = clients.enter_context(WebClient(rdms.service))
            client.sign_in(name, PASSWORD if name == USER else SECRET)
            return client

        yield sign_in


@pytest.fixture
def desktop(rdms: Rdms) -> Iterator[str]:
    """The one that ann has."""
    given: str = rdms.read("desktop", "connect", "pool", "ann", "--wait", "60")["VMName"]
    yield given
    rdms.run("pool", "release", given, "--force")


@pytest.fixture
def open_as(rdms: Rdms, sign_in: SignIn) -> Iterator[Open]:
    """A new ticket of somebody, and what it opens."""
    with ExitStack() as displays:

        def open_as(name: str, desktop: str, mode: str = "view") -> WebDisplay:
            client = sign_in(name)
            display = open_display(rdms.service, client, get_ticket(client, desktop, mode))
            return displays.enter_context(display)

        yield open_as


def test_its_holder_sees_and_types(rdms: Rdms, open_as: Open, desktop: str) -> None:
    viewer = Viewer(open_as("ann", desktop))
    before = viewer.look()
    viewer.type("hello")
    viewer.look_until_it_changes(before)
    assert viewer.name == desktop


def test_a_ticket_is_good_once(rdms: Rdms, sign_in: SignIn, desktop: str) -> None:
    client = sign_in("ann")
    ticket = get_ticket(client, desktop)
    with open_display(rdms.service, client, ticket):
        assert refuse(rdms, client, ticket) == 403


def refuse(rdms: Rdms, client: WebClient, ticket: str, **how: str | None) -> int:
    """The status with which it is refused."""
    with pytest.raises(InvalidStatus) as refused, open_display(rdms.service, client, ticket, **how):
        pass
    return refused.value.response.status_code


def test_refusals(rdms: Rdms, sign_in: SignIn, desktop: str) -> None:
    ann, bob = sign_in("ann"), sign_in("bob")
    assert refuse(rdms, bob, get_ticket(ann, desktop)) == 403
    assert refuse(rdms, ann, get_ticket(ann, desktop), origin="https://evil.example") == 403
    assert refuse(rdms, ann, get_ticket(ann, desktop), origin=None) == 403
    assert refuse(rdms, ann, get_ticket(ann, desktop), cookie=None) == 401
    assert refuse(rdms, ann, get_ticket(ann, desktop), cookie="x" * 43) == 401
    assert refuse(rdms, ann, "x" * 43) == 403
    refused = {(one["who"], one["reason"]) for one in find_refusals(rdms)}
    assert ("bob", "the ticket is another account's") in refused
    assert ("", "sign in with this browser") in refused
    assert {"ann", "bob", ""} <= {who for who, _ in refused}


def find_refusals(rdms: Rdms) -> list[dict[str, str]]:
    calls: list[dict[str, str]] = rdms.read("audit", "log")
    return [call for call in calls if call["what"] == "sign in/display"]


def test_others_get_no_ticket(rdms: Rdms, sign_in: SignIn, desktop: str) -> None:
    bob, hal = sign_in("bob"), sign_in("hal")
    assert bob.get(f"/display/{desktop}").status_code == 404
    path = f"/api/v1/desktops/{desktop}/display"
    for client, mode, status in ((bob, "view", 403), (hal, "control", 403)):
        headers = {"x-csrf-token": csrf_of(client.get("/").text)}
        reply = client.post(path, json={"mode": mode}, headers=headers)
        assert reply.status_code == status
    assert bob.post(path, json={}).status_code == 403  # no CSRF token


def log_on(rdms: Rdms, desktop: str) -> None:
    """ann, of whom the service knows: who helps her before must ask again then."""
    simulator.log_on(rdms.cluster, "host1", desktop, "ann")
    query = "SELECT seen FROM desktop_uses WHERE name_key = ?"
    until("ann is seen", lambda: rdms.service.read_rows(query, desktop) == [(1,)])


def test_who_helped_before_the_user_came_must_ask_again(
    rdms: Rdms, open_as: Open, desktop: str
) -> None:
    display = open_as("hal", desktop)
    viewer = Viewer(display)
    log_on(rdms, desktop)
    assert ends_with(display, viewer) == 4000
    simulator.log_off(rdms.cluster, "host1", desktop, "ann")


def test_who_helps_looks_and_the_user_is_told(rdms: Rdms, open_as: Open, desktop: str) -> None:
    log_on(rdms, desktop)
    viewer = Viewer(open_as("hal", desktop))
    (session,) = rdms.truth()[desktop]["sessions"]
    assert [one["text"] for one in session["messages"]] == ["hal is looking at your screen."]
    before = viewer.look()
    viewer.type("not mine")
    typist = Viewer(open_as("ann", desktop))
    typist.type("x")
    shown = viewer.look_until_it_changes(before)
    typist.press(BACKSPACE)
    assert viewer.look_until_it_changes(shown) == before
    simulator.log_off(rdms.cluster, "host1", desktop, "ann")
    for watcher in (viewer, typist):
        with pytest.raises(Ended):
            while True:
                watcher.look(whole=False)


def test_only_what_somebody_has_is_controlled(
    rdms: Rdms, sign_in: SignIn, desktop: str, open_as: Open
) -> None:
    spare = next(name for name in rdms.truth() if name != desktop)
    olga = sign_in("olga")
    headers = {"x-csrf-token": csrf_of(olga.get(f"/display/{desktop}").text)}
    path = f"/api/v1/desktops/{spare}/display"
    reply = olga.post(path, json={"mode": "control"}, headers=headers)
    assert (reply.status_code, "nobody has" in reply.json()["detail"]) == (409, True)
    assert olga.post("/api/v1/desktops/no/display", json={}, headers=headers).status_code == 404
    viewer = Viewer(open_as("olga", desktop, "control"))
    before = viewer.look()
    viewer.type("fixed")
    viewer.look_until_it_changes(before)


@pytest.fixture
def set_shadow(rdms: Rdms) -> Iterator[Callable[[str], None]]:
    def set_shadow(value: str) -> None:
        assert rdms.run("deployment", "set", "--shadow", value).exit_code == 0

    yield set_shadow
    set_shadow("control")


def test_the_deployment_says_what_staff_may_do(
    sign_in: SignIn, desktop: str, open_as: Open, set_shadow: Callable[[str], None]
) -> None:
    watched, used = open_as("hal", desktop), open_as("olga", desktop, "control")
    viewers = [Viewer(watched), Viewer(used)]
    own = Viewer(open_as("ann", desktop))
    set_shadow("view")
    assert ends_with(used, viewers[1]) == 4000
    assert ask(sign_in("olga"), desktop, "control") == 403
    assert ask(sign_in("hal"), desktop, "view") == 200
    set_shadow("none")
    assert ends_with(watched, viewers[0]) == 4000
    assert ask(sign_in("hal"), desktop, "view") == 403
    picture = f"/api/v1/desktops/{desktop}/screenshot.png"
    assert sign_in(USER).get(picture).status_code == 403
    own.look()


def ask(client: WebClient, desktop: str, mode: str) -> int:
    """The status with which a ticket is given or refused."""
    headers = {"x-csrf-token": csrf_of(client.get("/").text)}
    path = f"/api/v1/desktops/{desktop}/display"
    return client.post(path, json={"mode": mode}, headers=headers).status_code


def ends_with(display: WebDisplay, viewer: Viewer) -> int | None:
    """Why the service closes it."""
    with pytest.raises(Ended):
        while True:
            viewer.look(whole=False)
    return display.code


def test_it_ends_when_the_desktop_is_given_back(rdms: Rdms, open_as: Open, desktop: str) -> None:
    display, watched = open_as("ann", desktop), open_as("hal", desktop)
    viewers = Viewer(display), Viewer(watched)
    assert rdms.run("pool", "release", desktop, "--force").exit_code == 0
    assert [ends_with(display, viewers[0]), ends_with(watched, viewers[1])] == [4000, 4000]


def test_it_ends_with_the_session(rdms: Rdms, sign_in: SignIn, desktop: str) -> None:
    client = sign_in("ann")
    with open_display(rdms.service, client, get_ticket(client, desktop)) as display:
        viewer = Viewer(display)
        page = client.get(f"/display/{desktop}").text
        client.post("/sign-out", headers={"x-csrf-token": csrf_of(page)})
        assert ends_with(display, viewer) == 4001


def test_it_ends_with_the_account(rdms: Rdms, open_as: Open, desktop: str) -> None:
    display = open_as("ann", desktop)
    viewer = Viewer(display)
    assert rdms.run("user", "set", "ann", "--disable").exit_code == 0
    assert ends_with(display, viewer) == 4001
    assert rdms.run("user", "set", "ann", "--enable").exit_code == 0


def test_it_ends_with_the_vm(rdms: Rdms, open_as: Open, desktop: str) -> None:
    display = open_as("ann", desktop)
    viewer = Viewer(display)
    assert rdms.run("desktop", "stop", desktop).exit_code == 0
    assert ends_with(display, viewer) in (4000, 4002)  # the pool may take it back before


@pytest.mark.parametrize("message", [b"\xfe", bytes([6, 0, 0, 0, 0x7F, 0, 0, 0])])
def test_what_is_no_rfb_ends_it(rdms: Rdms, open_as: Open, desktop: str, message: bytes) -> None:
    display = open_as("ann", desktop)
    viewer = Viewer(display)
    display.sendall(message)
    assert ends_with(display, viewer) == 1008


def test_frames_that_are_too_large_end_it(rdms: Rdms, open_as: Open, desktop: str) -> None:
    display = open_as("olga", desktop, "control")
    viewer = Viewer(display)
    display.sendall(bytes((1 << 20) + 1))
    assert ends_with(display, viewer) in (1009, None)  # the code may come behind what was sent
    query = "SELECT 1 FROM audit_log WHERE what = 'sign in/display' AND who = 'olga'"
    until("it is on record", lambda: rdms.service.read_rows(query))


def test_as_many_viewers_as_look_at_once(rdms: Rdms, sign_in: SignIn, desktop: str) -> None:
    client = sign_in("ann")
    with ExitStack() as displays:
        for _ in range(MAX_VIEWERS):
            display = open_display(rdms.service, client, get_ticket(client, desktop))
            Viewer(displays.enter_context(display)).look()
        assert refuse(rdms, client, get_ticket(client, desktop)) == 409

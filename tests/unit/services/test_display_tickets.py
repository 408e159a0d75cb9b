"""Tickets to displays: for whom, for how long, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from fakes.clock import StoppedClock
from fakes.small_deployment import HOST1, SmallDeployment, open_small_deployment
from openrdms.adapters import simulator
from openrdms.model.account import Role
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.display_ticket import LIFETIME, Mode
from openrdms.model.errors import AccessDenied, GuestUnreachable, InvalidOperation, NotFound
from openrdms.model.shadow import Shadow
from openrdms.security.accounts import Accounts
from openrdms.services.display_tickets import DisplayTickets, TicketRefused


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def small(tmp_path: Path, clock: StoppedClock) -> Iterator[SmallDeployment]:
    """One desktop, which runs; ann has it, and is logged on."""
    with open_small_deployment(tmp_path) as deployment:
        accounts = Accounts(deployment.store, tmp_path / "nt-hashes", clock)
        for name in ("ann", "bob", "hal"):
            accounts.add(name, Role.USER)
        deployment.make_collection("pool", CollectionType.POOLED)
        deployment.make_desktop("pool-1", "pool")
        deployment.hosts.get(HOST1).start("pool-1")
        simulator.log_off(deployment.path, HOST1, "pool-1", "alice")
        simulator.log_on(deployment.path, HOST1, "pool-1", "ann")
        deployment.uses.change(["pool-1"], take)
        yield deployment


def take(use: DesktopUse) -> DesktopUse:
    return replace(use, use=Use.TAKEN, holder="ann", turn=use.turn + 1)


@pytest.fixture
def tickets(small: SmallDeployment, clock: StoppedClock) -> DisplayTickets:
    return DisplayTickets(small.store, small.hosts, clock)


def read_messages(small: SmallDeployment) -> list[str]:
    (host, *_) = simulator.read_state(small.path)["hosts"]
    return [one["text"] for one in host["vms"][0]["sessions"][0]["messages"]]


def test_its_holder_controls_it_once(small: SmallDeployment, tickets: DisplayTickets) -> None:
    secret = tickets.issue("ann", "POOL-1")
    ticket = tickets.redeem(secret, "Ann")
    assert (ticket.desktop, ticket.mode, ticket.holder) == ("pool-1", Mode.CONTROL, "ann")
    with pytest.raises(TicketRefused, match="used before"):
        tickets.redeem(secret, "ann")
    assert read_messages(small) == []
    tickets.open_display(ticket).close()


def test_who_does_not_have_it_gets_none(tickets: DisplayTickets) -> None:
    assert [tickets.is_holder(name, "pool-1") for name in ("ANN", "bob")] == [True, False]
    for account, desktop in (("bob", "pool-1"), ("ann", "pool-2")):
        with pytest.raises(AccessDenied):
            tickets.issue(account, desktop)


def test_of_another_account_it_is_used_up(tickets: DisplayTickets) -> None:
    secret = tickets.issue("ann", "pool-1")
    with pytest.raises(TicketRefused, match="another account's"):
        tickets.redeem(secret, "bob")
    with pytest.raises(TicketRefused):
        tickets.redeem(secret, "ann")


def test_it_is_good_for_a_while(tickets: DisplayTickets, clock: StoppedClock) -> None:
    early, late = tickets.issue("ann", "pool-1"), tickets.issue("ann", "pool-1")
    clock.move(LIFETIME - timedelta(seconds=1))
    tickets.redeem(early, "ann")
    clock.move(timedelta(seconds=1))
    with pytest.raises(TicketRefused, match="expired"):
        tickets.redeem(late, "ann")


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (Mode.VIEW, "hal is looking at your screen."),
        (Mode.CONTROL, "hal can see your screen and use your keyboard and mouse."),
    ],
)
def test_the_user_is_told_of_others(
    small: SmallDeployment, tickets: DisplayTickets, mode: Mode, words: str
) -> None:
    ticket = tickets.redeem(tickets.issue_to_staff("hal", "pool-1", mode), "hal")
    assert (ticket.mode, ticket.holder) == (mode, "ann")
    assert read_messages(small) == [words]


def test_who_cannot_be_told_is_not_watched(small: SmallDeployment, clock: StoppedClock) -> None:
    tickets = DisplayTickets(small.store, small.hosts, clock, guest_seconds=0.1)
    simulator.set_fault(small.path, HOST1, "pool-1", "silent")
    with pytest.raises(GuestUnreachable):
        tickets.issue_to_staff("hal", "pool-1", Mode.VIEW)


def test_who_logs_on_before_a_ticket_is_used_is_told(
    small: SmallDeployment, tickets: DisplayTickets
) -> None:
    simulator.log_off(small.path, HOST1, "pool-1", "ann")
    ticket = tickets.redeem(tickets.issue_to_staff("hal", "pool-1", Mode.VIEW), "hal")
    simulator.log_on(small.path, HOST1, "pool-1", "ann")
    tickets.open_display(ticket).close()
    assert read_messages(small) == ["hal is looking at your screen."]


def test_who_was_told_is_not_told_again(small: SmallDeployment, tickets: DisplayTickets) -> None:
    small.uses.change(["pool-1"], lambda use: replace(use, seen=True))
    ticket = tickets.redeem(tickets.issue_to_staff("hal", "pool-1", Mode.VIEW), "hal")
    tickets.open_display(ticket).close()
    assert read_messages(small) == ["hal is looking at your screen."]


@pytest.mark.parametrize(
    ("shadow", "permitted"),
    [(Shadow.NONE, []), (Shadow.VIEW, [Mode.VIEW]), (Shadow.CONTROL, [*Mode])],
)
def test_staff_do_what_the_deployment_permits(
    small: SmallDeployment, tickets: DisplayTickets, shadow: Shadow, permitted: list[Mode]
) -> None:
    given = [tickets.issue_to_staff("hal", "pool-1", mode) for mode in Mode]
    own = tickets.issue("ann", "pool-1")
    small.store.change_setting("Shadow", int(shadow), lambda _: None)
    assert [mode for mode in Mode if tickets.permits(mode)] == permitted
    for mode, secret in zip(Mode, given, strict=True):
        if mode in permitted:
            tickets.redeem(tickets.issue_to_staff("hal", "pool-1", mode), "hal")
            tickets.redeem(secret, "hal")
            continue
        with pytest.raises(AccessDenied, match="Shadow"):
            tickets.issue_to_staff("hal", "pool-1", mode)
        with pytest.raises(TicketRefused, match="Shadow"):
            tickets.redeem(secret, "hal")
    tickets.redeem(own, "ann")


def test_what_nobody_has_is_looked_at_only(small: SmallDeployment, tickets: DisplayTickets) -> None:
    small.uses.move(["pool-1"], Use.UNREADY, of=[Use.TAKEN])
    with pytest.raises(InvalidOperation, match="nobody has"):
        tickets.issue_to_staff("hal", "pool-1", Mode.CONTROL)
    assert tickets.redeem(tickets.issue_to_staff("hal", "pool-1", Mode.VIEW), "hal").holder == ""
    assert read_messages(small) == []
    with pytest.raises(NotFound):
        tickets.issue_to_staff("hal", "pool-2", Mode.VIEW)

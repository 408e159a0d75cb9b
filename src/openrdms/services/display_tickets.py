"""Tickets to the displays of desktops: for who has a desktop, and for staff who help him.

A ticket is for one account, one desktop and one stay in it; it is good once, for some seconds.
While the records are away whoever has a desktop, or moves into his own, is given tickets out of
memory.
"""

from __future__ import annotations

import secrets
import socket
import threading
from contextlib import suppress

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.display_ticket import LIFETIME, DisplayTicket, Mode
from openrdms.model.shadow import KEY, read_shadow
from openrdms.security.web_sessions import hash_secret
from openrdms.services.hosts import Hosts
from openrdms.services.local_copy import LocalCopy

GUEST_SECONDS = 10.0
"""What a guest gets to say who is logged on, and to show one of them a message."""

_TITLE = "Remote assistance"
_WORDS = {
    Mode.VIEW: "{name} is looking at your screen.",
    Mode.CONTROL: "{name} can see your screen and use your keyboard and mouse.",
}


class TicketRefused(errors.AccessDenied):
    """No ticket, or none that is good here and now."""


class DisplayTickets:
    """Safe from any thread."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        clock: ports.Clock,
        guest_seconds: float = GUEST_SECONDS,
        copy: LocalCopy | None = None,
    ) -> None:
        """``copy`` is asked for who has what while the records are away."""
        self._copy = copy
        self._lock = threading.Lock()
        self._unwritten: dict[str, DisplayTicket] = {}
        """Given out meanwhile, by the hash of their secret."""
        self._guest_seconds = guest_seconds
        self._store = store
        self._hosts = hosts
        self._clock = clock

    def is_holder(self, account: str, desktop: str) -> bool:
        """Whether that account has the desktop now."""
        use = self._find_use(desktop, account)
        return use is not None and _has(use, account)

    def permits(self, mode: Mode) -> bool:
        """Whether staff may do that in this deployment with the screen of who has a desktop."""
        return read_shadow(self._store.find_setting(KEY)).permits(mode)

    def may_go_on(self, ticket: DisplayTicket) -> bool:
        """Whether what it has opened may stay open, as far as it is for the deployment to say."""
        return ticket.is_holders or not ticket.holder or self.permits(ticket.mode)

    def check_picture(self, desktop: str) -> None:
        """AccessDenied when nobody may have one of the screen of who has that desktop now."""
        use = self._store.find_use(desktop)
        if use and use.use is Use.TAKEN and not self.permits(Mode.VIEW):
            raise errors.AccessDenied(f"the setting {KEY} of the deployment forbids to view it")

    def issue(self, account: str, desktop: str) -> str:
        """A ticket for who has the desktop, to use it. AccessDenied for anybody else."""
        use = self._find_use(desktop, account)
        if use is None or not _has(use, account):
            raise errors.AccessDenied(f"{account} does not have the desktop {desktop}")
        return self._issue(account, use, Mode.CONTROL)

    def issue_to_staff(self, account: str, desktop: str, mode: Mode) -> str:
        """A ticket for somebody else, once all who are logged on have been told of it.

        NotFound; AccessDenied by the deployment's setting Shadow; InvalidOperation to control what
        nobody has, so that what is handed out is fresh; HostUnavailable and SessionError when they
        cannot be told.
        """
        use = self._store.find_use(desktop)
        if use is None:
            raise errors.NotFound(f"there is no desktop {desktop!r}")
        if use.use is Use.TAKEN and not self.permits(mode):
            raise errors.AccessDenied(f"the setting {KEY} of the deployment forbids to {mode} it")
        if mode is Mode.CONTROL and use.use is not Use.TAKEN:
            raise errors.InvalidOperation(f"nobody has {use.name}: it can only be looked at")
        self._announce(use, account, mode)
        return self._issue(account, use, mode)

    def redeem(self, secret: str, account: str) -> DisplayTicket:
        """What the ticket is for; it is used up, also by whom it is not for. TicketRefused."""
        with self._lock:
            ticket = self._unwritten.pop(hash_secret(secret), None)
        ticket = ticket or self._store.take_display_ticket(hash_secret(secret))
        if ticket is None:
            raise TicketRefused("the ticket was used before, or there was none")
        if ticket.account.casefold() != account.casefold():
            raise TicketRefused("the ticket is another account's")
        if ticket.expires <= self._clock():
            raise TicketRefused("the ticket has expired")
        if not self.may_go_on(ticket):
            raise TicketRefused(f"the setting {KEY} of the deployment has changed")
        return ticket

    def open_display(self, ticket: DisplayTicket) -> socket.socket:
        """See ports.Host. NotFound; HostUnavailable, VmNotRunning, NotSupported.

        Who may have logged on since a ticket was issued to somebody else is told now:
        HostUnavailable and SessionError when he cannot be.
        """
        use = self._find_use(ticket.desktop, ticket.account)
        if use is None:
            raise errors.NotFound(f"there is no desktop {ticket.desktop!r}")
        if not ticket.is_holders and not ticket.seen:
            self._announce(use, ticket.account, ticket.mode)
        return self._hosts.get(use.host).open_display(use.name)

    def _find_use(self, desktop: str, account: str) -> DesktopUse | None:
        """On record; while they are away what this account has, RecordsUnavailable for others."""
        try:
            return self._store.find_use(desktop)
        except errors.RecordsUnavailable:
            known = self._copy.find(desktop, account) if self._copy else None
            if known is None:
                raise
            return known

    def _issue(self, account: str, use: DesktopUse, mode: Mode) -> str:
        now = self._clock()
        secret = secrets.token_urlsafe(32)
        ticket = DisplayTicket(
            secret_hash=hash_secret(secret),
            account=account,
            desktop=use.name,
            mode=mode,
            holder=use.holder,
            stay=use.stay,
            seen=use.seen,
            expires=now + LIFETIME,
        )
        try:
            self._store.delete_display_tickets(now)
            self._store.put_display_ticket(ticket)
        except errors.RecordsUnavailable:
            if self._copy is None or not self._copy.move_in(use.name, account):
                raise
            self._keep(ticket)
        return secret

    def _keep(self, ticket: DisplayTicket) -> None:
        now = self._clock()
        with self._lock:
            good = {key: one for key, one in self._unwritten.items() if one.expires > now}
            self._unwritten = {**good, ticket.secret_hash: ticket}

    def _announce(self, use: DesktopUse, account: str, mode: Mode) -> None:
        """The guest itself is asked: one that does not answer is no empty one."""
        if use.use is not Use.TAKEN:
            return
        guest = self._hosts.get(use.host).guest(use.name)
        for session in guest.list_sessions(self._guest_seconds):
            with suppress(errors.SessionGone):
                words = _WORDS[mode].format(name=account)
                guest.send_message(session, _TITLE, words, self._guest_seconds)


def _has(use: DesktopUse, account: str) -> bool:
    return use.use is Use.TAKEN and use.holder.casefold() == account.casefold()

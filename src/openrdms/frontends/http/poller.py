"""The thread that waits for all connections, and answers on the spot.

Whoever waits also answers: a quick call costs no change of thread, which in Python is dearer than
the call. When a call takes longer than some milliseconds, another thread becomes the leader and
waits in its stead; the slow call goes on where it is, with its connection to itself, and its
thread becomes a reserve afterwards. So a call may block as long as it likes, and as many may as
there are connections. Where two calls were slow others will be: for some requests after them the
lead is given away before each call; then one is tried again, since threads that wait for each
other look slow too.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable

from openrdms.frontends.http.alarm import Alarm
from openrdms.frontends.http.connection import Connection
from openrdms.frontends.proxy_protocol import Balancers, Peer
from openrdms.security.lockout import place_of

CONNECTIONS = 1000
CONNECTIONS_OF_ADDRESS = 256
"""At once, in all and of one address (IPv6: network), so that one cannot take all of them."""
PATIENCE_SECONDS = 0.005
"""How long a call may keep the leader."""
WARY_TURNS = 64
"""Requests after a slow call for which the lead is given away at once."""
SWEEP_SECONDS = 0.1
MAX_RESERVE = 32

_NO_TERM = -1
_FINISH_SECONDS = 5.0

_log = logging.getLogger(__name__)

Work = Callable[[Connection], None]
Accept = Callable[[socket.socket, Peer], Connection]
"""Makes a connection of a socket and who is at its other end."""


class Poller:
    """Connections of some listening sockets, looked after by one leader at a time."""

    def __init__(self, balancers: Balancers) -> None:
        self._balancers = balancers
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._listening: dict[int, tuple[socket.socket, Accept]] = {}
        self._connections: dict[int, Connection] = {}
        self._away: set[Connection] = set()
        """Those whose call goes on in a thread that is no longer the leader."""
        self._lock = threading.Lock()
        """Held while leadership or a connection changes hands."""
        self._term = 0
        self._turn = 0
        self._wary = 0
        self._busy: Connection | None = None
        self._terms: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._reserve = 0
        self._next_sweep = 0.0
        self._alarm = Alarm(PATIENCE_SECONDS)
        self._ended = False
        self._finished = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="http-watch", daemon=True)

    def listen(self, sock: socket.socket, accept: Accept) -> None:
        """Add a listening socket, before ``start``."""
        sock.settimeout(0)
        self._balancers.prepare(sock)
        self._listening[sock.fileno()] = (sock, accept)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def start(self) -> None:
        """Begin to accept."""
        self._spawn(self._work)
        self._terms.put(self._term)
        self._watcher.start()

    def stop(self, seconds: float) -> None:
        """Accept no more, let requests under way finish for some seconds, close all. Repeatable."""
        if self._ended:
            return
        with self._lock:
            listening, self._listening = self._listening, {}
            for sock, _ in listening.values():
                self._epoll.unregister(sock.fileno())
                sock.close()
        deadline = time.monotonic() + seconds
        while (self._away or self._busy) and time.monotonic() < deadline:
            time.sleep(0.01)
        with self._lock:
            self._ended = True
            for _ in range(self._reserve):
                self._terms.put(_NO_TERM)
        os.eventfd_write(self._wake, 1)
        self._alarm.set()
        if self._finished.wait(_FINISH_SECONDS):
            self._watcher.join()
            self._alarm.close()
            self._epoll.close()
            os.close(self._wake)

    def _spawn(self, target: Callable[[], None]) -> None:
        threading.Thread(target=target, name="http", daemon=True).start()

    def _work(self) -> None:
        """A thread's life: leader, then on its own with a slow call, then in reserve."""
        while True:
            self._lead(self._terms.get())
            with self._lock:
                if self._ended or self._reserve >= MAX_RESERVE:
                    return
                self._reserve += 1

    def _lead(self, term: int) -> None:
        while self._term == term:
            events = self._epoll.poll(SWEEP_SECONDS if self._connections else -1)
            for fileno, _ in events:
                connection = self._connections.get(fileno)
                if connection is None:
                    self._accept(fileno)
                elif not self._attend(connection, Connection.advance):
                    return  # whoever leads now is told of the other events again
            if self._ended:
                self._close_all()
                return
            if not self._sweep():
                return

    def _attend(self, connection: Connection, work: Work) -> bool:
        """Let a connection work; False when this thread lost the lead meanwhile."""
        self._turn += 1
        self._busy = connection
        self._alarm.set()
        before = connection.interest
        if self._wary:
            self._wary -= 1
            self._promote(self._turn)
        _work_safely(connection, work)
        with self._lock:
            leads = self._busy is connection
            if leads:
                self._busy = None
            self._settle(connection, before)
        return leads

    def _settle(self, connection: Connection, before: int) -> None:
        was_away = connection in self._away
        self._away.discard(connection)
        if connection.closed or (self._ended and was_away):
            self._drop(connection, is_registered=not was_away)
        elif was_away:
            self._epoll.register(connection.fileno, connection.interest)
        elif connection.interest != before:
            self._epoll.modify(connection.fileno, connection.interest)

    def _drop(self, connection: Connection, *, is_registered: bool) -> None:
        if is_registered:
            self._epoll.unregister(connection.fileno)
        del self._connections[connection.fileno]
        connection.socket.close()

    def _accept(self, fileno: int) -> None:
        listening = self._listening.get(fileno)
        if listening is None:
            return
        sock, accept = listening
        try:
            client, place = sock.accept()
        except BlockingIOError:  # it has gone again
            return
        except OSError:
            _log.exception("a connection cannot be accepted")
            time.sleep(PATIENCE_SECONDS)  # there are no more descriptors, and it goes on waiting
            return
        try:
            peer = self._balancers.find_peer(client, place[0])
            if self._is_full(peer.address):
                client.close()
                return
            client.settimeout(0)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = accept(client, peer)
        except OSError:  # it has gone again, or a balancer does not say whose it is
            client.close()
            return
        self._connections[connection.fileno] = connection
        self._epoll.register(connection.fileno, connection.interest)

    def _is_full(self, address: str) -> bool:
        known = list(self._connections.values())  # which other threads remove theirs from
        place = place_of(address)
        of_address = sum(connection.place == place for connection in known)
        return of_address >= CONNECTIONS_OF_ADDRESS or len(known) >= CONNECTIONS

    def _sweep(self) -> bool:
        """Call those whose deadline passed; False when this thread lost the lead meanwhile."""
        now = time.monotonic()
        if now < self._next_sweep:
            return True
        self._next_sweep = now + SWEEP_SECONDS
        for connection in list(self._connections.values()):
            is_late = connection.deadline < now and connection not in self._away
            if is_late and not self._attend(connection, Connection.expire):
                return False
        return True

    def _close_all(self) -> None:
        with self._lock:
            for connection in list(self._connections.values()):
                if connection in self._away:
                    connection.abort()
                else:
                    self._drop(connection, is_registered=True)
        self._finished.set()

    def _watch(self) -> None:
        """Give the lead to another thread whenever a call keeps the leader for too long."""
        last_slow = -WARY_TURNS
        while True:
            self._alarm.wait()
            if self._ended:
                return
            turn = self._turn
            if self._busy is not None:
                # One by itself may have waited for a processor only.
                if turn - last_slow < WARY_TURNS:
                    self._wary = WARY_TURNS
                last_slow = turn
                self._promote(turn)

    def _promote(self, turn: int) -> None:
        with self._lock:
            connection = self._busy
            if connection is None or self._turn != turn or self._ended:
                return  # at the end no reserve takes over: who leads closes all
            if self._reserve:
                self._reserve -= 1
            else:
                try:
                    self._spawn(self._work)
                except RuntimeError:  # no more threads: the others wait until there are some
                    self._alarm.set()
                    return
            self._busy = None
            self._epoll.unregister(connection.fileno)
            self._away.add(connection)
            self._term += 1
            self._terms.put(self._term)


def _work_safely(connection: Connection, work: Work) -> None:
    try:
        work(connection)
    except Exception:  # noqa: BLE001 - the edge: one connection's failure must not end the others
        _log.exception("a connection failed unexpectedly")
        connection.closed = True

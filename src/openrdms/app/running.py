"""The process: holds a state directory, and runs the service or one command in it.

The service is crash-only: stopping it is closing its listeners and leaving, nothing else, so
that an orderly stop and kill -9 leave the same behind.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import structlog

from openrdms import config
from openrdms.app.core import Core, open_core
from openrdms.app.databases import find_databases, recall
from openrdms.app.embedding import hold_hosts
from openrdms.app.logs import log_to_stderr
from openrdms.app.service import Service
from openrdms.app.state_directory import exchange_member, hold
from openrdms.frontends.admin.commands import LocalAdmin
from openrdms.frontends.admin.server import local_name
from openrdms.model import errors

_STOP_SECONDS = 2.0
"""What requests under way may take to end before the process does: well below the 5 s promised."""

FENCED = 75
"""Exit code of a service that the others have taken for dead (EX_TEMPFAIL of sysexits.h)."""

_UMASK = 0o022
"""Whoever starts us may have another: QEMU's account reads images and passes through directories.
What is for nobody else has modes of its own, in a state directory that is ours alone.
"""

SWITCH_SECONDS = 0.0005
"""After which a busy thread lets another one go on. Each statement of SQLite gives the interpreter
away, and would wait 5 ms, Python's own interval, until it gets it back; whoever waits for a lock
of that thread waits as long. Every thread that waits wakes that often, so much less costs more
than it brings.
"""

_M_ARENA_MAX = -8

_log = structlog.get_logger(__name__)


@contextmanager
def open_admin(state_dir: Path) -> Iterator[LocalAdmin]:
    """Administration of a state directory that no service runs on, with its last hypervisors."""
    last = recall(state_dir)
    log_to_stderr(logging.WARNING)
    os.umask(_UMASK)
    with hold(state_dir):
        databases = find_databases(
            state_dir, last.database, last.database_password_file, last.shared_key
        )
        with open_core(state_dir, last.hypervisors, databases) as core:
            yield LocalAdmin(core, local_name(os.getuid()))


def serve(settings: config.ServeConfig) -> NoReturn:
    """Run the service in this process until SIGTERM or SIGINT, which end the process.

    RdmsError when it cannot start.
    """
    log_to_stderr(logging.INFO)
    os.umask(_UMASK)
    sys.setswitchinterval(SWITCH_SECONDS)
    _share_arenas()
    _raise_file_limit()
    with hold(settings.state_dir):
        if settings.ready_file:
            _make_way(settings.ready_file)
        databases = find_databases(
            settings.state_dir,
            settings.database,
            settings.database_password_file,
            settings.shared_key,
        )
        with open_core(settings.state_dir, settings.hypervisors, databases, _end_fenced) as core:
            _join(core, settings)
            config.remember(settings.state_dir, _used(settings))
            with hold_hosts(core.members, settings.hypervisors):
                _run_until_asked_to_end(Service(core, settings))
                os._exit(0)


def _join(core: Core, settings: config.ServeConfig) -> None:
    """Be one of several services, where there are several."""
    if core.members.me:
        before = exchange_member(settings.state_dir, core.members.me)
        version = metadata.version("openrdms")
        core.membership.join(socket.getfqdn(), settings.listen, version, before)


def _end_fenced(why: str) -> NoReturn:
    """At once: whatever is under way here is somebody else's by now."""
    _log.error("may not go on, ends; it is to be started again", reason=why)
    os._exit(FENCED)


def _used(settings: config.ServeConfig) -> config.Remembered:
    return config.Remembered(
        settings.hypervisors,
        settings.database,
        settings.database_password_file,
        settings.shared_key,
    )


def _share_arenas() -> None:
    """Have glibc keep what threads have freed in few places (mallopt(3), M_ARENA_MAX): with one
    for each of hundreds of threads some 10 MiB stay that nobody uses.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _raise_file_limit() -> None:
    """A thousand connections leave nothing to databases and guests within Debian's soft limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _run_until_asked_to_end(service: Service) -> None:
    asked, tells = socket.socketpair()
    os.set_blocking(tells.fileno(), False)
    for number in (signal.SIGTERM, signal.SIGINT):  # until here they just kill
        signal.signal(number, lambda *_: None)
    # The system may give a signal to any thread, which wakes the main one by this alone.
    signal.set_wakeup_fd(tells.fileno())
    service.start()
    # What is there now stays. To look at all of it again takes Python a quarter of a second, in
    # which nobody is answered.
    gc.freeze()
    _log.info("ready")
    asked.recv(1)
    _log.info("ending; jobs go on at the next start")
    threading.Timer(_STOP_SECONDS, os._exit, (0,)).start()
    service.stop()


def _make_way(ready_file: Path) -> None:
    """Remove the ready file of a service that was killed. InvalidParameter: no such directory."""
    if not ready_file.parent.is_dir():
        raise errors.InvalidParameter("--ready-file", f"{ready_file.parent} is no directory")
    ready_file.unlink(missing_ok=True)

"""What tests of running services share: an image, services, the check that no VM outlives them."""

from __future__ import annotations

import functools
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import structlog
from hypothesis import HealthCheck, settings
from pypsrp.wsman import NAMESPACES

for _name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
    os.environ.pop(_name, None)  # requests prefers them to the certificate that a test names

# pypsrp tells ElementTree its namespaces for each client: that changes a table which clients in
# other threads are reading just then. Once is enough.
ElementTree.register_namespace = functools.cache(ElementTree.register_namespace)  # type: ignore[assignment]
for _prefix, _uri in NAMESPACES.items():
    ElementTree.register_namespace(_prefix, _uri)

# Threads of tests that are over may still have something to say, which is no output of a command.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))

# The usual run tries the same examples each time; new ones, and more, are for ./test --full.
# How long one takes says how busy the machine is, and nothing else.
_AT_ITS_OWN_PACE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("usual", _AT_ITS_OWN_PACE, derandomize=True)
settings.register_profile("long", _AT_ITS_OWN_PACE, max_examples=10_000)
settings.load_profile("usual")

pytest.register_assert_rewrite("live.service", "live.wire", "live.rollout", "live.inside")
pytest_plugins = ["live.chromium", "live.postgresql"]

from live import forked  # noqa: E402 - as the next one
from live.service import Service, destroy_qemus  # noqa: E402 - after the line above, on purpose
from openrdms.adapters.images.tools import DebianImageTools  # noqa: E402
from openrdms.model.image import ImageVersion  # noqa: E402

ServiceFactory = Callable[..., Service]


@pytest.fixture(scope="session")
def tiny_image_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of ``tiny_image`` are."""
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def tiny_image(tiny_image_dir: Path) -> ImageVersion:
    """The tiny variant; built where ~/.cache/openrdms does not have it, which takes a minute."""
    built = DebianImageTools().build("tiny", tiny_image_dir, lambda _fraction, _words: None)
    return replace(built, name="tiny", version=1)


@pytest.fixture(scope="module")
def services() -> Iterator[ServiceFactory]:
    """Makes services, not yet started (see Service), of which nothing is left after the module."""
    with ExitStack() as made:

        def make(state_dir: Path, *hypervisors: str, **settings: Any) -> Service:
            service = Service(state_dir, *hypervisors, **settings)
            made.callback(service.clear)
            return service

        yield make


@pytest.fixture(scope="module")
def running_service(services: ServiceFactory) -> ServiceFactory:
    """Makes services and starts them."""

    def run(state_dir: Path, *hypervisors: str, **settings: Any) -> Service:
        service = services(state_dir, *hypervisors, **settings)
        service.start()
        return service

    return run


@pytest.fixture(scope="module", autouse=True)
def _rdms_is_forked(request: pytest.FixtureRequest) -> Iterator[None]:
    """But on real virtual machines."""
    forked.allowed = request.node.get_closest_marker("libvirt") is None
    yield
    forked.allowed = False


@pytest.fixture(scope="session", autouse=True)
def _no_vm_outlives_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    assert destroy_qemus(tmp_path_factory.getbasetemp()) == [], "tests left these QEMU processes"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is there stays: to look at it again and again takes time, of tests that count it too."""
    gc.collect()
    gc.freeze()


_EXIT_STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave although DBOS has a thread that waits for ever, for which Python would wait as well.

    That happens when an engine is closed just as a workflow hands its outcome to DBOS's loop: the
    loop stops without it. A service never closes its engine, it just exits.
    """
    if any(thread.name.startswith("dbos-executor") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash.get(_EXIT_STATUS, 1))

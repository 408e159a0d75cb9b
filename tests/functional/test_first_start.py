"""Who connects to a desktop that was made and left off gets it once it is itself, and no sooner."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakes.brokering_rig import BrokeringRig, open_brokering_rig
from fakes.small_deployment import HOST1
from live.service import until
from openrdms.adapters.simulator.guest import SimulatorGuest
from openrdms.model import errors
from openrdms.model.collection import CollectionType
from openrdms.model.host import GuestIdentity
from openrdms.model.reason import Wait
from openrdms.services.brokering import User


class Guests:
    """What guests do when they are given their identity: they wait for ``may_go_on``, and raise
    ``error`` if there is one. ``asked`` are their names.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_go_on = threading.Event()
        self.error: Exception | None = None


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guests]:
    guests = Guests()
    really = SimulatorGuest.set_identity

    def set_identity(self: SimulatorGuest, identity: GuestIdentity, timeout: float) -> None:
        guests.asked.append(identity.hostname)
        assert guests.may_go_on.wait(30)
        if guests.error:
            raise guests.error
        really(self, identity, timeout)

    monkeypatch.setattr(SimulatorGuest, "set_identity", set_identity)
    yield guests
    guests.may_go_on.set()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BrokeringRig]:
    """A personal desktop as a Create job that starts none leaves it."""
    with open_brokering_rig(tmp_path, "start_ms=1", "boot_ms=1") as rig:
        rig.add_collection("own", CollectionType.AUTO_PERSONAL)
        rig.place.make_desktop("my-1", "own", identity_set=False)
        rig.first_start.start()
        yield rig
        rig.first_start.close()


@pytest.fixture
def ann(rig: BrokeringRig) -> User:
    return rig.add_user("ann")


def is_waiting(rig: BrokeringRig, user: User) -> bool:
    return isinstance(rig.brokering.connect(user, "own"), Wait)


def test_he_waits_until_it_has_its_identity(rig: BrokeringRig, ann: User, guests: Guests) -> None:
    """Else what lets him in is started anew, with new keys, under him."""
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(rig.connect, ann, "own", 60)
        until("its guest is asked", lambda: guests.asked)
        for _ in range(50):
            assert is_waiting(rig, ann)
        assert not asked.done()
        guests.may_go_on.set()
        assert asked.result(10).desktop == "my-1"  # told of it: he asks by himself later than that
    assert guests.asked == ["my-1"]  # by one of all that would


def test_later_starts_take_no_longer(rig: BrokeringRig, ann: User, guests: Guests) -> None:
    guests.may_go_on.set()
    rig.connect(ann, "own", 30)
    rig.place.hosts.get(HOST1).destroy("my-1")
    rig.connect(ann, "own", 30)
    assert guests.asked == ["my-1"]


@pytest.mark.parametrize(
    "error",
    [errors.OperationFailed("the guest could not take it"), errors.GuestUnreachable("is silent")],
)
def test_a_guest_that_does_not_take_it(
    rig: BrokeringRig, ann: User, guests: Guests, error: Exception
) -> None:
    """Who connects is told, and may try again."""
    guests.error = error
    guests.may_go_on.set()
    with pytest.raises(errors.OperationFailed, match=f"my-1 did not take its name.*{error}"):
        rig.brokering.connect(ann, "own", 30)
    guests.error = None
    assert rig.connect(ann, "own", 30).desktop == "my-1"

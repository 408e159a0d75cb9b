"""The rules of one service among others, with the others' words given."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.services.alone import ALONE, Alone
from openrdms.services.fencing import Fence, acting_for
from openrdms.services.membership import Membership


class Asked(Alone):
    """Notes for which jobs it was asked."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def check(self, job: str = "") -> None:
        self.jobs.append(job)


def test_who_is_alone_has_no_threads() -> None:
    before = threading.active_count()
    membership = Membership(ALONE)
    membership.join("here", "", "1")
    membership.watch(lambda _: None, lambda: None)
    assert threading.active_count() <= before  # those of other tests may be ending


def test_a_host_asks_for_the_job_for_which_a_thread_acts() -> None:
    members = Asked()
    fence = Fence(members)
    fence.check()
    with acting_for("{1}"):
        fence.check()
        other = threading.Thread(target=fence.check)
        other.start()
        other.join()
    fence.check()
    assert members.jobs == ["", "{1}", "", ""]


def test_a_host_changes_nothing_for_who_may_not(tmp_path: Path) -> None:
    allowed = True

    def check() -> None:
        if not allowed:
            raise errors.Fenced

    [host] = simulator.connect(f"simulator://{tmp_path}?hosts=1", check=check)
    try:
        simulator.add_stranger(tmp_path, host.name, "theirs")
        host.start("theirs")
        allowed = False
        for act in (host.pause, host.save, host.undefine, host.destroy):
            with pytest.raises(errors.Fenced):
                act("theirs")
        found = host.find_vm("theirs")
        assert found is not None
        assert found.state.name == "RUNNING"
    finally:
        host.close()

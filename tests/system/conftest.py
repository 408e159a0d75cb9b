"""What holds for all system tests."""

from __future__ import annotations

import ctypes

import pytest

_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(scope="module", autouse=True)
def _orphans_go_to_process_1() -> None:
    """The libvirt adapter, used in this process by contract tests, makes it inherit orphans.

    The QEMUs of services killed here are for process 1, which reaps them; libvirt waits for that.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

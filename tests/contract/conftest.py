"""What suites of several adapters share.

Failed assertions inside the suites show their values, as in any test module.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "contract.host_suite",
    "contract.move_suite",
    "contract.guest_suite",
    "contract.image_suite",
    "contract.store_suite",
    "contract.node_suite",
    "contract.session_host_suite",
    "contract.accounts_suite",
    "contract.publishing_suite",
)


@pytest.fixture(scope="session")
def embedded_state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a path of 120 characters, below directories that are this account's alone."""
    parent = tmp_path_factory.mktemp("libvirt")
    state_dir = parent / ("d" * (119 - len(str(parent))))
    state_dir.mkdir()
    return state_dir


@pytest.fixture(scope="session")
def embedded_host(embedded_state_dir: Path) -> Iterator[object]:
    """libvirt's embedded driver, of which a process can have one root in its whole life."""
    from openrdms.adapters.libvirt.host import connect
    from openrdms.runtime_dir import make_runtime_dir

    link = make_runtime_dir(embedded_state_dir)
    host = connect("qemu:///embed?name=suite", embedded_state_dir, link)
    yield host
    host.close()

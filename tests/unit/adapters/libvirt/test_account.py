from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from openrdms.adapters.libvirt import account as accounts
from openrdms.adapters.libvirt.account import Account, let_pass, let_use_kvm, qemu_account
from openrdms.model.errors import OperationFailed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root alone runs QEMU as another account")


@pytest.fixture
def account() -> Account:
    account = qemu_account()
    assert account
    return account


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    inner.joinpath("file").write_text("x")
    return inner


def can_read(account: Account, file: Path) -> bool:
    command = ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    return subprocess.run([*command, "cat", file], capture_output=True, check=False).returncode == 0


def test_account_is_not_root(account: Account) -> None:
    assert account.uid != 0
    assert account.gid != 0


def test_account_gets_through_and_sees_no_names(account: Account, directory: Path) -> None:
    assert not can_read(account, directory / "file")
    let_pass(account, directory)
    assert can_read(account, directory / "file")
    assert not can_read(account, directory.parent)


def test_mask_that_was_reset_is_mended(account: Account, directory: Path) -> None:
    let_pass(account, directory)
    directory.parent.chmod(0o700)
    assert not can_read(account, directory / "file")
    let_pass(account, directory)
    assert can_read(account, directory / "file")


def test_open_directories_are_left_alone(account: Account, directory: Path) -> None:
    directory.parent.chmod(0o755)
    let_pass(account, directory)
    assert "system.posix_acl_access" not in os.listxattr(directory.parent)


def test_directory_that_cannot_be_opened_is_named(directory: Path) -> None:
    stranger = Account("no-such-account", 4242, "nobody", 4242)
    with pytest.raises(OperationFailed, match=r"closed.*no-such-account"):
        let_pass(stranger, directory)


def test_service_goes_on_where_the_right_to_kvm_cannot_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    device = tmp_path / "kvm"
    device.touch(mode=0o600)
    monkeypatch.setattr(accounts, "_KVM", device)
    let_use_kvm(Account("no-such-account", 4242, "nobody", 4242))
    assert "no-such-account may not use" in caplog.text

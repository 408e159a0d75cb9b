"""The account that QEMU runs as, and its way to our files.

As an ordinary user that is the user. As root it is the account that Debian's libvirt packages
make, never root; it must be able to pass through every directory above what it opens.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from openrdms.adapters import processes
from openrdms.model.errors import OperationFailed

_log = logging.getLogger(__name__)

_NAME = "libvirt-qemu"
_KVM = Path("/dev/kvm")

# linux/posix_acl_xattr.h: a version, then (tag, rights, id) of each entry
_ACL_USER, _ACL_MASK, _ACL_UNDEFINED_ID, _ACL_EXECUTE = 0x02, 0x10, 0xFFFFFFFF, 0x01


@dataclass(frozen=True)
class Account:
    """An account of this machine; ``group`` is its primary group, which may use /dev/kvm."""

    name: str
    uid: int
    group: str
    gid: int


def qemu_account() -> Account | None:
    """Who QEMU runs as; None when that is who we are. OperationFailed without the account."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_NAME)
    except KeyError as error:
        raise OperationFailed(
            f"no account {_NAME} for QEMU: install the package libvirt-daemon-system"
        ) from error
    return Account(_NAME, entry.pw_uid, grp.getgrgid(entry.pw_gid).gr_name, entry.pw_gid)


def let_pass(account: Account, path: Path) -> None:
    """Let the account search ``path``, if a directory, and every directory above it.

    Directories that everybody may search are left alone, others get a search-only ACL entry.
    OperationFailed names the directory where that cannot be done.
    """
    real = path.resolve()
    for directory in (real, *real.parents):
        if directory.is_dir() and not _may_search(account, directory):
            _add_search_entry(account, directory)


def _may_search(account: Account, directory: Path) -> bool:
    """Whether everybody or the account's own ACL entry may, as far as the ACL's mask allows."""
    if directory.stat().st_mode & stat.S_IXOTH:
        return True
    try:
        acl = os.getxattr(directory, "system.posix_acl_access")
    except OSError:
        return False  # it has none, or the file system has no ACLs
    entries = {(tag, who): rights for tag, rights, who in struct.iter_unpack("<HHI", acl[4:])}
    rights = entries.get((_ACL_USER, account.uid), 0)
    return bool(rights & entries.get((_ACL_MASK, _ACL_UNDEFINED_ID), 0) & _ACL_EXECUTE)


def let_use_kvm(account: Account) -> None:
    """Give the account /dev/kvm where no udev rule gave it to its group.

    libvirt asks QEMU what it can do with the right to open any device, then finds that the
    account may not open this one, and asks again in every call, for seconds. Where the right
    cannot be given that is all that happens: desktops go without KVM.
    """
    if _KVM.exists():
        status = _KVM.stat()
        for_group = status.st_gid == account.gid and status.st_mode & 0o060 == 0o060
        if not for_group and status.st_mode & 0o006 != 0o006:
            try:
                processes.run(["setfacl", "-m", f"u:{account.name}:rw", str(_KVM)])
            except OperationFailed as error:
                _log.warning("%s may not use %s: %s", account.name, _KVM, error)


def _add_search_entry(account: Account, directory: Path) -> None:
    try:
        processes.run(["setfacl", "-m", f"u:{account.name}:x", str(directory)])
    except OperationFailed as error:
        raise OperationFailed(
            f"{directory}: QEMU runs as {account.name}, which cannot pass through this directory,"
            f" and setfacl (package acl) did not help: {error}"
        ) from error

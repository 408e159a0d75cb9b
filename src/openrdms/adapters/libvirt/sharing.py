"""Whether a host sees a directory of this machine: it is asked for a file that was made here.

By libvirt's storage pools (libvirt.org/storage.html, "dir"), which every daemon has.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import libvirt
from lxml import etree

from openrdms.adapters.libvirt.uri import HostUri
from openrdms.model.errors import HostUnavailable, InvalidParameter


def own_part(uri: HostUri) -> Path | None:
    """Where a host that shares a directory has its own files in it."""
    return uri.shared / uri.name if uri.shared else None


def accept(uri: HostUri, opened: libvirt.virConnect) -> None:
    """InvalidParameter when the host does not see the directory that it is to share;
    HostUnavailable while this machine cannot write there.
    """
    own = own_part(replace(uri, name=uri.name or opened.getHostname()))
    if own:
        try:
            own.mkdir(mode=0o711, parents=True, exist_ok=True)
            check_shared(opened, own)
        except OSError as error:
            raise HostUnavailable(f"{own}: {error}") from error


def check_shared(connection: libvirt.virConnect, directory: Path) -> None:
    """InvalidParameter when the directory is another one there, or is not there at all."""
    proof = directory / f".seen-{secrets.token_hex(16)}"
    proof.touch()
    try:
        with _pool(connection, directory) as pool:
            pool.refresh()
            pool.storageVolLookupByName(proof.name)
    except libvirt.libvirtError as error:
        reason = f"shared: {connection.getHostname()} does not see {directory} of here: {error}"
        raise InvalidParameter("hypervisor", reason) from error
    finally:
        proof.unlink()


@contextmanager
def _pool(connection: libvirt.virConnect, directory: Path) -> Iterator[libvirt.virStoragePool]:
    """The host's pool for that directory: one that it has, else one that goes when we are done."""
    present = _find_pool(connection, directory)
    pool = present or connection.storagePoolCreateXML(_describe(directory))
    try:
        yield pool
    finally:
        if not present:
            with suppress(libvirt.libvirtError):  # what remains of it holds nothing
                pool.destroy()


def _find_pool(connection: libvirt.virConnect, directory: Path) -> libvirt.virStoragePool | None:
    with suppress(libvirt.libvirtError):
        pool = connection.storagePoolLookupByTargetPath(str(directory))
        return pool if pool.isActive() else None
    return None


def _describe(directory: Path) -> str:
    pool = etree.Element("pool", type="dir")
    etree.SubElement(pool, "name").text = f"openrdms-{secrets.token_hex(8)}"
    etree.SubElement(etree.SubElement(pool, "target"), "path").text = str(directory)
    return str(etree.tostring(pool, encoding="unicode"))

"""Whether a host sees a directory of this machine: it is asked for a file that was made here.

By libvirt's storage pools (libvirt.org/storage.html, "dir"), which every daemon has.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import libvirt
from lxml import etree

from openrdms.adapters.libvirt import errors
from openrdms.adapters.libvirt.uri import HostUri
from openrdms.model.errors import HostUnavailable, InvalidParameter

_PROOF = "proof"


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
    """InvalidParameter when the directory is another one there, or is not there at all.

    The pool is for a directory that is ours alone: libvirt lets no two pools have the same, and
    other services, or the host's administrator, may have one for what is shared.
    """
    with TemporaryDirectory(prefix=".seen-", dir=directory) as made:
        place = Path(made)
        place.chmod(0o755)  # root of another machine may be nobody here
        (place / _PROOF).touch()
        try:
            pool = connection.storagePoolCreateXML(_describe(place))
            try:
                pool.storageVolLookupByName(_PROOF)
            finally:
                with suppress(libvirt.libvirtError):  # what remains of it holds nothing
                    pool.destroy()
        except libvirt.libvirtError as error:
            if errors.is_host_lost(error):
                raise
            reason = f"shared: {connection.getHostname()} does not see {directory} of here: {error}"
            raise InvalidParameter("hypervisor", reason) from error


def _describe(directory: Path) -> str:
    pool = etree.Element("pool", type="dir")
    etree.SubElement(pool, "name").text = f"openrdms-{secrets.token_hex(8)}"
    etree.SubElement(etree.SubElement(pool, "target"), "path").text = str(directory)
    return str(etree.tostring(pool, encoding="unicode"))

"""The interface as data: a MOF file for each namespace, rdms.mof with the 13 classes of RDMS."""

from __future__ import annotations

from functools import cache
from importlib import resources

from openrdms.cim import mof
from openrdms.cim.schema import Schema

NAMESPACE = "root/cimv2/rdms"
CIMV2 = "root/cimv2"
INTEROP = "root/interop"
TERMINAL_SERVICES = "root/cimv2/terminalservices"
OPENRDMS = "root/openrdms"
ROOT = "root"


@cache
def load_rdms() -> Schema:
    """The schema of root/cimv2/rdms, compiled once per process."""
    return _load(NAMESPACE, "rdms.mof")


@cache
def load_cimv2() -> Schema:
    """The schema of root/cimv2: what clients of RDMS read there."""
    return _load(CIMV2, "namespace.mof", "cimv2.mof")


@cache
def load_terminal_services() -> Schema:
    """The schema of root/cimv2/terminalservices: what clients call on hosts."""
    return _load(TERMINAL_SERVICES, "namespace.mof", "terminalservices.mof")


@cache
def load_interop() -> Schema:
    """The schema of root/interop."""
    return _load(INTEROP, "namespace.mof", "interop.mof")


@cache
def load_openrdms() -> Schema:
    """The schema of root/openrdms: our own classes."""
    return _load(OPENRDMS, "namespace.mof", "openrdms.mof")


@cache
def load_root() -> Schema:
    """The schema of root, which has child namespaces and nothing else."""
    return _load(ROOT, "namespace.mof")


def _load(namespace: str, *files: str) -> Schema:
    place = resources.files(__name__)
    text = "\n".join(place.joinpath(name).read_text(encoding="utf-8") for name in files)
    return mof.parse_schema(namespace, text)

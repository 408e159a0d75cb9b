"""The interface as data: rdms.mof declares the 13 classes of root/cimv2/rdms."""

from __future__ import annotations

from functools import cache
from importlib import resources

from openrdms.cim import mof
from openrdms.cim.schema import Schema

NAMESPACE = "root/cimv2/rdms"


@cache
def load_rdms() -> Schema:
    """The schema of root/cimv2/rdms, compiled once per process."""
    text = resources.files(__name__).joinpath("rdms.mof").read_text(encoding="utf-8")
    return mof.parse_schema(NAMESPACE, text)

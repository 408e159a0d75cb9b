"""Records of the audit log and the chain that holds them together."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

ASKED = "asked"
DENIED = "denied"
DONE = "0"
BROKEN = "broken"
UNKNOWN = "unknown"
"""Results besides ReturnValues, names of CIM statuses and of errors."""

HIDDEN = "…"
"""Stands for a value that was given and is not told."""

JsonScalar = bool | int | float | str | None
JsonValue = JsonScalar | list[JsonScalar]


@dataclass(frozen=True)
class AuditRecord:
    """One record, never changed.

    A change has two: ``asked`` before it begins, then its result, whose ``of`` is the sequence
    of the first; ``unknown`` stands for one that the service did not live to write. ``what`` is
    namespace/class/operation, a command of the admin socket, or a scheme of authentication;
    ``on`` are the keys of the instance. ``reason`` names the parameter at fault where that is
    known. ``hash`` covers that of the record before and all other fields.
    """

    sequence: int
    time: datetime
    who: str
    address: str
    what: str
    on: Mapping[str, JsonValue]
    parameters: Mapping[str, JsonValue]
    result: str
    reason: str
    of: int | None
    hash: str = ""


@dataclass(frozen=True)
class AuditHead:
    """How many records there are and the hash of the last one."""

    count: int = 0
    hash: str = "0" * 64


@dataclass(frozen=True)
class AuditedCall:
    """What was asked, or refused at once, and the result; None while there is none."""

    asked: AuditRecord
    answer: AuditRecord | None


@dataclass(frozen=True)
class AuditQuery:
    """Which calls; names ignore case, None asks for all. The newest ``limit`` of them, or of those
    whose sequence is below ``before``.
    """

    since: datetime | None = None
    who: str | None = None
    class_name: str | None = None
    limit: int = 100
    before: int | None = None
    about: str | None = None
    """What is named in the call, see ``names_in``."""


_LONGEST_NAME = 256
"""Characters; longer texts are no names."""


def names_in(record: AuditRecord) -> frozenset[str]:
    """What a call is about, case-folded: all that is told of its keys and parameters."""
    given = (*record.on.values(), *record.parameters.values())
    texts = [text for value in given for text in (value if isinstance(value, list) else [value])]
    return frozenset(
        text.casefold()
        for text in texts
        if isinstance(text, str) and text != HIDDEN and _is_name(text)
    )


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable()


def chain(key: bytes, head: AuditHead, records: Iterable[AuditRecord]) -> list[AuditRecord]:
    """The records with their sequences and hashes, following ``head``."""
    chained = []
    for record in records:
        numbered = replace(record, sequence=head.count + 1)
        chained.append(replace(numbered, hash=_hash(key, head.hash, numbered)))
        head = AuditHead(chained[-1].sequence, chained[-1].hash)
    return chained


def follow(key: bytes, head: AuditHead, records: Iterable[AuditRecord]) -> tuple[AuditHead, str]:
    """How far the records follow from ``head``, and what is wrong with the next; "" for nothing."""
    for record in records:
        if record.sequence != head.count + 1:
            return head, f"record {head.count + 1} is missing, {record.sequence} follows"
        if record.hash != _hash(key, head.hash, record):
            return head, f"record {record.sequence} is not what was written after the one before"
        head = AuditHead(record.sequence, record.hash)
    return head, ""


def _hash(key: bytes, previous: str, record: AuditRecord) -> str:
    """HMAC-SHA-256 of the hash before and the record as JSON, which one record has one form of."""
    fields = {name: value for name, value in vars(record).items() if name != "hash"}
    fields["time"] = record.time.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hmac.digest(key, f"{previous}\n{text}".encode(), "sha256").hex()

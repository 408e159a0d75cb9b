"""Security descriptors as text (SDDL, MS-DTYP 2.5.1): who may use a collection or an application.

Understood is what decides that: owner, group and a DACL of allow and deny entries. Refused are

- a SACL and object or conditional entries: nothing here has objects below it or is audited, and
  stock clients would show a SACL's entries as user groups;
- aliases that mean another SID in each domain (``DU``, ``DA``, ...): this service belongs to
  none, so whoever writes a descriptor resolves them. Other aliases become the SID they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

MAX_LENGTH = 65536
"""Characters; a DACL has 64 KiB in Windows."""

_SIDS = {
    "AA": "S-1-5-32-579",
    "AC": "S-1-15-2-1",
    "AN": "S-1-5-7",
    "AO": "S-1-5-32-548",
    "AS": "S-1-18-1",
    "AU": "S-1-5-11",
    "BA": "S-1-5-32-544",
    "BG": "S-1-5-32-546",
    "BO": "S-1-5-32-551",
    "BU": "S-1-5-32-545",
    "CD": "S-1-5-32-574",
    "CG": "S-1-3-1",
    "CO": "S-1-3-0",
    "CY": "S-1-5-32-569",
    "ED": "S-1-5-9",
    "ER": "S-1-5-32-573",
    "ES": "S-1-5-32-576",
    "HA": "S-1-5-32-578",
    "HI": "S-1-16-12288",
    "IS": "S-1-5-32-568",
    "IU": "S-1-5-4",
    "LS": "S-1-5-19",
    "LU": "S-1-5-32-559",
    "LW": "S-1-16-4096",
    "ME": "S-1-16-8192",
    "MP": "S-1-16-8448",
    "MS": "S-1-5-32-577",
    "MU": "S-1-5-32-558",
    "NO": "S-1-5-32-556",
    "NS": "S-1-5-20",
    "NU": "S-1-5-2",
    "OW": "S-1-3-4",
    "PO": "S-1-5-32-550",
    "PS": "S-1-5-10",
    "PU": "S-1-5-32-547",
    "RA": "S-1-5-32-575",
    "RC": "S-1-5-12",
    "RD": "S-1-5-32-555",
    "RE": "S-1-5-32-552",
    "RM": "S-1-5-32-580",
    "RU": "S-1-5-32-554",
    "SI": "S-1-16-16384",
    "SO": "S-1-5-32-549",
    "SS": "S-1-18-2",
    "SU": "S-1-5-6",
    "SY": "S-1-5-18",
    "UD": "S-1-5-84-0-0-0-0-0",
    "WD": "S-1-1-0",
    "WR": "S-1-5-33",
}
_ALIASES = {sid: alias for alias, sid in _SIDS.items()}
_OF_A_DOMAIN = re.compile("AP|CA|CN|D[ACDGU]|E[AK]|KA|L[AG]|PA|R[OS]|SA")

_RIGHTS = {
    "CC": 0x1,
    "DC": 0x2,
    "LC": 0x4,
    "SW": 0x8,
    "RP": 0x10,
    "WP": 0x20,
    "DT": 0x40,
    "LO": 0x80,
    "CR": 0x100,
    "SD": 0x10000,
    "RC": 0x20000,
    "WD": 0x40000,
    "WO": 0x80000,
    "GA": 0x10000000,
    "GX": 0x20000000,
    "GW": 0x40000000,
    "GR": 0x80000000,
}
"""One bit each, in the order in which Microsoft's client writes them."""
_RIGHT_SETS = {
    "FA": 0x1F01FF,
    "FR": 0x120089,
    "FW": 0x120116,
    "FX": 0x1200A0,
    "KA": 0xF003F,
    "KR": 0x20019,
    "KW": 0x20006,
    "KX": 0x20019,
}
_USE = _RIGHTS["GA"] | _RIGHTS["GR"] | _RIGHTS["CC"]
"""Using is reading: an entry with one of these speaks of it (CC is the bit of "read data", which
FA, FR, KA and KR have)."""

_SID = re.compile(
    r"S-1-(0x[0-9A-Fa-f]{1,12}|[0-9]{1,15})((?:-[0-9]{1,10}){1,15})(?![0-9-])", re.ASCII
)
_ALIAS = re.compile(r"[A-Z]{2}")
_ACL_FLAGS = re.compile(r"(?:P|AR|AI)*")
_ACE_TYPE = re.compile(r"[A-Z]{1,2}")
_ACE_FLAGS = re.compile(r"(?:OI|CI|NP|IO|ID)*")
_HEX = re.compile(r"0x([0-9A-Fa-f]{1,8})(?![0-9A-Fa-f])")
_RIGHT_NAMES = re.compile(r"(?:[A-Z]{2})*")
_ACE_TYPES = {"A": True, "D": False}


class SddlError(ValueError):
    """The text is no descriptor of ours; says at which character, counted from 1, and why."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"character {position + 1}: {reason}")


@dataclass(frozen=True)
class Ace:
    """An entry: whom it allows or denies what. ``flags`` are its two letter names, joined."""

    allow: bool
    flags: str
    rights: int
    sid: str

    def decides_use(self, sids: Collection[str]) -> bool:
        """Whether it speaks of somebody with these SIDs; what is for children only does not."""
        inherited_only = "IO" in re.findall("..", self.flags)
        return self.sid in sids and bool(self.rights & _USE) and not inherited_only

    def __str__(self) -> str:
        """The SID in full: clients take what follows the last semicolon for one (facts b.1)."""
        kind = "A" if self.allow else "D"
        return f"({kind};{self.flags};{_render_rights(self.rights)};;;{self.sid})"


@dataclass(frozen=True)
class SecurityDescriptor:
    """``dacl`` is None when there is none or a NULL one: both let everybody in, as in Windows."""

    owner: str | None = None
    group: str | None = None
    dacl: tuple[Ace, ...] | None = None
    flags: str = ""

    def find_decision(self, sids: Collection[str]) -> Ace | None:
        """The first entry that decides whether somebody with these SIDs may use the thing."""
        return next((ace for ace in self.dacl or () if ace.decides_use(sids)), None)

    def allows(self, sids: Collection[str]) -> bool:
        """Whether somebody with these SIDs may use the thing; whom no entry names may not."""
        if self.dacl is None:
            return True
        decision = self.find_decision(sids)
        return decision is not None and decision.allow

    def __str__(self) -> str:
        owner = f"O:{_ALIASES.get(self.owner, self.owner)}" if self.owner else ""
        group = f"G:{_ALIASES.get(self.group, self.group)}" if self.group else ""
        if self.dacl is None:
            return f"{owner}{group}" or "D:NO_ACCESS_CONTROL"
        return f"{owner}{group}D:{self.flags}{''.join(map(str, self.dacl))}"


@lru_cache
def parse(text: str) -> SecurityDescriptor:
    """SddlError. What was read is kept: it is asked for with every user who connects."""
    if not text or len(text) > MAX_LENGTH:
        raise SddlError(0, f"has {len(text)} characters, not 1 to {MAX_LENGTH}")
    scanner = _Scanner(text)
    owner = scanner.read_sid() if scanner.skip("O:") else None
    group = scanner.read_sid() if scanner.skip("G:") else None
    dacl, flags = _read_dacl(scanner) if scanner.skip("D:") else (None, "")
    if scanner.skip("S:"):
        raise scanner.error("a SACL is not accepted here")
    if not scanner.at_end():
        raise scanner.error("expected O:, G:, D: or an entry, each in its turn")
    return SecurityDescriptor(owner, group, dacl, flags)


def parse_sid(text: str) -> str:
    """A SID or an alias of one, as the SID in its one spelling. SddlError."""
    scanner = _Scanner(text)
    sid = scanner.read_sid()
    if not scanner.at_end():
        raise scanner.error("something follows the SID")
    return sid


def normalise(text: str) -> str:
    """The descriptor as it is kept and shown. SddlError."""
    return str(parse(text))


def normalise_groups(text: str) -> str:
    """Like ``normalise``, for user groups, of which there must be one (facts d). SddlError."""
    descriptor = parse(text)
    if descriptor.dacl is None or not any(ace.allow for ace in descriptor.dacl):
        raise SddlError(0, "names no user group that is allowed in; at least one is needed")
    return str(descriptor)


def allow_groups(sids: Iterable[str]) -> SecurityDescriptor:
    """What Microsoft's client makes of a list of user groups (facts b.1)."""
    rights = sum(_RIGHTS[name] for name in ("CC", "LC", "SW", "LO", "RC", "GR"))
    everyone = _SIDS["WD"]
    dacl = tuple(Ace(allow=True, flags="CIOI", rights=rights, sid=sid) for sid in sids)
    return SecurityDescriptor(everyone, everyone, dacl, "ARP")


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def at_end(self) -> bool:
        return self._position == len(self._text)

    def error(self, reason: str) -> SddlError:
        return SddlError(self._position, reason)

    def skip(self, literal: str) -> bool:
        found = self._text.startswith(literal, self._position)
        self._position += len(literal) if found else 0
        return found

    def expect(self, literal: str) -> None:
        if not self.skip(literal):
            raise self.error(f"expected {literal!r}")

    def read(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._position)
        if found:
            self._position = found.end()
        return found

    def read_sid(self) -> str:
        start = self._position
        if found := self.read(_SID):
            return _canonical_sid(start, found)
        alias = self.read(_ALIAS)
        if alias is None:
            raise self.error("expected a SID, S-1-… or two letters")
        if _OF_A_DOMAIN.fullmatch(alias[0]):
            raise SddlError(start, f"{alias[0]} depends on a domain; give the SID in full")
        if alias[0] not in _SIDS:
            raise SddlError(start, f"{alias[0]} stands for no SID")
        return _SIDS[alias[0]]


def _canonical_sid(position: int, found: re.Match[str]) -> str:
    authority = int(found[1], 0 if found[1].startswith("0x") else 10)
    parts = [int(part) for part in found[2][1:].split("-")]
    if authority >= 2**48 or max(parts) >= 2**32:
        raise SddlError(position, "a number in the SID is too large")
    first = f"{authority}" if authority < 2**32 else f"0x{authority:012X}"
    return "-".join(["S-1", first, *map(str, parts)])


def _read_dacl(scanner: _Scanner) -> tuple[tuple[Ace, ...] | None, str]:
    if scanner.skip("NO_ACCESS_CONTROL"):
        return None, ""
    flags = scanner.read(_ACL_FLAGS)
    aces = []
    while scanner.skip("("):
        aces.append(_read_ace(scanner))
    return tuple(aces), flags[0] if flags else ""


def _read_ace(scanner: _Scanner) -> Ace:
    refusal = scanner.error("only entries of type A and D are accepted")
    kind = scanner.read(_ACE_TYPE)
    if kind is None or kind[0] not in _ACE_TYPES:
        raise refusal
    scanner.expect(";")
    flags = scanner.read(_ACE_FLAGS)
    scanner.expect(";")
    rights = _read_rights(scanner)
    scanner.expect(";;;")  # two places for the GUIDs of object entries
    sid = scanner.read_sid()
    scanner.expect(")")
    return Ace(_ACE_TYPES[kind[0]], flags[0] if flags else "", rights, sid)


def _read_rights(scanner: _Scanner) -> int:
    if found := scanner.read(_HEX):
        return int(found[1], 16)
    refusal = scanner.error("a right has no such name")
    names = scanner.read(_RIGHT_NAMES)
    rights = 0
    for name in re.findall("..", names[0] if names else ""):
        bits = _RIGHTS.get(name) or _RIGHT_SETS.get(name)
        if bits is None:
            raise refusal
        rights |= bits
    return rights


def _render_rights(rights: int) -> str:
    """Names, or one hexadecimal number when a bit has none."""
    names = [name for name, bit in _RIGHTS.items() if rights & bit]
    named = sum(_RIGHTS[name] for name in names)
    return "".join(names) if named == rights else f"0x{rights:x}"

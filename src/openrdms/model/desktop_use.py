"""Who may have a desktop now: the state that brokering, pools and jobs share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Use(StrEnum):
    """What may be done with a desktop. Only READY ones are handed out.

    UNREADY    off, or perhaps used: it must be prepared before anybody gets it
    PREPARING  the pool makes it fresh, or starts it
    READY      nobody has it, running, saved or off; where its collection ``resets``, nothing of a
               former user is on it
    TAKEN      ``holder`` has it, logged on or not yet
    WORK       the job ``claim`` has it in hand
    QUARANTINED  nobody gets it; ``reason`` says why
    """

    UNREADY = "unready"
    PREPARING = "preparing"
    READY = "ready"
    TAKEN = "taken"
    WORK = "work"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class DesktopUse:
    """One row for each desktop that a job made or that was added to a collection.

    ``uuid`` is that of the desktop's record: a desktop made anew under an old name is another.
    ``holder`` is DOMAIN\\USER or USER, "" but when TAKEN; ``asked`` tells those to whom it was
    handed out from who just logged on; ``seen`` is True once the holder was on it. ``turn``
    counts up whenever somebody gets it or comes back to it, so that what is heard late of one who
    left is told apart. ``stay`` counts up whenever the holder is another one, or nobody: what was
    opened for one stay of somebody ends with it. The store counts it, whoever changes a use.
    ``mark`` is what its guest said of log-ons when it became READY (Guest.logon_mark). ``claim``
    is the GUID of the job that gets it next, "" for none: brokers do not hand it out, pools leave
    it alone. ``since`` is when ``use`` changed, ``fresh`` when it was last made from its image.
    ``failures`` counts attempts to prepare it that failed one after the other.

    Of the desktop's record: ``adopted`` when no job of ours made it, ``left_off`` when it was
    made and left off, or stopped by an administrator: it is started when somebody needs it;
    ``image`` is what its disk was made from, "" where its collection's does not count; ``moving``
    while it goes to another host: pools and jobs do not take it in hand; ``assigned`` is whose it
    is, as case-folded DOMAIN\\USER of which either part may be empty, "" for nobody's.

    Of its collection: ``resets`` when desktops are made anew from their image after each user. What
    is decided by it holds only if it has not changed when that is written, see ``is_good_for``.
    """

    name: str
    collection: str
    host: str
    uuid: UUID
    use: Use
    since: datetime
    fresh: datetime
    holder: str = ""
    asked: bool = False
    seen: bool = False
    turn: int = 0
    stay: int = 0
    mark: str = ""
    claim: str = ""
    saved: bool = False
    failures: int = 0
    reason: str = ""
    adopted: bool = False
    left_off: bool = False
    image: str = ""
    moving: bool = False
    assigned: str = ""
    resets: bool = False

    def becoming(self, use: Use, now: datetime, **values: object) -> DesktopUse:
        """It as ``use`` with other fields set. Leaving TAKEN ends the holder's claim to it; what
        becomes READY is fresh from now on, unless ``values`` say since when.
        """
        given: dict[str, object] = {"use": use}
        if use is not self.use:
            given["since"] = now
            given |= {"fresh": now} if use is Use.READY else {}
        if use is not Use.TAKEN:
            given |= {"holder": "", "asked": False, "seen": False}
        return replace(self, **{**given, **values})  # type: ignore[arg-type]  # fields of it

    def is_good_for(self, now: DesktopUse) -> bool:
        """Whether what was found fit for the next user when it was like this still is when it is
        like ``now``: until its collection resets desktops one may be handed on as it was left.
        """
        return self.resets or not now.resets

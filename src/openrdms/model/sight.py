"""What was seen of a desktop, and what that makes of who may have it. Rules over values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmState
from openrdms.model.pool_policy import PoolRules, use_after


@dataclass(frozen=True)
class Sight:
    """``user`` is the account that is logged on, "" for nobody; only running ones tell."""

    state: VmState
    user: str = ""


def conclude(use: DesktopUse, sight: Sight, rules: PoolRules) -> Mapping[str, object] | None:
    """Fields of the use that change by what was seen, the use itself among them; None for none.

    One who logged on unasked has the desktop from then on: it is never handed to another.
    """
    if sight.state is VmState.SAVED:
        return None if use.saved or use.use is Use.UNREADY else {"saved": True}
    if sight.state is VmState.STOPPED:
        return _conclude_off(use)
    if sight.state is not VmState.RUNNING:
        return None
    if sight.user:
        return _conclude_logged_on(use, sight.user)
    return _conclude_nobody(use, rules)


def _conclude_off(use: DesktopUse) -> Mapping[str, object] | None:
    if use.use is Use.UNREADY:
        return None
    after, reason = use_after(use)
    return {"use": Use.UNREADY if after is Use.READY else after, "reason": reason, "saved": False}


def _conclude_logged_on(use: DesktopUse, user: str) -> Mapping[str, object] | None:
    if use.use is not Use.TAKEN:
        return {
            "use": Use.TAKEN,
            "holder": user,
            "asked": False,
            "seen": True,
            "turn": use.turn + 1,
            "saved": False,
        }
    return None if use.seen and not use.saved else {"seen": True, "saved": False}


def _conclude_nobody(use: DesktopUse, rules: PoolRules) -> Mapping[str, object] | None:
    if use.use is Use.TAKEN and use.seen:
        after, reason = use_after(use)
        return {"use": after, "reason": reason, "saved": False}
    if use.use is Use.UNREADY and _is_kept(use, rules):
        return {"use": Use.READY, "reason": "", "saved": False}
    return {"saved": False} if use.saved else None


def _is_kept(use: DesktopUse, rules: PoolRules) -> bool:
    """Whether nobody prepares it: it is whoever's it is as soon as it runs."""
    return not rules.pooled or (use.adopted and not use.resets)

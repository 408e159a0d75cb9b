"""The commands about the audit log, and about what nobody accounts for."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from openrdms.frontends.admin.target import Progress, Target
from openrdms.model.audit import ASKED, AuditedCall, AuditQuery


def find_orphans(target: Target, _: Progress) -> dict[str, Any]:
    return asdict(target.audit.find_orphans())


def list_set_apart(target: Target, _: Progress) -> list[dict[str, Any]]:
    apart = target.audit.list_set_apart()
    return [asdict(one) | {"since": one.since.isoformat()} for one in apart]


def forget_host(target: Target, _: Progress, *, host: str) -> list[str]:
    return target.reconciling.forget(host)


def read_log(
    target: Target,
    _: Progress,
    *,
    since: str | None,
    user: str | None,
    class_name: str | None,
    limit: int,
) -> list[dict[str, Any]]:
    begin = datetime.fromisoformat(since) if since else None
    calls = target.audit_log.list_calls(AuditQuery(begin, user, class_name, limit))
    return [_describe_call(call) for call in calls]


def _describe_call(call: AuditedCall) -> dict[str, Any]:
    """What was asked and what came of it, in one row."""
    asked, answer = call.asked, call.answer
    if answer is None and asked.result != ASKED:
        answer = asked
    return {
        "sequence": asked.sequence,
        "time": asked.time.isoformat(),
        "who": asked.who,
        "address": asked.address,
        "what": asked.what,
        "on": asked.on,
        "parameters": asked.parameters,
        "outputs": answer.parameters if answer and answer is not asked else {},
        "result": answer.result if answer else "no result",
        "reason": answer.reason if answer else "",
        "ended": answer.time.isoformat() if answer else None,
    }


def verify_log(target: Target, _: Progress) -> dict[str, Any]:
    return asdict(target.audit_log.verify())

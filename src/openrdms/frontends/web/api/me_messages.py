"""What administrators have told a user."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel

from openrdms.frontends.web.paging import Page, Paging
from openrdms.frontends.web.visitors import Connecting
from openrdms.model.user_message import UserMessage

router = APIRouter(prefix="/me", tags=["me"])


class Message(BaseModel):
    """What an administrator has told the user in his session. ``read`` is when he said so."""

    id: str
    title: str
    text: str
    sent: datetime
    read: datetime | None


@router.get("/messages")
def list_messages(visitor: Connecting, part: Paging) -> Page[Message]:
    """Those of the last seven days, oldest first."""
    found = visitor.backend.user_messages.list(visitor.account.name)
    return part.cut(found, lambda one: f"{one.sent.isoformat()} {one.id}", _render)


@router.post("/messages/{message_id}/read", status_code=204)
def mark_read(visitor: Connecting, message_id: str) -> Response:
    """The user has read it."""
    visitor.backend.user_messages.mark_read(visitor.account.name, message_id)
    return Response(status_code=204)


def _render(message: UserMessage) -> Message:
    return Message(
        id=message.id,
        title=message.title,
        text=message.text,
        sent=message.sent,
        read=message.read,
    )

"""RDP files of a user's desktops and applications."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from openrdms.frontends.web.visitors import Connecting
from openrdms.model.rdp_file import MEDIA_TYPE
from openrdms.services.rdp_files import RdpDocument

router = APIRouter(prefix="/me", tags=["me"])

_UNSAFE = re.compile(r"[^A-Za-z0-9._ -]")


@router.get(
    "/connections/{collection}.rdp",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {}}, "description": "an RDP file"}},
)
def download(
    request: Request,
    visitor: Connecting,
    collection: str,
    application: Annotated[str, Query(max_length=256)] = "",
) -> Response:
    """An RDP file that leads to the user's desktop of a collection, or to an application there.

    It can be opened as often as wanted, for twelve hours; a desktop is found for each connection.
    """
    with visitor.watch("OpenRDMS_OwnDesktop", "GetRdpFile", on={"CollectionAlias": collection}):
        made = visitor.backend.rdp_files.make(
            visitor.account.name,
            collection,
            application,
            reached_by=request.url.hostname or "",
        )
    return as_download(made)


@router.delete("/rdp-files", status_code=204)
def revoke(visitor: Connecting) -> Response:
    """Make all RDP files worthless that the user has had so far, those of the feed too.

    What is connected stays so.
    """
    with visitor.watch("OpenRDMS_OwnDesktop", "RevokeRdpFiles"):
        visitor.backend.rdp_files.revoke(visitor.account.name)
    return Response(status_code=204)


def as_download(made: RdpDocument) -> Response:
    """The file, under a name that is safe in a header (RFC 6266) and in a directory."""
    plain = _UNSAFE.sub("_", made.title).strip(" .")[:80] or "desktop"
    encoded = quote(f"{made.title}.rdp", safe="")
    disposition = f"attachment; filename=\"{plain}.rdp\"; filename*=UTF-8''{encoded}"
    return Response(
        made.content, media_type=MEDIA_TYPE, headers={"content-disposition": disposition}
    )

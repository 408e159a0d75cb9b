"""Published applications, their file types, and the feed of what users may open (facts a.7, d)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum, StrEnum

from openrdms.model import sddl
from openrdms.model.errors import InvalidParameter

MAX_ICON = 64 * 1024
"""Bytes. The interface names no format of icons, so none is asked for."""

_MAX_NAME, _MAX_FOLDER, _MAX_PATH, _MAX_ARGUMENTS = 256, 64, 4096, 32767
_NOT_IN_FILE_NAMES = frozenset('<>:"/\\|?*')
_NOT_IN_ALIASES = _NOT_IN_FILE_NAMES | {"'"}


class CommandLine(IntEnum):
    """CommandLineSetting: whether users may give an application arguments, or it has its own."""

    DO_NOT_ALLOW = 0
    ALLOW = 1
    REQUIRE = 2


@dataclass(frozen=True)
class Application:
    """One row of Win32_RDMSPublishedApplication. Lookups ignore case.

    ``collection`` is the alias of a collection of desktops or of sessions. Without a descriptor
    of its own an application is for whoever may use the collection. ``required_command_line`` is
    kept with any setting, since clients send back what they read; it counts with REQUIRE.
    """

    collection: str
    alias: str
    name: str
    path: str
    virtual_path: str
    show_in_portal: bool = True
    security_descriptor: str | None = None
    command_line_setting: CommandLine = CommandLine.DO_NOT_ALLOW
    required_command_line: str | None = None
    folder: str | None = None
    icon_path: str | None = None
    icon_index: int = 0
    icon: bytes | None = None


@dataclass(frozen=True)
class FileType:
    """One row of Win32_RDMSFileTypeAssociation: files that an application opens."""

    collection: str
    application: str
    extension: str
    prog_id_hint: str | None = None
    icon_path: str | None = None
    icon_index: int = 0
    icon: bytes | None = None
    is_primary_handler: bool = False
    is_published: bool = False


class ResourceKind(StrEnum):
    """What a resource of the feed is."""

    APPLICATION = "application"
    DESKTOP = "desktop"


@dataclass(frozen=True)
class Resource:
    """One row of the feed: something that users may see and open.

    ``application`` is "" for the desktop of a collection. Whoever opens it must be allowed by
    each of ``descriptors``; without any it is for administrators. ``command_line`` is what the
    application is always given, None when users give what they like.
    """

    collection: str
    application: str
    kind: ResourceKind
    title: str
    folder: str | None
    show: bool
    icon: bytes | None
    descriptors: tuple[str, ...]
    file_types: tuple[str, ...]
    command_line: str | None
    modified: datetime

    def since(self, before: Resource | None) -> Resource:
        """It with the time of ``before`` when nothing else has changed."""
        if before and replace(self, modified=before.modified) == before:
            return before
        return self


@dataclass(frozen=True)
class FeedSource:
    """What the feed takes from a collection itself."""

    alias: str
    name: str
    descriptor: str | None
    show: bool = True
    icon: bytes | None = None


def make_feed(
    source: FeedSource,
    applications: Sequence[Application],
    file_types: Iterable[FileType],
    now: datetime,
) -> list[Resource]:
    """A collection offers its applications or, when it has none, its desktop (facts a.3)."""
    if not applications:
        return [_offer_desktop(source, now)]
    extensions: dict[str, list[str]] = {}
    for one in file_types:
        if one.is_published:
            extensions.setdefault(one.application.casefold(), []).append(one.extension)
    return [
        _offer_application(source, one, extensions.get(one.alias.casefold(), []), now)
        for one in applications
    ]


def _offer_desktop(source: FeedSource, now: datetime) -> Resource:
    return Resource(
        collection=source.alias,
        application="",
        kind=ResourceKind.DESKTOP,
        title=source.name,
        folder=None,
        show=source.show,
        icon=source.icon,
        descriptors=_present(source.descriptor),
        file_types=(),
        command_line="",
        modified=now,
    )


def _offer_application(
    source: FeedSource, application: Application, extensions: list[str], now: datetime
) -> Resource:
    """A descriptor of its own narrows who may use the collection, and never widens it."""
    own = _present(application.security_descriptor) if source.descriptor else ()
    return Resource(
        collection=source.alias,
        application=application.alias,
        kind=ResourceKind.APPLICATION,
        title=application.name,
        folder=application.folder,
        show=application.show_in_portal,
        icon=application.icon,
        descriptors=_present(source.descriptor) + own,
        file_types=tuple(sorted(extensions)),
        command_line=_arguments(application),
        modified=now,
    )


def _present(descriptor: str | None) -> tuple[str, ...]:
    return (descriptor,) if descriptor else ()


def _arguments(application: Application) -> str | None:
    if application.command_line_setting is CommandLine.ALLOW:
        return None
    if application.command_line_setting is CommandLine.REQUIRE:
        return application.required_command_line or ""
    return ""


def accept_application(application: Application) -> Application:
    """The application as it is kept: a text of blanks means none. InvalidParameter."""
    kept = replace(
        application,
        virtual_path=application.virtual_path or application.path,
        security_descriptor=_accept_descriptor(application.security_descriptor),
        required_command_line=_blank_is_none(application.required_command_line),
        folder=_blank_is_none(application.folder),
    )
    _check_name("AppAlias", kept.alias, _MAX_NAME, _NOT_IN_ALIASES)
    _check_name("DisplayName", kept.name, _MAX_NAME, _NOT_IN_FILE_NAMES)
    _check_text("AppPath", kept.path, _MAX_PATH)
    _check_text("VirtualPath", kept.virtual_path, _MAX_PATH)
    if kept.folder is not None:
        _check_name("Folder", kept.folder, _MAX_FOLDER, _NOT_IN_FILE_NAMES)
    if kept.required_command_line is not None:
        _check_text("RequiredCommandLine", kept.required_command_line, _MAX_ARGUMENTS)
    _check_icon(kept)
    return kept


def check_file_type(file_type: FileType) -> None:
    """InvalidParameter."""
    _check_name("ExtName", file_type.extension, _MAX_NAME, _NOT_IN_FILE_NAMES)
    if file_type.prog_id_hint:
        _check_text("ProgIdHint", file_type.prog_id_hint, _MAX_NAME)
    _check_icon(file_type)


def _check_icon(of: Application | FileType) -> None:
    if of.icon_path:
        _check_text("IconPath", of.icon_path, _MAX_PATH)
    check_icon(of.icon)


def check_icon(contents: bytes | None) -> None:
    """InvalidParameter for one that is too large."""
    if contents and len(contents) > MAX_ICON:
        raise InvalidParameter("IconContents", f"{len(contents)} bytes are more than {MAX_ICON}")


def _blank_is_none(text: str | None) -> str | None:
    return text if text and text.strip() else None


def _accept_descriptor(text: str | None) -> str | None:
    present = _blank_is_none(text)
    try:
        return sddl.normalise(present) if present else None
    except sddl.SddlError as error:
        raise InvalidParameter("SecurityDescriptor", str(error)) from error


def _check_name(field: str, text: str, limit: int, excluded: frozenset[str]) -> None:
    _check_text(field, text, limit)
    if text != text.strip() or text in {".", ".."}:
        raise InvalidParameter(field, f"{text!r} is . or .. or has blanks at an end")
    wrong = sorted(excluded.intersection(text))
    if wrong:
        raise InvalidParameter(field, f"{text!r} has {wrong[0]}")


def _check_text(field: str, text: str, limit: int) -> None:
    if not text.strip() or len(text) > limit:
        raise InvalidParameter(field, f"has {len(text)} characters, not 1 to {limit}")
    if any(letter < " " or letter == "\x7f" for letter in text):
        raise InvalidParameter(field, "has a control character")

"""The tables, as migrations leave them.

A table has the fields of its dataclass by their names. Names that are compared ignoring case
have a second, case-folded column ending in ``_key``: databases fold ASCII only. CHECK
constraints and unique indexes keep out rows that the model does not allow, so a fault in our
code cannot store an illegal state.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator, TypeEngine

from openrdms.model.collection import CollectionState, CollectionType
from openrdms.model.desktop import DesktopStatus
from openrdms.model.host import DiskKind
from openrdms.model.image import DiskBus, Firmware, GuestOs
from openrdms.model.job import JobAction, Phase, VmStatus


class _Member(TypeDecorator[Enum]):
    """An enumeration member, stored as its value."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: type[IntEnum | StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(
            sa.Integer() if issubclass(self.kind, IntEnum) else sa.Text()
        )

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else self.kind(value)


class _UtcTime(TypeDecorator[datetime]):
    """A time zone aware datetime, stored in UTC (SQLite drops the zone)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.replace(tzinfo=value.tzinfo or UTC) if value else None


class _FilePath(TypeDecorator[Path]):
    """A path, stored as text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Path | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Path | None:
        return None if value is None else Path(value)


class _Texts(TypeDecorator[tuple[str, ...]]):
    """A tuple of strings, stored as JSON."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> tuple[str, ...] | None:
        return None if value is None else tuple(value)


def _text(name: str, *, null: bool = False, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null, primary_key=key)


def _number(name: str, *, null: bool = False, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null, primary_key=key, autoincrement=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _time(name: str, *, null: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, _UtcTime, nullable=null)


def _member(name: str, kind: type[IntEnum | StrEnum], *, null: bool = False) -> sa.Column[Any]:
    """A column that takes the values of ``kind`` only."""
    values = ", ".join(
        str(member.value) if isinstance(member, int) else f"'{member.value}'" for member in kind
    )
    allowed = sa.CheckConstraint(f"{name} IN ({values})", name=name)
    return sa.Column(name, _Member(kind), allowed, nullable=null)


def _of_collection(column: str) -> sa.Column[str]:
    """The primary key of rows that come and go with a collection."""
    return sa.Column(
        column,
        sa.Text,
        sa.ForeignKey("collections.alias_key", ondelete="CASCADE"),
        primary_key=True,
    )


metadata = sa.MetaData(
    naming_convention={
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s",
        "pk": "%(table_name)s_key",
    }
)

collections = sa.Table(
    "collections",
    metadata,
    _text("alias_key", key=True),
    _text("name_key"),
    _text("alias"),
    _text("name"),
    _member("type", CollectionType),
    _flag("is_managed"),
    _text("description", null=True),
    _text("security_descriptor", null=True),
    _text("vm_farm_settings", null=True),
    _text("user_vhd_setting", null=True),
    sa.Column("icon", sa.LargeBinary, nullable=True),
    _flag("show_in_portal"),
    _flag("is_ha"),
    _flag("is_user_admin"),
    _flag("rollback_enabled"),
    _member("state", CollectionState),
    _text("job_guid"),
    sa.UniqueConstraint("name_key"),
)

collection_values = sa.Table(
    "collection_values",
    metadata,
    _of_collection("collection_key"),
    _text("key", key=True),
    _number("number", null=True),
    _text("text", null=True),
    sa.CheckConstraint("(number IS NULL) <> (text IS NULL)", name="one_value"),
)

provisioning_settings = sa.Table(
    "provisioning_settings",
    metadata,
    _of_collection("collection_key"),
    _text("vhd_type"),
    _text("base_vm_location"),
    _text("image"),
    _text("name_prefix"),
    _text("name_prefix_key"),
    _number("name_start_index"),
    _text("local_vm_location"),
    _text("local_gold_location"),
    _flag("run_from_smb"),
    _text("smb_location"),
    _flag("smb_streaming"),
    _text("domain"),
    _text("ou"),
    _text("unattend_xml"),
    sa.UniqueConstraint("name_prefix_key"),
)

reference_desktops = sa.Table(
    "reference_desktops",
    metadata,
    _of_collection("collection_key"),
    _text("name", null=True),
    _text("machine_name", null=True),
    _text("host", null=True),
    _text("guid", null=True),
    _text("os_version", null=True),
    _number("ram_mib", null=True),
    _text("architecture", null=True),
    _flag("remote_fx"),
    sa.Column("adapters", _Texts, nullable=True),
)

desktops = sa.Table(
    "desktops",
    metadata,
    _text("name_key", key=True),
    _text("collection_key"),
    _text("home_key"),
    _text("name"),
    _text("host"),
    sa.Column("uuid", sa.Uuid, nullable=False),
    _text("mac"),
    _text("collection"),
    _text("home"),
    _text("image"),
    _member("disk_kind", DiskKind),
    _number("generation"),
    _member("status", DesktopStatus),
    _flag("identity_set"),
    _text("user", null=True),
    _text("user_domain", null=True),
    _text("user_key", null=True),
    sa.CheckConstraint("(user_key IS NULL) = (user_domain IS NULL)", name="assigned"),
    sa.Index("desktops_collection", "collection_key"),
    sa.Index("desktops_home", "home_key"),
    sa.Index("desktops_user", "collection_key", "user_key", unique=True),
)

memberships = sa.Table(
    "memberships",
    metadata,
    _text("collection_key", key=True),
    _text("name_key", key=True),
)
"""Which desktops ever were in a collection, until it is deleted."""

_ENDED = "state IN (7, 8, 10, 12)"

jobs = sa.Table(
    "jobs",
    metadata,
    _text("guid", key=True),
    _text("collection_key"),
    _text("collection"),
    _member("action", JobAction),
    _member("state", CollectionState),
    _text("document"),
    sa.Column("options", sa.JSON, nullable=False),
    _time("started"),
    _time("modified"),
    _time("ended", null=True),
    _time("cancel_requested", null=True),
    _text("error"),
    sa.CheckConstraint(f"(ended IS NOT NULL) = ({_ENDED})", name="ended"),
    sa.CheckConstraint("cancel_requested IS NULL OR state <> 10", name="never_completed"),
    sa.CheckConstraint("cancel_requested IS NOT NULL OR state <> 11", name="cancel_requested"),
    sa.CheckConstraint("cancel_requested IS NULL OR action <> 'Delete'", name="delete_goes_on"),
    sa.Index("jobs_collection", "collection_key"),
    sa.Index(
        "jobs_one_running",
        "collection_key",
        unique=True,
        sqlite_where=sa.text("ended IS NULL AND action <> 'Prep'"),
        postgresql_where=sa.text("ended IS NULL AND action <> 'Prep'"),
    ),
)

job_desktops = sa.Table(
    "job_desktops",
    metadata,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.guid"), primary_key=True),
    _number("ordinal", key=True),
    _text("name_key"),
    _text("name"),
    _text("host"),
    sa.Column("uuid", sa.Uuid, nullable=False),
    _text("mac"),
    _text("image"),
    _member("disk_kind", DiskKind),
    _number("generation"),
    _member("status", VmStatus),
    sa.Column("intended", _Member(Phase), nullable=True),
    sa.Column("done", _Member(Phase), nullable=True),
    _text("error"),
    sa.Column("undone", _Texts, nullable=False),
    _text("notes"),
    _number("previous", null=True),
    _text("previous_image"),
    _flag("was_running"),
    sa.Index("job_desktops_name", "name_key"),
)

images = sa.Table(
    "images",
    metadata,
    _text("name_key", key=True),
    _number("version", key=True),
    _text("name"),
    sa.Column("disk", _FilePath, nullable=False),
    _number("virtual_bytes"),
    _text("sha256"),
    _member("os", GuestOs),
    _member("firmware", Firmware),
    _number("memory_mib"),
    _number("vcpus"),
    _member("disk_bus", DiskBus),
    _time("created"),
    _text("parent"),
    _text("source"),
    sa.Column("kernel", _FilePath, nullable=True),
    sa.Column("initrd", _FilePath, nullable=True),
    _text("cmdline"),
    _flag("generalised"),
    _text("job", null=True),
    sa.UniqueConstraint("job"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    _text("host_key", key=True),
    _number("session_id", key=True),
    _text("vm"),
    sa.Column("vm_uuid", sa.Uuid, nullable=False),
    _text("guest_key"),
    sa.UniqueConstraint("host_key", "vm_uuid", "guest_key"),
)

"""The tables, as migrations leave them.

A table has the fields of its dataclass by their names. Names that are compared ignoring case
have a second, case-folded column ending in ``_key``: databases fold ASCII only. CHECK
constraints and unique indexes keep out rows that the model does not allow, so a fault in our
code cannot store an illegal state.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
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


class DatabaseClock(FunctionElement[datetime]):
    """What the database's clock says at that moment, whichever service asks."""

    type = _UtcTime()
    inherit_cache = True


@compiles(DatabaseClock, "sqlite")
def _ask_sqlite(*_: object, **__: object) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(DatabaseClock, "postgresql")
def _ask_postgresql(*_: object, **__: object) -> str:
    return "clock_timestamp()"


class _FilePath(TypeDecorator[Path]):
    """A path, stored as text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Path | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Path | None:
        return None if value is None else Path(value)


class _Repeated(TypeDecorator[str]):
    """Text that many rows have alike, as the name of a host: in memory it is there once."""

    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else sys.intern(value)


class Texts(TypeDecorator[tuple[str, ...]]):
    """A tuple of strings, stored as JSON."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> tuple[str, ...] | None:
        return None if value is None else tuple(value)


def text_column(name: str, *, null: bool = False, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null, primary_key=key)


def repeated_column(name: str) -> sa.Column[str]:
    return sa.Column(name, _Repeated, nullable=False)


def service_column() -> sa.Column[str]:
    """The id of the member that has it under way; "" where a service is alone."""
    return sa.Column("service", sa.Text, nullable=False, server_default="")


def number_column(name: str, *, null: bool = False, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null, primary_key=key, autoincrement=False)


def flag_column(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def time_column(name: str, *, null: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, _UtcTime, nullable=null)


def member_column(
    name: str, kind: type[IntEnum | StrEnum], *, null: bool = False
) -> sa.Column[Any]:
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
    text_column("alias_key", key=True),
    text_column("name_key"),
    text_column("alias"),
    text_column("name"),
    member_column("type", CollectionType),
    flag_column("is_managed"),
    text_column("description", null=True),
    text_column("security_descriptor", null=True),
    text_column("vm_farm_settings", null=True),
    text_column("user_vhd_setting", null=True),
    sa.Column("icon", sa.LargeBinary, nullable=True),
    flag_column("show_in_portal"),
    flag_column("is_ha"),
    flag_column("is_user_admin"),
    flag_column("rollback_enabled"),
    member_column("state", CollectionState),
    text_column("job_guid"),
    sa.UniqueConstraint("name_key"),
)

collection_values = sa.Table(
    "collection_values",
    metadata,
    _of_collection("collection_key"),
    text_column("key", key=True),
    number_column("number", null=True),
    text_column("text", null=True),
    sa.CheckConstraint("(number IS NULL) <> (text IS NULL)", name="one_value"),
)

provisioning_settings = sa.Table(
    "provisioning_settings",
    metadata,
    _of_collection("collection_key"),
    text_column("vhd_type"),
    text_column("base_vm_location"),
    text_column("image"),
    text_column("name_prefix"),
    text_column("name_prefix_key"),
    number_column("name_start_index"),
    text_column("local_vm_location"),
    text_column("local_gold_location"),
    flag_column("run_from_smb"),
    text_column("smb_location"),
    flag_column("smb_streaming"),
    text_column("domain"),
    text_column("ou"),
    text_column("unattend_xml"),
    sa.UniqueConstraint("name_prefix_key"),
)

reference_desktops = sa.Table(
    "reference_desktops",
    metadata,
    _of_collection("collection_key"),
    text_column("name", null=True),
    text_column("machine_name", null=True),
    text_column("host", null=True),
    text_column("guid", null=True),
    text_column("os_version", null=True),
    number_column("ram_mib", null=True),
    text_column("architecture", null=True),
    flag_column("remote_fx"),
    sa.Column("adapters", Texts, nullable=True),
)

desktops = sa.Table(
    "desktops",
    metadata,
    text_column("name_key", key=True),
    text_column("collection_key"),
    text_column("home_key"),
    text_column("name"),
    repeated_column("host"),
    sa.Column("uuid", sa.Uuid, nullable=False),
    text_column("mac"),
    repeated_column("collection"),
    repeated_column("home"),
    repeated_column("image"),
    member_column("disk_kind", DiskKind),
    number_column("generation"),
    member_column("status", DesktopStatus),
    flag_column("identity_set"),
    text_column("user", null=True),
    text_column("user_domain", null=True),
    text_column("user_key", null=True),
    sa.Column("moving_to", sa.Text, nullable=False, server_default=""),
    sa.Column("mover", sa.Text, nullable=False, server_default=""),
    sa.CheckConstraint("(user_key IS NULL) = (user_domain IS NULL)", name="assigned"),
    sa.Index("desktops_collection", "collection_key"),
    sa.Index("desktops_home", "home_key"),
    sa.Index("desktops_user", "collection_key", "user_key", unique=True),
    sa.Index(
        "desktops_moving",
        "moving_to",
        sqlite_where=sa.text("moving_to <> ''"),
        postgresql_where=sa.text("moving_to <> ''"),
    ),
)

memberships = sa.Table(
    "memberships",
    metadata,
    text_column("collection_key", key=True),
    text_column("name_key", key=True),
)
"""Which desktops ever were in a collection, until it is deleted."""

_ENDED = "state IN (7, 8, 10, 12)"

jobs = sa.Table(
    "jobs",
    metadata,
    text_column("guid", key=True),
    text_column("collection_key"),
    text_column("collection"),
    member_column("action", JobAction),
    member_column("state", CollectionState),
    text_column("document"),
    sa.Column("options", sa.JSON, nullable=False),
    time_column("started"),
    time_column("modified"),
    time_column("ended", null=True),
    time_column("cancel_requested", null=True),
    text_column("error"),
    service_column(),
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
    sa.Column("job", _Repeated, sa.ForeignKey("jobs.guid"), primary_key=True),
    number_column("ordinal", key=True),
    text_column("name_key"),
    text_column("name"),
    repeated_column("host"),
    sa.Column("uuid", sa.Uuid, nullable=False),
    text_column("mac"),
    repeated_column("image"),
    member_column("disk_kind", DiskKind),
    number_column("generation"),
    member_column("status", VmStatus),
    sa.Column("intended", _Member(Phase), nullable=True),
    sa.Column("done", _Member(Phase), nullable=True),
    text_column("error"),
    sa.Column("undone", Texts, nullable=False),
    repeated_column("notes"),
    number_column("previous", null=True),
    repeated_column("previous_image"),
    flag_column("was_running"),
    # tables had rows when these came, hence the defaults
    sa.Column("reason", _Repeated, nullable=False, server_default=""),
    sa.Column("wave", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("job_desktops_name", "name_key"),
)

images = sa.Table(
    "images",
    metadata,
    text_column("name_key", key=True),
    number_column("version", key=True),
    text_column("name"),
    sa.Column("disk", _FilePath, nullable=False),
    number_column("virtual_bytes"),
    text_column("sha256"),
    member_column("os", GuestOs),
    member_column("firmware", Firmware),
    number_column("memory_mib"),
    number_column("vcpus"),
    member_column("disk_bus", DiskBus),
    time_column("created"),
    text_column("parent"),
    text_column("source"),
    sa.Column("kernel", _FilePath, nullable=True),
    sa.Column("initrd", _FilePath, nullable=True),
    text_column("cmdline"),
    flag_column("generalised"),
    text_column("job", null=True),
    sa.Column("kernel_sha256", sa.Text, nullable=False, server_default=""),
    sa.Column("initrd_sha256", sa.Text, nullable=False, server_default=""),
    # what was removed stays: its number is never given again, and hosts may have copies of it
    sa.Column("removed", sa.Boolean, nullable=False, server_default="0"),
    sa.UniqueConstraint("job"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    text_column("host_key", key=True),
    number_column("session_id", key=True),
    text_column("vm"),
    sa.Column("vm_uuid", sa.Uuid, nullable=False),
    text_column("guest_key"),
    sa.UniqueConstraint("host_key", "vm_uuid", "guest_key"),
)

members = sa.Table(
    "members",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    text_column("id"),
    text_column("name"),
    text_column("address"),
    text_column("version"),
    time_column("began"),
    time_column("beat"),
    flag_column("fenced"),
    flag_column("taken"),
    sa.Column("died", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("id"),
)

duties = sa.Table(
    "duties",
    metadata,
    text_column("name", key=True),
    text_column("service"),
)
"""What is for one service at a time, and whose it is: the id of a member."""

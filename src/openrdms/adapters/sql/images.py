"""Image versions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database, note_change
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.image import ImageUsers, ImageVersion

_images = schema.images


def _settled() -> sa.ColumnElement[bool]:
    """No running job made it."""
    running = sa.select(schema.jobs.c.guid).where(schema.jobs.c.ended.is_(None))
    return sa.or_(_images.c.job.is_(None), _images.c.job.not_in(running))


_THERE = sa.not_(_images.c.removed)
_QUICK_FIND = rows.query_records(ImageVersion, _images).where(
    _images.c.name_key == sa.bindparam("name"),
    _images.c.version == sa.bindparam("version", type_=sa.Integer),
    _THERE,
)
_QUICK_SETTLED = _QUICK_FIND.where(_settled())


class ImageRecords:
    """The part of ports.Store about images."""

    _database: Database

    def list_images(self, *, settled: bool = False) -> list[ImageVersion]:
        where = [_THERE, _settled()] if settled else [_THERE]
        return self._list(*where)

    def find_image(
        self, name: str, version: int | None = None, *, settled: bool = False
    ) -> ImageVersion | None:
        if version is not None:
            query = _QUICK_SETTLED if settled else _QUICK_FIND
            quick = self._database.quick.rows(query, name=name.casefold(), version=version)
            return ImageVersion(*quick[0]) if quick else None
        where: list[sa.ColumnElement[bool]] = [_THERE, _images.c.name_key == name.casefold()]
        if settled:
            where.append(_settled())
        with self._database.read() as connection:
            newest_first = [_images.c.version.desc()]
            found = rows.select_records(
                connection, ImageVersion, _images, *where, order=newest_first
            )
            return found[0] if found else None

    def next_image_version(self, name: str) -> int:
        with self._database.read() as connection:
            return _next_version(connection, name)

    def add_image(self, image: ImageVersion, *, job: str | None = None) -> ImageVersion:
        with self._database.write() as connection:
            done = rows.find_record(connection, ImageVersion, _images, _images.c.job == job)
            if job and done:
                return done
            numbered = replace(image, version=_next_version(connection, image.name))
            row = rows.render_row(numbered, name_key=image.name.casefold(), job=job)
            connection.execute(sa.insert(_images).values(row))
            note_change(connection, Kind.IMAGE, numbered.reference)
            return numbered

    def drop_image(self, job: str) -> ImageVersion | None:
        with self._database.write() as connection:
            dropped = rows.find_record(connection, ImageVersion, _images, _images.c.job == job)
            connection.execute(sa.delete(_images).where(_images.c.job == job))
            if dropped:
                note_change(connection, Kind.IMAGE, dropped.reference)
            return dropped

    def find_image_users(self, image: ImageVersion) -> ImageUsers:
        with self._database.read() as connection:
            return _find_users(connection, image)

    def remove_image(self, image: ImageVersion) -> ImageUsers:
        with self._database.write() as connection:
            users = _find_users(connection, image)
            if not users:
                removed = sa.update(_images).where(_is(image)).values(removed=True)
                connection.execute(removed)
                note_change(connection, Kind.IMAGE, image.reference)
            return users

    def list_removed_images(self) -> list[ImageVersion]:
        return self._list(_images.c.removed)

    def _list(self, *where: sa.ColumnElement[bool]) -> list[ImageVersion]:
        order = [_images.c.name_key, _images.c.version]
        with self._database.read() as connection:
            return rows.select_records(connection, ImageVersion, _images, *where, order=order)


def require_image(connection: sa.Connection, reference: str) -> None:
    """NotFound when that version has been removed: a job has just resolved it."""
    name, _, version = reference.partition("@")
    gone = sa.select(_images.c.version).where(
        _images.c.name_key == name.casefold(),
        _images.c.version == int(version or 0),
        _images.c.removed,
    )
    if connection.execute(gone).first():
        raise errors.NotFound(f"BaseVmLocation: there is no image {reference}")


def _is(image: ImageVersion) -> sa.ColumnElement[bool]:
    return sa.and_(_images.c.name_key == image.name.casefold(), _images.c.version == image.version)


def _next_version(connection: sa.Connection, name: str) -> int:
    newest = sa.select(sa.func.max(_images.c.version))
    ours = newest.where(_images.c.name_key == name.casefold())
    return (connection.execute(ours).scalar() or 0) + 1


def _find_users(connection: sa.Connection, image: ImageVersion) -> ImageUsers:
    """What may need the version for a disk that it has, or is about to make."""
    return ImageUsers(
        jobs=tuple(sorted(_find_jobs(connection, image))),
        collections=_names(
            connection,
            sa.select(schema.collections.c.alias).join(schema.provisioning_settings),
            schema.provisioning_settings.c.image == image.reference,
        ),
        desktops=_names(
            connection,
            sa.select(schema.desktops.c.name).order_by(schema.desktops.c.name_key),
            schema.desktops.c.image == image.reference,
        ),
    )


def _find_jobs(connection: sa.Connection, image: ImageVersion) -> set[str]:
    """Jobs that run and make it, name it, or have it in their plan."""
    jobs, planned = schema.jobs, schema.job_desktops
    running = jobs.c.ended.is_(None)
    named = connection.execute(sa.select(jobs.c.guid, jobs.c.options).where(running))
    found = {
        guid
        for guid, options in named
        if image.reference in (options.get("image"), options.get("parent"))
    }
    either = (planned.c.image, planned.c.previous_image)
    in_plan = sa.select(planned.c.job).distinct().join(jobs).where(running)
    found |= set(
        _names(connection, in_plan, sa.or_(*(column == image.reference for column in either)))
    )
    makes = sa.select(_images.c.job).join(jobs, jobs.c.guid == _images.c.job).where(running)
    return found | set(_names(connection, makes, _is(image)))


def _names(
    connection: sa.Connection, query: sa.Select[Any], where: sa.ColumnElement[bool]
) -> tuple[str, ...]:
    return tuple(name for (name,) in connection.execute(query.where(where)))

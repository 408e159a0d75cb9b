"""Image versions."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database
from openrdms.model.image import ImageVersion

_images = schema.images


def _settled() -> sa.ColumnElement[bool]:
    """No running job made it."""
    running = sa.select(schema.jobs.c.guid).where(schema.jobs.c.ended.is_(None))
    return sa.or_(_images.c.job.is_(None), _images.c.job.not_in(running))


_QUICK_FIND = rows.query_records(ImageVersion, _images).where(
    _images.c.name_key == sa.bindparam("name"),
    _images.c.version == sa.bindparam("version", type_=sa.Integer),
)
_QUICK_SETTLED = _QUICK_FIND.where(_settled())


class ImageRecords:
    """The part of ports.Store about images."""

    _database: Database

    def list_images(self, *, settled: bool = False) -> list[ImageVersion]:
        where = [_settled()] if settled else []
        with self._database.read() as connection:
            order = [_images.c.name_key, _images.c.version]
            return rows.select_records(connection, ImageVersion, _images, *where, order=order)

    def find_image(
        self, name: str, version: int | None = None, *, settled: bool = False
    ) -> ImageVersion | None:
        if version is not None:
            query = _QUICK_SETTLED if settled else _QUICK_FIND
            quick = self._database.quick.rows(query, name=name.casefold(), version=version)
            return ImageVersion(*quick[0]) if quick else None
        where: list[sa.ColumnElement[bool]] = [_images.c.name_key == name.casefold()]
        if settled:
            where.append(_settled())
        with self._database.read() as connection:
            newest_first = [_images.c.version.desc()]
            found = rows.select_records(
                connection, ImageVersion, _images, *where, order=newest_first
            )
            return found[0] if found else None

    def add_image(self, image: ImageVersion, *, job: str | None = None) -> ImageVersion:
        key = image.name.casefold()
        newest = sa.select(sa.func.max(_images.c.version)).where(_images.c.name_key == key)
        with self._database.write() as connection:
            done = rows.find_record(connection, ImageVersion, _images, _images.c.job == job)
            if job and done:
                return done
            numbered = replace(image, version=(connection.execute(newest).scalar() or 0) + 1)
            row = rows.render_row(numbered, name_key=key, job=job)
            connection.execute(sa.insert(_images).values(row))
            return numbered

    def drop_image(self, job: str) -> ImageVersion | None:
        with self._database.write() as connection:
            dropped = rows.find_record(connection, ImageVersion, _images, _images.c.job == job)
            connection.execute(sa.delete(_images).where(_images.c.job == job))
            return dropped

"""Images on one simulated host: its own is there, others are copied piece by piece."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from openrdms.adapters.simulator import vms
from openrdms.model.errors import InvalidOperation, OperationFailed
from openrdms.model.image import ImageVersion

if TYPE_CHECKING:
    from openrdms.adapters.simulator.cluster import Cluster

_PIECES = 10


class Images:
    """What the host has of each image is in the state, so an interrupted copy goes on there."""

    def __init__(self, cluster: Cluster, host: str) -> None:
        self._cluster = cluster
        self._host = host
        self._copying: dict[str, threading.Lock] = {}

    def has(self, db: sqlite3.Connection, image: ImageVersion) -> bool:
        """Whether the whole image is there."""
        return (
            image.reference == self._cluster.image.reference or self._pieces(db, image) >= _PIECES
        )

    def copy(
        self, image: ImageVersion, go_on: Callable[[], bool], progress: Callable[[float], None]
    ) -> None:
        """See ``ports.Host.copy_image``. It takes ``copy_ms``.

        The image's fault ``corrupt`` stands for a checksum that is wrong at the end.
        """
        with self._copying.setdefault(image.reference, threading.Lock()):
            while not self._is_there(image):
                if not go_on():
                    raise InvalidOperation(f"copying {image.reference} was ended")
                self._cluster.clock.sleep(self._cluster.settings.copy_ms / 1000 / _PIECES)
                progress(self._add_piece(image))
        progress(1.0)

    def drop(self, image: ImageVersion) -> None:
        """See ``ports.Host.drop_image``."""
        with self._cluster.operations.transaction(self._host) as db:
            self._remove(db, image)

    def _is_there(self, image: ImageVersion) -> bool:
        with self._cluster.operations.transaction(self._host) as db:
            return self.has(db, image)

    def _add_piece(self, image: ImageVersion) -> float:
        with self._cluster.operations.transaction(self._host) as db:
            pieces = self._pieces(db, image) + 1
            corrupt = vms.find_image_fault(db, image.reference) == "corrupt"
            if corrupt and pieces == _PIECES:
                self._remove(db, image)
            else:
                db.execute(
                    "INSERT OR REPLACE INTO host_images VALUES (?, ?, ?)",
                    (self._host, image.reference, pieces),
                )
        if corrupt and pieces == _PIECES:
            raise OperationFailed(f"{image.reference} on {self._host} has another checksum")
        return pieces / _PIECES

    def _pieces(self, db: sqlite3.Connection, image: ImageVersion) -> int:
        row = db.execute(
            "SELECT pieces FROM host_images WHERE host = ? AND image = ?",
            (self._host, image.reference),
        ).fetchone()
        return int(row["pieces"]) if row else 0

    def _remove(self, db: sqlite3.Connection, image: ImageVersion) -> None:
        db.execute(
            "DELETE FROM host_images WHERE host = ? AND image = ?", (self._host, image.reference)
        )

"""VMs and disks as rows: what is asked of the state in more than one place."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from uuid import UUID

from openrdms.model.errors import NotFound
from openrdms.model.host import Ownership, VmInfo, VmSpec, VmState


def find(
    db: sqlite3.Connection, host: str, name: str, uuid: UUID | None = None
) -> sqlite3.Row | None:
    """The VM's row, its name compared ignoring case; with ``uuid`` not another's."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM vms WHERE host = ? AND name = ?", (host, name)
    ).fetchone()
    return row if row is None or uuid is None or row["uuid"] == str(uuid) else None


def get(db: sqlite3.Connection, host: str, name: str) -> sqlite3.Row:
    """The VM's row. NotFound."""
    row = find(db, host, name)
    if row is None:
        raise NotFound(f"{host} has no VM {name}")
    return row


def page(
    db: sqlite3.Connection, host: str, after: str, until: str | None, limit: int
) -> list[sqlite3.Row]:
    """Rows in order of name, for ``state`` and ``maker``: see ``ports.Host.page_vms``."""
    upper = "" if until is None else "AND name <= :until"
    return db.execute(
        f"""SELECT name, saved, paused, started_at, collection, adopted FROM vms
            WHERE host = :host AND name > :after {upper} ORDER BY name LIMIT :limit""",  # noqa: S608
        {"host": host, "after": after, "until": until, "limit": limit},
    ).fetchall()


def find_disk(db: sqlite3.Connection, host: str, vm: str, name: str) -> sqlite3.Row | None:
    """The row of the disk file ``name`` of that VM, whole or half made."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM disks WHERE host = ? AND vm = ? AND name = ?", (host, vm, name)
    ).fetchone()
    return row


def is_whole(disk: sqlite3.Row | None) -> bool:
    """True for a disk that is there and was made to its end."""
    return disk is not None and not disk["partial"]


def is_new(disk: sqlite3.Row, made: Mapping[str, object]) -> bool:
    """Whether the disk is as one that is ``made`` now would be: nobody has booted from it."""
    untouched = is_whole(disk) and not disk["used"]
    return untouched and all(disk[name] == value for name, value in made.items())


def find_image_fault(db: sqlite3.Connection, image: str) -> str:
    """What is wrong with guests of that image (NAME@VERSION), "" for nothing."""
    row = db.execute("SELECT fault FROM image_faults WHERE image = ?", (image,)).fetchone()
    return str(row["fault"]) if row else ""


def state(row: sqlite3.Row) -> VmState:
    """A VM runs from the end of its start on, whether or not anybody looked since."""
    if row["saved"]:
        return VmState.SAVED
    if row["paused"]:
        return VmState.PAUSED
    return VmState.STOPPED if row["started_at"] is None else VmState.RUNNING


def ownership(row: sqlite3.Row) -> Ownership | None:
    """Our metadata, None on a stranger's VM."""
    if row["collection"] is None:
        return None
    return Ownership(row["collection"], row["job"], row["image"], bool(row["adopted"]))


def maker(row: sqlite3.Row) -> str:
    """The collection for which a job of ours made the VM, "" for all others."""
    made = row["collection"] is not None and not row["adopted"]
    return str(row["collection"]) if made else ""


def info(row: sqlite3.Row) -> VmInfo:
    """The VM as its host reports it."""
    return VmInfo(
        name=row["name"],
        host=row["host"],
        uuid=UUID(row["uuid"]),
        state=state(row),
        memory_mib=row["memory_mib"],
        vcpus=row["vcpus"],
        disks=(row["disk"],),
        ownership=ownership(row),
    )


def put(db: sqlite3.Connection, host: str, spec: VmSpec, disk: str) -> None:
    """Write the VM as specified; one that is there keeps its name, uuid and MAC."""
    db.execute(
        """INSERT INTO vms (host, name, uuid, mac, memory_mib, vcpus, disk,
                            collection, job, image, adopted)
           VALUES (:host, :name, :uuid, :mac, :memory_mib, :vcpus, :disk,
                   :collection, :job, :image, :adopted)
           ON CONFLICT DO UPDATE SET
               memory_mib = excluded.memory_mib, vcpus = excluded.vcpus, disk = excluded.disk,
               collection = excluded.collection, job = excluded.job, image = excluded.image,
               adopted = excluded.adopted""",
        {
            "host": host,
            "name": spec.name,
            "uuid": str(spec.uuid),
            "mac": spec.mac,
            "memory_mib": spec.image.memory_mib,
            "vcpus": spec.image.vcpus,
            "disk": disk,
            **asdict(spec.ownership),
        },
    )


def set_ownership(
    db: sqlite3.Connection, host: str, name: str, ownership: Ownership | None
) -> None:
    """Write our metadata, or remove it."""
    nothing = dict.fromkeys(("collection", "job", "image", "adopted"))
    db.execute(
        """UPDATE vms SET collection = :collection, job = :job, image = :image, adopted = :adopted
           WHERE host = :host AND name = :name""",
        {"host": host, "name": name, **(nothing if ownership is None else asdict(ownership))},
    )


def hold(db: sqlite3.Connection, row: sqlite3.Row, now: float, *, saved: bool) -> None:
    """Keep the VM as it is from now on: in its memory, or saved on disk."""
    db.execute(
        """UPDATE vms SET paused = ?, saved = ?, held_at = coalesce(held_at, ?)
           WHERE host = ? AND name = ?""",
        (not saved, saved, now, row["host"], row["name"]),
    )


def let_go(db: sqlite3.Connection, row: sqlite3.Row, now: float, agent_s: float) -> float | None:
    """Let a held VM run on: what was to come when it was held comes that much later.

    An agent that had answered answers again after ``agent_s`` seconds. Returns when it does.
    """
    held_at: float = row["held_at"]
    agent_at: float | None = row["agent_at"]
    if agent_at is not None:
        agent_at = now + max(agent_at - held_at, agent_s)
    vm = (row["host"], row["name"])
    db.execute(
        """UPDATE vms SET paused = 0, saved = 0, held_at = NULL, agent_at = ?
           WHERE host = ? AND name = ?""",
        (agent_at, *vm),
    )
    db.execute(
        "UPDATE sessions SET since = since + ? WHERE host = ? AND vm = ? AND since > ?",
        (now - held_at, *vm, held_at),
    )
    return agent_at


def drop_saved(db: sqlite3.Connection, host: str, name: str) -> bool:
    """Forget what was saved of a VM: it is off then. True when users were logged on in it."""
    db.execute(
        """UPDATE vms SET started_at = NULL, agent_at = NULL, paused = 0, saved = 0, held_at = NULL
           WHERE host = ? AND name = ?""",
        (host, name),
    )
    return end_sessions(db, host, name, float("inf"))


def end_sessions(db: sqlite3.Connection, host: str, name: str, now: float) -> bool:
    """End all sessions in the VM, also those that were to begin. True when some had begun."""
    ended = db.execute(
        "DELETE FROM sessions WHERE host = ? AND vm = ? RETURNING since", (host, name)
    ).fetchall()
    return any(row["since"] <= now for row in ended)


def count_vms(db: sqlite3.Connection, host: str) -> tuple[int, int]:
    """How many VMs are defined there, and the memory in MiB of those that run or are paused."""
    count, used = db.execute(
        """SELECT count(*), total(iif(started_at IS NOT NULL AND NOT saved, memory_mib, 0))
           FROM vms WHERE host = ?""",
        (host,),
    ).fetchone()
    return int(count), int(used)


def count_desktops(db: sqlite3.Connection, host: str) -> int:
    """How many VMs have disks on the host or are just getting their first."""
    (count,) = db.execute(
        """SELECT desktops + (SELECT count(*) FROM operations AS o
                              WHERE host = :host AND kind = 'clone' AND NOT EXISTS
                                  (SELECT 1 FROM disks WHERE host = :host AND vm = o.vm))
           FROM hosts WHERE name = :host""",
        {"host": host},
    ).fetchone()
    return int(count)


def has_room(db: sqlite3.Connection, host: str, capacity: int) -> bool:
    """Whether one more VM may have disks there."""
    (most,) = db.execute(
        """SELECT desktops + (SELECT count(*) FROM operations WHERE host = :host)
           FROM hosts WHERE name = :host""",
        {"host": host},
    ).fetchone()
    return most < capacity or count_desktops(db, host) < capacity

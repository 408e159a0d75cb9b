"""Joined nodes. Host names are compared in lower case; they are ASCII."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database
from openrdms.model import errors
from openrdms.model.node import Node

nodes = sa.Table(
    "nodes",
    schema.metadata,
    schema.text_column("fqdn_key", key=True),
    schema.text_column("fqdn"),
    schema.text_column("sid", null=True),
    schema.text_column("os_version", null=True),
    schema.flag_column("joined"),
    schema.flag_column("is_broker"),
    schema.flag_column("is_gateway"),
    schema.flag_column("is_licensing"),
    schema.flag_column("is_vm_host"),
    schema.flag_column("is_web_access"),
    schema.flag_column("is_session_host"),
    schema.flag_column("web_access_certificate"),
    schema.flag_column("gateway_certificate"),
    schema.flag_column("redirector_certificate"),
    schema.flag_column("publishing_certificate"),
    sa.UniqueConstraint("sid"),
)


class NodeRecords:
    """The part of ports.Store about joined nodes."""

    _database: Database

    def list_nodes(self) -> list[Node]:
        with self._database.read() as connection:
            return rows.select_records(connection, Node, nodes, order=[nodes.c.fqdn_key])

    def join_node(self, node: Node) -> None:
        with self._database.write() as connection:
            present = _find(connection, node.fqdn)
            if present and present.joined:
                raise errors.AlreadyExists(f"NodeFQDN: {present.fqdn} has joined already")
            _check_sid(connection, node)
            _put(connection, node)

    def change_node(self, default: Node, change: Callable[[Node], Node | None]) -> None:
        with self._database.write() as connection:
            before = _find(connection, default.fqdn) or default
            after = change(before)
            if after is None or (before.takes_desktops and not after.takes_desktops):
                _check_empty(connection, before.fqdn)
            if after:
                _put(connection, after)
            else:
                connection.execute(sa.delete(nodes).where(_is(before.fqdn)))


def check_hosts(connection: sa.Connection, hosts: Iterable[str]) -> None:
    """InvalidOperation names a host that was unjoined, or is to be no VM host."""
    keys = {host.casefold() for host in hosts}
    for node in rows.select_records(connection, Node, nodes, nodes.c.fqdn_key.in_(keys)):
        if not node.takes_desktops:
            raise errors.InvalidOperation(f"host {node.fqdn} is no VM host of the deployment now")


def _is(fqdn: str) -> sa.ColumnElement[bool]:
    return nodes.c.fqdn_key == fqdn.casefold()


def _find(connection: sa.Connection, fqdn: str) -> Node | None:
    return rows.find_record(connection, Node, nodes, _is(fqdn))


def _put(connection: sa.Connection, node: Node) -> None:
    rows.put_rows(connection, nodes, [rows.render_row(node, fqdn_key=node.fqdn.casefold())])


def _check_sid(connection: sa.Connection, node: Node) -> None:
    same = sa.select(nodes.c.fqdn).where(nodes.c.sid == node.sid, sa.not_(_is(node.fqdn)))
    owner = connection.execute(same).scalar() if node.sid else None
    if owner:
        raise errors.AlreadyExists(f"NodeSID: {owner} has this SID")


def _check_empty(connection: sa.Connection, host: str) -> None:
    """InvalidOperation says how many desktops there are, or are being made."""
    jobs, planned, desktops = schema.jobs.c, schema.job_desktops.c, schema.desktops.c
    recorded = sa.select(desktops.name_key).where(sa.func.lower(desktops.host) == host.casefold())
    working = (
        sa.select(planned.name_key)
        .join(schema.jobs, jobs.guid == planned.job)
        .where(sa.func.lower(planned.host) == host.casefold(), jobs.ended.is_(None))
    )
    here = sa.union(recorded, working).subquery()
    count = connection.execute(sa.select(sa.func.count()).select_from(here)).scalar()
    if count:
        raise errors.InvalidOperation(f"{host} carries {count} desktops, which must go first")

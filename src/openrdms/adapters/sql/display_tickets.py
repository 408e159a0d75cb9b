"""Tickets to the displays of desktops."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from openrdms.adapters.sql import rows
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.web_tables import display_tickets
from openrdms.model.display_ticket import DisplayTicket


class DisplayTicketRecords:
    """The part of ports.Store about them."""

    _database: Database

    def put_display_ticket(self, ticket: DisplayTicket) -> None:
        row = rows.render_row(ticket, account_key=ticket.account.casefold())
        with self._database.write() as connection:
            rows.put_rows(connection, display_tickets, [row])

    def take_display_ticket(self, secret_hash: str) -> DisplayTicket | None:
        columns = rows.query_records(DisplayTicket, display_tickets).selected_columns
        taken = sa.delete(display_tickets).where(display_tickets.c.secret_hash == secret_hash)
        with self._database.write() as connection:
            row = connection.execute(taken.returning(*columns)).first()
        return None if row is None else DisplayTicket(*row)

    def delete_display_tickets(self, expired_by: datetime) -> None:
        over = display_tickets.c.expires <= expired_by
        with self._database.write() as connection:
            connection.execute(sa.delete(display_tickets).where(over))

"""Records in a database through SQLAlchemy Core: SQLite for one service, PostgreSQL for several."""

from openrdms.adapters.sql.store import open_shared_store, open_store

__all__ = ["open_shared_store", "open_store"]

"""Alembic's entry: run the migrations in the transaction that Database has opened."""

from alembic import context

from openrdms.adapters.sql import schema

context.configure(
    connection=context.config.attributes["connection"], target_metadata=schema.metadata
)
context.run_migrations()

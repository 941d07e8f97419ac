"""Alembic's entry point: runs the revisions against the database named by `store.database`."""

from __future__ import annotations

from alembic import context

from nomade_pipeline.store.database import engine_for

# One transaction around everything: a second process then reads the version that the first one left.
with engine_for(context.config.attributes["database"]).begin() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

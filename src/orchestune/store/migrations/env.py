"""Alembic environment: runs the migrations inside the transaction that `migrate.run` opened."""

from alembic import context

from orchestune.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

"""Run by Alembic: applies the revisions on the connection, and in the transaction, of whoever asked."""

from alembic import context

from rapport_server.adapters.store.sql.schema import metadata

__all__: list[str] = []

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

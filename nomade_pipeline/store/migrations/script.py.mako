"""${message}."""

from __future__ import annotations

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Apply the change; the statements are frozen text, whatever the contracts say later."""


def downgrade() -> None:
    """Not supported: a rollup database is rebuilt from the lake."""
    raise NotImplementedError

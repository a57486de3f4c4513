"""More memory for what ran out of it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.add_column("tasks", sa.Column("memory", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("raised", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("workers", sa.Column("memory", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("workers", sa.Column("memory_next", sa.BigInteger()))
    op.add_column("attempts", sa.Column("raised_memory", sa.BigInteger()))

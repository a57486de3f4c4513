"""The principal whose evidence a quarantine rests on"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade. Quarantines last an hour, so that the old ones are dropped."""
    op.drop_table("quarantines")
    op.create_table(
        "quarantines",
        sa.Column("cluster", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("principal", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "node", "principal", name=op.f("pk_quarantines")),
    )

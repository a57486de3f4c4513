"""What attempts used over time"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.create_table(
        "usage",
        sa.Column("attempt", sa.String(length=36), nullable=False),
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("samples", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("attempt", name=op.f("pk_usage")),
    )
    op.create_index(op.f("ix_usage_experiment"), "usage", ["experiment"])

"""What is recorded in a tracking server, and how far"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.create_table(
        "tracked",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(length=64), server_default="", nullable=False),
        sa.Column("seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("told_at", sa.Float(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("experiment", "trial", name=op.f("pk_tracked")),
    )

"""What the folds of a trial measured, and where each goes on"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.add_column("tasks", sa.Column("metrics", sa.Text(), nullable=True))
    op.add_column("tasks", sa.Column("checkpoint", sa.Text(), nullable=True))
    op.add_column("experiments", sa.Column("pending", sa.Integer(), server_default="0", nullable=False))
    op.add_column("experiments", sa.Column("fold_bests", sa.Text(), nullable=True))
    op.execute("UPDATE experiments SET pending = queued")
    op.execute(
        "UPDATE tasks SET checkpoint = (SELECT r.checkpoint FROM trials r "
        "WHERE r.experiment = tasks.experiment AND r.number = tasks.trial)"
    )

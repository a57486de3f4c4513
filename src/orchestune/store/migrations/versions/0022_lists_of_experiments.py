"""The newest experiments, and those to be removed, without a look at all others"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.create_index(op.f("ix_experiments_hidden_created_at"), "experiments", ["hidden", "created_at"])

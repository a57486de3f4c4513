"""Experiments that are not recorded up to their end, without a look at all trials that are"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    whole = sa.text("trial = 0")
    name = op.f("ix_tracked_experiment_seq")
    op.create_index(name, "tracked", ["experiment", "seq"], sqlite_where=whole, postgresql_where=whole)

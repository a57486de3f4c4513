"""What came last of a metric, where it is no finite number"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.add_column("attempts", sa.Column("not_finite", sa.Text(), nullable=True))

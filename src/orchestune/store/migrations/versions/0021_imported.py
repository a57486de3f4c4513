"""When the record of an experiment came from elsewhere"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.add_column("experiments", sa.Column("imported_at", sa.Float(), nullable=True))

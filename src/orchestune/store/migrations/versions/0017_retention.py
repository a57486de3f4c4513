"""When the logs and files of an experiment went"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.add_column("experiments", sa.Column("files_dropped_at", sa.Float(), nullable=True))

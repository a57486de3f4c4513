"""Which experiment a draining worker goes on with, and from which one it came"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.add_column("workers", sa.Column("heir", sa.String(36)))
    op.add_column("workers", sa.Column("came_from", sa.String(64)))

"""What lets others in: tokens of people, and links to one experiment"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.add_column("credentials", sa.Column("made_by", sa.Text(), nullable=False, server_default=""))
    op.add_column("credentials", sa.Column("experiment", sa.String(length=64), nullable=True))

"""The authenticated caller that created an experiment"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade. Of older records nothing is known."""
    op.add_column("experiments", sa.Column("principal", sa.Text(), nullable=True))

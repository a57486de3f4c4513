"""Each revision has the folder and the links of the code that it began with"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.add_column("revisions", sa.Column("launch", sa.Text(), nullable=True))

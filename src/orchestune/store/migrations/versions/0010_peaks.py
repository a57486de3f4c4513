"""How much memory the attempts of each experiment took"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    for name, kind in (("measured", sa.Integer()), ("peak_memory", sa.BigInteger()), ("surprises", sa.Integer())):
        op.add_column("experiments", sa.Column(name, kind, nullable=False, server_default="0"))

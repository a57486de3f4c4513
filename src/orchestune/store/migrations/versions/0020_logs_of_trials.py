"""The log of one trial without those of all others"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.create_index(op.f("ix_log_segments_experiment_trial_seq"), "log_segments", ["experiment", "trial", "seq"])

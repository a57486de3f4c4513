"""The schema of the first release.

Later changes are migrations of their own, forward only: this file stays as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.create_table(
        "artifacts",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("attempt", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "trial", "path", name=op.f("pk_artifacts")),
    )
    op.create_index(op.f("ix_artifacts_digest"), "artifacts", ["digest"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("fold", sa.Integer(), nullable=False),
        sa.Column("attempt_number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("stop_order", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("files_state", sa.String(length=64), nullable=True),
        sa.Column("files_message", sa.Text(), nullable=True),
        sa.Column("worker", sa.String(length=36), nullable=False),
        sa.Column("lease_call", sa.Integer(), server_default="0", nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("gpus", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("signal", sa.Integer(), nullable=True),
        sa.Column("leased_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.Column("wall_seconds", sa.Float(), nullable=True),
        sa.Column("cpu_seconds", sa.Float(), nullable=True),
        sa.Column("peak_memory", sa.BigInteger(), nullable=True),
        sa.Column("point_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("log_end", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("log_bytes", sa.BigInteger(), nullable=True),
        sa.Column("log_tail", sa.Text(), nullable=True),
        sa.Column("raised_memory", sa.BigInteger(), nullable=True),
        sa.Column("resumed_from", sa.Text(), nullable=True),
        sa.Column("non_finite", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint(
            "experiment",
            "trial",
            "fold",
            "attempt_number",
            name=op.f("uq_attempts_experiment_trial_fold_attempt_number"),
        ),
    )
    op.create_index(op.f("ix_attempts_experiment_state"), "attempts", ["experiment", "state"], unique=False)
    op.create_index(op.f("ix_attempts_worker_state"), "attempts", ["worker", "state"], unique=False)
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "blobs",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blobs")),
    )
    op.create_table(
        "credentials",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("experiment", sa.String(length=64), nullable=True),
        sa.Column("subject", sa.String(length=64), nullable=True),
        sa.Column("renewal", sa.Text(), nullable=True),
        sa.Column("check_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_credentials")),
    )
    op.create_index(op.f("ix_credentials_expires_at"), "credentials", ["expires_at"], unique=False)
    op.create_table(
        "estimates",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("history_seq", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("stddev", sa.Float(), nullable=True),
        sa.Column("measured_value", sa.Float(), nullable=True),
        sa.Column("measured_stddev", sa.Float(), nullable=True),
        sa.Column("front", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("experiment", name=op.f("pk_estimates")),
    )
    op.create_table(
        "events",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "seq", name=op.f("pk_events")),
    )
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("handle", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("cluster", sa.String(length=64), nullable=False),
        sa.Column("folder", sa.Text(), server_default="", nullable=False),
        sa.Column("specification", sa.Text(), nullable=False),
        sa.Column("launch", sa.Text(), nullable=False),
        sa.Column("bundle", sa.String(length=64), nullable=True),
        sa.Column("rerun_of", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("budget", sa.Integer(), nullable=False),
        sa.Column("parallelism", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("labels", sa.Text(), server_default="{}", nullable=False),
        sa.Column("desired", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("waiting", sa.Text(), nullable=True),
        sa.Column("ended_by", sa.String(length=64), nullable=True),
        sa.Column("visibility", sa.String(length=64), server_default="listed", nullable=False),
        sa.Column("program", sa.String(length=64), server_default="command", nullable=False),
        sa.Column("waived_guards", sa.Text(), server_default="[]", nullable=False),
        sa.Column("is_exhausted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("awaits_suggestion", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("last_trial", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queued", sa.Integer(), server_default="0", nullable=False),
        sa.Column("running", sa.Integer(), server_default="0", nullable=False),
        sa.Column("completed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pruned", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cancelled", sa.Integer(), server_default="0", nullable=False),
        sa.Column("live_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pending_folds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("event_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("log_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("history_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("worker_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("best_trial", sa.Integer(), nullable=True),
        sa.Column("best_value", sa.Float(), nullable=True),
        sa.Column("trials_since_best", sa.Integer(), server_default="0", nullable=False),
        sa.Column("best_by_fold", sa.Text(), nullable=True),
        sa.Column("identical_digest", sa.String(length=64), nullable=True),
        sa.Column("identical_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("memory_samples", sa.Integer(), server_default="0", nullable=False),
        sa.Column("peak_memory", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("memory_surprises", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.Column("idle_seconds", sa.Float(), server_default="0", nullable=False),
        sa.Column("files_deleted_at", sa.Float(), nullable=True),
        sa.Column("imported_at", sa.Float(), nullable=True),
        sa.Column("principal", sa.Text(), nullable=True),
        sa.Column("secret_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
        sa.UniqueConstraint("handle", name=op.f("uq_experiments_handle")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_experiments_idempotency_key")),
    )
    op.create_index(op.f("ix_experiments_folder_created_at"), "experiments", ["folder", "created_at"], unique=False)
    op.create_index(
        op.f("ix_experiments_principal"),
        "experiments",
        ["principal"],
        unique=False,
        sqlite_where=sa.text("secret_bytes > 0"),
        postgresql_where=sa.text("secret_bytes > 0"),
    )
    op.create_index(op.f("ix_experiments_state"), "experiments", ["state"], unique=False)
    op.create_index(
        op.f("ix_experiments_visibility_created_at"), "experiments", ["visibility", "created_at"], unique=False
    )
    op.create_table(
        "folds",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("fold", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("not_before", sa.Float(), server_default="0", nullable=False),
        sa.Column("metrics", sa.Text(), nullable=True),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column("lease_token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_isolated", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("memory", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("memory_raises", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("experiment", "trial", "fold", name=op.f("pk_folds")),
    )
    op.create_index(
        op.f("ix_folds_experiment_state_is_isolated_trial_fold"),
        "folds",
        ["experiment", "state", "is_isolated", "trial", "fold"],
        unique=False,
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_expires_at"), "idempotency", ["expires_at"], unique=False)
    op.create_table(
        "imports",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("token", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("experiment", name=op.f("pk_imports")),
    )
    op.create_table(
        "log_segments",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.String(length=36), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("gap", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.Column("object_key", sa.Text(), nullable=True),
        sa.Column("object_offset", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("experiment", "seq", name=op.f("pk_log_segments")),
    )
    op.create_index(op.f("ix_log_segments_attempt_offset"), "log_segments", ["attempt", "offset"], unique=False)
    op.create_index(
        op.f("ix_log_segments_experiment_trial_seq"), "log_segments", ["experiment", "trial", "seq"], unique=False
    )
    op.create_table(
        "notifications",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("hook", sa.String(length=64), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("delivery_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "seq", "kind", "hook", name=op.f("pk_notifications")),
    )
    op.create_index(op.f("ix_notifications_next_attempt_at"), "notifications", ["next_attempt_at"], unique=False)
    op.create_table(
        "points",
        sa.Column("attempt", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("step", sa.Float(), nullable=True),
        sa.Column("stddev", sa.Float(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("attempt", "name", "sequence", name=op.f("pk_points")),
    )
    op.create_table(
        "pruner_observations",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("fold", sa.Integer(), nullable=False),
        sa.Column("step", sa.Float(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("loss", sa.Float(), nullable=False),
        sa.Column("best", sa.Float(), nullable=False),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "trial", "fold", "step", name=op.f("pk_pruner_observations")),
    )
    op.create_index(
        op.f("ix_pruner_observations_experiment_seq"), "pruner_observations", ["experiment", "seq"], unique=False
    )
    op.create_table(
        "quarantines",
        sa.Column("cluster", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("principal", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "node", "principal", name=op.f("pk_quarantines")),
    )
    op.create_table(
        "revisions",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("specification", sa.Text(), nullable=False),
        sa.Column("launch", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "revision", name=op.f("pk_revisions")),
    )
    op.create_table(
        "tombstones",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_tombstones")),
    )
    op.create_table(
        "tracking_runs",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=64), server_default="", nullable=False),
        sa.Column("event_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("logged_at", sa.Float(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("experiment", "trial", name=op.f("pk_tracking_runs")),
    )
    op.create_index(
        op.f("ix_tracking_runs_experiment_event_seq"),
        "tracking_runs",
        ["experiment", "event_seq"],
        unique=False,
        sqlite_where=sa.text("trial = 0"),
        postgresql_where=sa.text("trial = 0"),
    )
    op.create_table(
        "trial_metrics",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("stddev", sa.Float(), nullable=True),
        sa.Column("is_declared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "trial", "name", name=op.f("pk_trial_metrics")),
    )
    op.create_index(
        op.f("ix_trial_metrics_experiment_name_value"), "trial_metrics", ["experiment", "name", "value"], unique=False
    )
    op.create_table(
        "trials",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("engine_version", sa.String(length=64), nullable=True),
        sa.Column("suggested_after", sa.Integer(), nullable=True),
        sa.Column("history_seq", sa.Integer(), nullable=True),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("bundle", sa.String(length=64), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("initial_checkpoint", sa.Text(), nullable=True),
        sa.Column("lost_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_isolated", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("experiment", "number", name=op.f("pk_trials")),
    )
    op.create_index(op.f("ix_trials_experiment_history_seq"), "trials", ["experiment", "history_seq"], unique=False)
    op.create_index(
        op.f("ix_trials_experiment_state_number"), "trials", ["experiment", "state", "number"], unique=False
    )
    op.create_table(
        "usage",
        sa.Column("attempt", sa.String(length=36), nullable=False),
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("samples", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("attempt", name=op.f("pk_usage")),
    )
    op.create_index(op.f("ix_usage_experiment"), "usage", ["experiment"], unique=False)
    op.create_table(
        "warm_starts",
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("results", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", name=op.f("pk_warm_starts")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("experiment", sa.String(length=36), nullable=False),
        sa.Column("cluster", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("phase", sa.String(length=64), nullable=True),
        sa.Column("node", sa.Text(), server_default="", nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("memory", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("memory_next", sa.BigInteger(), nullable=True),
        sa.Column("gpus", sa.Text(), nullable=True),
        sa.Column("backend_handle", sa.Text(), nullable=True),
        sa.Column("boot_id", sa.String(length=64), nullable=True),
        sa.Column("last_call", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_experiment", sa.String(length=36), nullable=True),
        sa.Column("sends_files", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("previous_experiment", sa.String(length=64), nullable=True),
        sa.Column("protocol", sa.Integer(), nullable=True),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("capabilities", sa.Text(), nullable=True),
        sa.Column("succeeded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=True),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_index(op.f("ix_workers_experiment_state"), "workers", ["experiment", "state"], unique=False)
    op.create_index(op.f("ix_workers_state"), "workers", ["state"], unique=False)

"""The schema. Times are seconds since 1970 in UTC as floats; `json` in a comment means a JSON document as text.

Rows of one experiment are written under the lock of its row in `experiments`. Sequence numbers assigned there
(`event_seq`, `log_seq`, `history_seq`) are therefore in commit order, and the counters are always exact.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_ID = String(36)
_WORD = String(64)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, default=0, server_default="0")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, default=False, server_default=false())


def _where(condition: str) -> dict[str, Any]:
    """Return the options of a partial index on the rows that satisfy `condition`."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _bytes(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, default=0, server_default="0")


experiments = Table(
    "experiments",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("handle", _WORD, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("cluster", _WORD, nullable=False),
    Column("folder", Text, nullable=False, server_default=""),
    Column("specification", Text, nullable=False),  # json, of the current revision
    Column("launch", Text, nullable=False),  # json
    Column("bundle", _WORD),
    Column("rerun_of", Text),  # HANDLE/NUMBER of the trial that it reruns
    Column("idempotency_key", String(200), unique=True),  # of the request that created it
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("budget", Integer, nullable=False),
    Column("parallelism", Integer, nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("labels", Text, nullable=False, server_default="{}"),  # json
    Column("desired", _WORD, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("reason", Text),  # json: why it is paused or has ended
    Column("waiting", Text),  # json: why it should run but makes no progress
    Column("ended_by", _WORD),  # code of the rule that ended it
    Column("visibility", _WORD, nullable=False, server_default="listed"),  # listed | hidden | purging
    Column("program", _WORD, nullable=False, server_default="command"),  # command | function
    Column("waived_guards", Text, nullable=False, server_default="[]"),  # json, codes: passed, or waived by a resume
    _flag("is_exhausted"),  # every configuration of its space has been tried
    _flag("awaits_suggestion"),  # its engine is computing the next configuration
    _count("last_trial"),  # the highest trial number
    _count("queued"),
    _count("running"),
    _count("completed"),
    _count("failed"),
    _count("pruned"),
    _count("cancelled"),
    _count("live_attempts"),  # attempts that hold a lease
    _count("pending_folds"),  # folds that can be leased
    _count("event_seq"),
    _count("log_seq"),
    _count("history_seq"),
    _count("worker_seq"),
    Column("best_trial", Integer),
    Column("best_value", Float),
    _count("trials_since_best"),
    Column("best_by_fold", Text),  # json: the best value per fold over all trials, if trials are pruned between folds
    Column("identical_digest", _WORD),
    _count("identical_count"),
    _count("memory_samples"),  # attempts with a measured peak memory
    _bytes("peak_memory"),  # the maximum of any attempt
    _count("memory_surprises"),  # attempts above the peak expected from earlier ones, or OOM killed
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("idle_seconds", Float, nullable=False, server_default="0"),  # between an end and a later extend or resume
    Column("files_deleted_at", Float),  # when retention deleted its logs and its trials' files
    Column("imported_at", Float),  # when its record was imported
    Column("principal", Text),  # the authenticated caller that created it; null: its owner is unverified
    _bytes("secret_bytes"),  # of its secrets and the addresses of its messages, in the secret store until it is purged
    Index(None, "folder", "created_at"),
    Index(None, "principal", **_where("secret_bytes > 0")),
    Index(None, "visibility", "created_at"),
    Index(None, "state"),
)

revisions = Table(
    "revisions",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("specification", Text, nullable=False),  # json
    Column("launch", Text),  # json; null: the experiment's
    Column("actor", Text, nullable=False),
    Column("at", Float, nullable=False),
    PrimaryKeyConstraint("experiment", "revision"),
)

trials = Table(
    "trials",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("reason", Text),  # json
    Column("parameters", Text, nullable=False),  # json
    Column("source", _WORD, nullable=False),
    Column("engine_version", _WORD),
    Column("suggested_after", Integer),  # number of results that the engine had
    Column("history_seq", Integer),  # its place among the finished trials; null until it finishes
    Column("parent", Integer),
    Column("seed", BigInteger, nullable=False),
    Column("bundle", _WORD),
    Column("revision", Integer, nullable=False),
    Column("initial_checkpoint", Text),  # json {attempt, digest, step}: from which it resumes (`rerun --continue`)
    _count("lost_attempts"),
    _flag("is_isolated"),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    PrimaryKeyConstraint("experiment", "number"),
    Index(None, "experiment", "history_seq"),
    Index(None, "experiment", "state", "number"),
)

trial_metrics = Table(
    "trial_metrics",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("stddev", Float),
    Column("is_declared", Boolean, nullable=False),
    PrimaryKeyConstraint("experiment", "trial", "name"),
    Index(None, "experiment", "name", "value"),
)

folds = Table(
    "folds",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("fold", Integer, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("not_before", Float, nullable=False, server_default="0"),
    Column("metrics", Text),  # json name → {value, stddev}, once it is done, if the trial has several folds
    Column("checkpoint", Text),  # json {attempt, digest, step}: the newest accepted one
    _count("lease_token"),  # number of leases so far: the fencing token of the newest attempt
    _count("failures"),
    _flag("is_isolated"),
    _bytes("memory"),  # of the next attempt; 0: as requested in the specification
    _count("memory_raises"),  # number of times that its memory was raised
    PrimaryKeyConstraint("experiment", "trial", "fold"),
    Index(None, "experiment", "state", "is_isolated", "trial", "fold"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("experiment", _ID, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("fold", Integer, nullable=False),
    Column("attempt_number", Integer, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("stop_order", _WORD),  # the state in which a stop order requests it to end
    Column("reason", Text),  # json
    Column("files_state", _WORD),  # of a succeeded attempt with files: uploading | lost; null: all uploaded
    Column("files_message", Text),  # what is missing, and why
    Column("worker", _ID, nullable=False),
    Column("lease_call", Integer, nullable=False, server_default="0"),  # the call whose response carried the lease
    Column("node", Text, nullable=False),
    Column("gpus", Text),  # json
    Column("exit_code", Integer),
    Column("signal", Integer),
    # A lease has no expiry here: `controllers/lease_expiry.py` measures it on its own clock, since a stored time
    # would expire leases while the server was down or blocked.
    Column("leased_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("wall_seconds", Float),
    Column("cpu_seconds", Float),
    Column("peak_memory", BigInteger),
    _count("point_count"),
    Column("log_end", BigInteger, nullable=False, server_default="0"),  # bytes received, gaps included
    Column("log_bytes", BigInteger),  # bytes in all, known at the end
    Column("log_tail", Text),
    Column("raised_memory", BigInteger),  # bytes, if an earlier attempt was OOM killed
    Column("resumed_from", Text),  # json {attempt, step}
    Column("non_finite", Text),  # json: last values that are NaN or infinite: {name: [text, step]}
    UniqueConstraint("experiment", "trial", "fold", "attempt_number"),
    Index(None, "worker", "state"),
    Index(None, "experiment", "state"),
)

points = Table(
    "points",
    metadata,
    Column("attempt", _ID, nullable=False),
    Column("name", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("value", Float, nullable=False),
    Column("step", Float),
    Column("stddev", Float),
    Column("at", Float, nullable=False),
    PrimaryKeyConstraint("attempt", "name", "sequence"),
)

usage = Table(  # resource usage of attempts over time, thinned (domain/resources/usage.py)
    "usage",
    metadata,
    Column("attempt", _ID, primary_key=True),
    Column("experiment", _ID, nullable=False, index=True),
    Column("samples", Text, nullable=False),  # json
)

pruner_observations = Table(  # losses of trials when their pruner evaluated them
    "pruner_observations",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("fold", Integer, nullable=False),
    Column("step", Float, nullable=False),
    Column("seq", BigInteger, nullable=False),  # grows with each change: the cursor of readers
    Column("loss", Float, nullable=False),
    Column("best", Float, nullable=False),
    Column("mean", Float, nullable=False),
    PrimaryKeyConstraint("experiment", "trial", "fold", "step"),
    Index(None, "experiment", "seq"),
)

warm_starts = Table(  # results of earlier runs with which a search starts
    "warm_starts",
    metadata,
    Column("experiment", _ID, primary_key=True),
    Column("source", Text, nullable=False),  # their origin, in words
    Column("count", Integer, nullable=False),
    Column("results", Text, nullable=False),  # json, as domain.warm_start.to_json writes each
)

estimates = Table(  # the best trials of a finished noisy search, as its surrogate estimates them
    "estimates",
    metadata,
    Column("experiment", _ID, primary_key=True),
    Column("history_seq", Integer, nullable=False),  # number of results that the surrogate had
    Column("revision", Integer, nullable=False),
    Column("trial", Integer, nullable=True),  # null if it has several objectives, or values are taken as measured
    Column("value", Float, nullable=True),
    Column("stddev", Float, nullable=True),
    Column("measured_value", Float, nullable=True),  # expected value of the trial with the best measured one
    Column("measured_stddev", Float, nullable=True),
    Column("front", Text, nullable=True),  # json: trial numbers of the Pareto front, if it has several objectives
)

workers = Table(
    "workers",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("experiment", _ID, nullable=False),
    Column("cluster", _WORD, nullable=False),
    Column("name", _WORD, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("reason", Text),
    Column("phase", _WORD),  # while it starts: the last phase that the backend reported
    Column("node", Text, nullable=False, server_default=""),
    Column("slots", Integer, nullable=False),
    _bytes("memory"),  # per slot, for trials that need more than the specification requests; 0: as requested
    Column("memory_next", BigInteger),  # for trials that exceed `memory`; 0: no node has more
    Column("gpus", Text),  # json
    Column("backend_handle", Text),  # json, defined by the backend
    Column("boot_id", _WORD),
    Column("last_call", BigInteger, nullable=False, server_default="0"),
    Column("next_experiment", _ID),  # for which a draining worker continues
    _flag("sends_files"),  # files of its trials are being uploaded
    Column("previous_experiment", _WORD),  # handle of the experiment for which it worked before
    Column("protocol", Integer),
    Column("version", _WORD),
    Column("capabilities", Text),  # json
    _count("succeeded"),
    _count("failed"),
    Column("created_at", Float, nullable=False),
    Column("seen_at", Float),
    Column("ended_at", Float),
    Index(None, "experiment", "state"),
    Index(None, "state"),
)

events = Table(
    "events",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", _WORD, nullable=False),
    Column("data", Text, nullable=False),  # json
    PrimaryKeyConstraint("experiment", "seq"),
)

notifications = Table(  # outbox of undelivered messages; deleted after delivery
    "notifications",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("seq", Integer, nullable=False),  # of the event that it reports
    Column("kind", _WORD, nullable=False),
    Column("hook", _WORD, nullable=False),  # place in the experiment's `notify`, or `server`
    Column("data", Text, nullable=False),  # json: the facts at the time of the event
    Column("at", Float, nullable=False),
    _count("delivery_attempts"),
    Column("next_attempt_at", Float, nullable=False, index=True),
    PrimaryKeyConstraint("experiment", "seq", "kind", "hook"),
)

tracking_runs = Table(  # runs in a tracking server: the experiment as trial 0, and its trials
    "tracking_runs",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("run_id", _WORD, nullable=False, server_default=""),
    _count("event_seq"),  # of the experiment's run: the last event that was logged
    Column("logged_at", Float, nullable=False, server_default="0"),  # of a trial's run: time of its last logged value
    PrimaryKeyConstraint("experiment", "trial"),
    Index(None, "experiment", "event_seq", **_where("trial = 0")),
)

log_segments = Table(
    "log_segments",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("attempt", _ID, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", Integer, nullable=False),
    Column("gap", BigInteger, nullable=False, server_default="0"),
    Column("at", Float, nullable=False),
    Column("data", LargeBinary),
    Column("object_key", Text),  # key in the file store after the segment was moved there
    Column("object_offset", BigInteger),
    PrimaryKeyConstraint("experiment", "seq"),
    Index(None, "attempt", "offset"),
    Index(None, "experiment", "trial", "seq"),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("attempt", _ID, nullable=False),
    Column("digest", _WORD, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Float, nullable=False),
    PrimaryKeyConstraint("experiment", "trial", "path"),
    Index(None, "digest"),
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", _WORD, primary_key=True),
    Column("kind", _WORD, nullable=False),  # bundle | artifact | checkpoint | going (deleting) | kept (deletion failed)
    Column("size", BigInteger, nullable=False),
    Column("created_at", Float, nullable=False),
)

imports = Table(  # running imports; the experiment's own row is inserted last, and this one deleted with it
    "imports",
    metadata,
    Column("experiment", _ID, primary_key=True),
    Column("token", _ID, nullable=False),  # only its holder may write
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("digest", _WORD, primary_key=True),  # of a purged id or handle, recognizable but not readable
    Column("at", Float, nullable=False),
)

quarantines = Table(
    "quarantines",
    metadata,
    Column("cluster", _WORD, nullable=False),
    Column("node", String(255), nullable=False),
    Column("principal", Text, nullable=False, server_default=""),  # owner of the evidence; empty: the server
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("until", Float, nullable=False),
    PrimaryKeyConstraint("cluster", "node", "principal"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("request_hash", _WORD, nullable=False),
    Column("status", Integer, nullable=False),
    Column("response", Text, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
)

credentials = Table(  # digests only: a reader of these rows cannot sign in with them
    "credentials",
    metadata,
    Column("digest", _WORD, primary_key=True),
    # session | link | token | share | vouched (the token of a cluster) | login (of a command line, by single sign-on)
    Column("kind", _WORD, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", _WORD, nullable=False),
    Column("source", _WORD, nullable=False),  # digest of its token or share; of a share `every ROLE` or empty
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
    Column("created_by", Text, nullable=False, server_default=""),  # creator of a token or share
    Column("experiment", _WORD, nullable=True),  # to which its access is limited
    Column("subject", _WORD, nullable=True),  # of single sign-on: digest of the issuer and the person's id there
    Column("renewal", Text, nullable=True),  # of single sign-on: the refresh token, encrypted with the server's key
    Column("check_at", Float, nullable=True),  # when the identity provider is asked again; null: never
)

audit = Table(  # security events, for owners; new rows evict the oldest ones
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", _WORD, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),  # json
    sqlite_autoincrement=True,  # numbers are never reused, otherwise cursors of readers would skip rows
)

"""The schema. Times are seconds since 1970 in UTC as floats; `json` in a comment means a JSON document as text.

Rows of one experiment are written under the lock of its row in `experiments`, so numbers that are counted there
(`event_seq`, `log_seq`, `history_seq`) are in the order of the commits, and the counters are always true.
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
    """Of an index that has few of the rows: those of which this is so."""
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
    Column("rerun_of", Text),  # HANDLE/NUMBER that this one reruns
    Column("idempotency_key", String(200), unique=True),  # of the request that created it
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("budget", Integer, nullable=False),
    Column("parallelism", Integer, nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("labels", Text, nullable=False, server_default="{}"),  # json
    Column("desired", _WORD, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("reason", Text),  # json: why it is paused or has ended
    Column("waiting", Text),  # json: why nothing moves although it should
    Column("ended_by", _WORD),  # code of the rule that ended it
    Column("visibility", _WORD, nullable=False, server_default="listed"),  # listed | hidden | purging
    Column("program", _WORD, nullable=False, server_default="command"),  # command | function
    Column("waived_guards", Text, nullable=False, server_default="[]"),  # json, codes: passed, or waived by a resume
    _flag("is_exhausted"),  # its space has no configuration left that was not tried
    _flag("awaits_suggestion"),  # its engine has not found the next configuration yet
    _count("last_trial"),  # the highest trial number
    _count("queued"),
    _count("running"),
    _count("completed"),
    _count("failed"),
    _count("pruned"),
    _count("cancelled"),
    _count("live_attempts"),  # attempts that hold a lease
    _count("pending_folds"),  # folds that may be leased
    _count("event_seq"),
    _count("log_seq"),
    _count("history_seq"),
    _count("worker_seq"),
    Column("best_trial", Integer),
    Column("best_value", Float),
    _count("trials_since_best"),
    Column("best_by_fold", Text),  # json: the best value of any trial in each fold, where folds may prune
    Column("identical_digest", _WORD),
    _count("identical_count"),
    _count("memory_samples"),  # attempts whose memory is known
    _bytes("peak_memory"),  # what any of them took at most
    _count("memory_surprises"),  # those that took more than the ones before them let expect
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("files_deleted_at", Float),  # when its logs and the files of its trials went, as the server's retention says
    Column("imported_at", Float),  # when its record came from elsewhere
    Column("principal", Text),  # the authenticated caller that created it; null: its owner is a claim
    Index(None, "folder", "created_at"),
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
    Column("suggested_after", Integer),  # results that the engine knew
    Column("history_seq", Integer),  # its place among the finished trials; null until then
    Column("parent", Integer),
    Column("seed", BigInteger, nullable=False),
    Column("bundle", _WORD),
    Column("revision", Integer, nullable=False),
    Column("initial_checkpoint", Text),  # json {attempt, digest, step}: what it starts from (`rerun --continue`)
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
    _count("lease_token"),  # how often it was leased: the fencing token of the newest attempt
    _count("failures"),
    _flag("is_isolated"),
    _bytes("memory"),  # of the next attempt; 0: what the file says
    _count("memory_raises"),  # how often its memory was raised
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
    Column("stop_order", _WORD),  # the state that a stop order asks for
    Column("reason", Text),  # json
    Column("files_state", _WORD),  # of a succeeded one that leaves files: uploading | lost; null: all have arrived
    Column("files_message", Text),  # what is missing, and why
    Column("worker", _ID, nullable=False),
    Column("lease_call", Integer, nullable=False, server_default="0"),  # the call whose answer carried the lease
    Column("node", Text, nullable=False),
    Column("gpus", Text),  # json
    Column("exit_code", Integer),
    Column("signal", Integer),
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
    Column("raised_memory", BigInteger),  # bytes, where an attempt before it ran out of memory
    Column("resumed_from", Text),  # json {attempt, step}
    Column("non_finite", Text),  # json: what came last of a metric, where it is no finite number: {name: [text, step]}
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

usage = Table(  # what attempts used over time, thinned (domain/usage.py)
    "usage",
    metadata,
    Column("attempt", _ID, primary_key=True),
    Column("experiment", _ID, nullable=False, index=True),
    Column("samples", Text, nullable=False),  # json
)

pruner_observations = Table(  # how trials stood when their rule of early stopping looked at them; values are losses
    "pruner_observations",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("fold", Integer, nullable=False),
    Column("step", Float, nullable=False),
    Column("seq", BigInteger, nullable=False),  # grows with each change, so that a reader continues behind the last one
    Column("loss", Float, nullable=False),
    Column("best", Float, nullable=False),
    Column("mean", Float, nullable=False),
    PrimaryKeyConstraint("experiment", "trial", "fold", "step"),
    Index(None, "experiment", "seq"),
)

warm_starts = Table(  # results from elsewhere that a search begins with
    "warm_starts",
    metadata,
    Column("experiment", _ID, primary_key=True),
    Column("source", Text, nullable=False),  # where they come from, in words
    Column("count", Integer, nullable=False),
    Column("results", Text, nullable=False),  # json, as domain.warm_start.to_json writes each
)

estimates = Table(  # which trials a model of a noisy search takes for its best, once it is over
    "estimates",
    metadata,
    Column("experiment", _ID, primary_key=True),
    Column("history_seq", Integer, nullable=False),  # of so many results
    Column("revision", Integer, nullable=False),
    Column("trial", Integer, nullable=True),  # null where it has several metrics, or values are taken as they are
    Column("value", Float, nullable=True),
    Column("stddev", Float, nullable=True),
    Column("front", Text, nullable=True),  # json, of several metrics: numbers of trials
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
    Column("phase", _WORD),  # while it starts: what the backend reported last
    Column("node", Text, nullable=False, server_default=""),
    Column("slots", Integer, nullable=False),
    _bytes("memory"),  # of each slot, for trials that need more than the file says; 0: what the file says
    Column("memory_next", BigInteger),  # for a trial to which that was not enough; 0: no machine has more
    Column("gpus", Text),  # json
    Column("backend_handle", Text),  # json, the backend's
    Column("boot_id", _WORD),
    Column("last_call", BigInteger, nullable=False, server_default="0"),
    Column("next_experiment", _ID),  # of a draining worker that continues with another experiment
    _flag("sends_files"),  # files of its trials have not arrived yet
    Column("previous_experiment", _WORD),  # the handle of the experiment that it worked for before
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

notifications = Table(  # messages that are still to be sent; deleted once delivered
    "notifications",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("seq", Integer, nullable=False),  # of the event that it is about
    Column("kind", _WORD, nullable=False),
    Column("hook", _WORD, nullable=False),  # place in the experiment's `notify`, or `server`
    Column("data", Text, nullable=False),  # json: the facts as they were then
    Column("at", Float, nullable=False),
    _count("delivery_attempts"),
    Column("next_attempt_at", Float, nullable=False, index=True),
    PrimaryKeyConstraint("experiment", "seq", "kind", "hook"),
)

tracking_runs = Table(  # what is recorded in a tracking server: the experiment as trial 0, and its trials
    "tracking_runs",
    metadata,
    Column("experiment", _ID, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("run_id", _WORD, nullable=False, server_default=""),
    _count("event_seq"),  # of the experiment: the last event that is recorded
    Column("logged_at", Float, nullable=False, server_default="0"),  # of a trial: when its last recorded value came
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
    Column("object_key", Text),  # key in the file store once the segment was moved there
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
    Column("kind", _WORD, nullable=False),  # bundle | artifact | checkpoint | going | kept (after its removal failed)
    Column("size", BigInteger, nullable=False),
    Column("created_at", Float, nullable=False),
)

imports = Table(  # records that are being taken in; the experiment's own row comes last, and this one goes with it
    "imports",
    metadata,
    Column("experiment", _ID, primary_key=True),
    Column("token", _ID, nullable=False),  # who has it may write
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("digest", _WORD, primary_key=True),  # of an id or a handle: what was purged is known again, and not told
    Column("at", Float, nullable=False),
)

quarantines = Table(
    "quarantines",
    metadata,
    Column("cluster", _WORD, nullable=False),
    Column("node", String(255), nullable=False),
    Column("principal", Text, nullable=False, server_default=""),  # whose evidence it rests on; empty: the server's own
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

credentials = Table(  # what browsers show, as digests: who reads the rows cannot come in
    "credentials",
    metadata,
    Column("digest", _WORD, primary_key=True),
    Column("kind", _WORD, nullable=False),  # session | link | token | share | vouched: the token of a cluster
    Column("name", Text, nullable=False),
    Column("role", _WORD, nullable=False),
    Column("source", _WORD, nullable=False),  # digest of the token or share that it came from; else empty
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
    Column("created_by", Text, nullable=False, server_default=""),  # of a token or a share
    Column("experiment", _WORD, nullable=True),  # beyond which it does not reach
)

audit = Table(  # security events, for owners; the oldest rows go as new ones come
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
    sqlite_autoincrement=True,  # a number is never given twice, else cursors of readers would skip rows
)

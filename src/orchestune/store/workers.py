"""Queries on workers, and changes of their state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import Select, func, insert, or_, select, update

from orchestune.domain.lifecycle.states import AttemptState, WorkerState
from orchestune.domain.lifecycle.transitions import WORKER, Cause, after
from orchestune.store.rows import StateCount
from orchestune.store.session import Session, batches
from orchestune.store.statements.attempts import SELECT_LIVE_OF_WORKER
from orchestune.store.statements.workers import PRESENT_SLOTS, PRESENT_WORKERS, STAFFED, PolledWorker
from orchestune.store.tables import attempts, experiments, workers

PRESENT = (WorkerState.STARTING, WorkerState.ALIVE, WorkerState.DRAINING)
"""States in which a worker holds its resources."""
_TELLING_SECONDS = 10.0
"""time after the grace period in which a worker reports an attempt's end; later, it has restarted and never will"""


class WorkerRow(Struct, frozen=True, gc=False):
    """A row of `workers`."""

    id: str
    experiment: str
    cluster: str
    name: str
    state: str
    reason: str | None
    phase: str | None
    node: str
    slots: int
    memory: int
    memory_next: int | None
    gpus: str | None
    backend_handle: str | None
    boot_id: str | None
    last_call: int
    next_experiment: str | None
    sends_files: bool
    previous_experiment: str | None
    protocol: int | None
    version: str | None
    capabilities: str | None
    succeeded: int
    failed: int
    created_at: float
    seen_at: float | None
    ended_at: float | None


class WorkerLoad(WorkerRow, frozen=True, gc=False):
    """A worker with its numbers of live (`running`) and of cancelled attempts (`ending`).

    Cancelled ones are possibly in their grace period.
    """

    running: int
    ending: int
    alike: int
    """number of ended workers of its experiment if it has ended, otherwise of those that have not"""


class WorkerCounts(Struct, frozen=True):
    """The workers of an experiment in a view, oldest first, and the number of ended ones left out."""

    workers: list[WorkerLoad]

    @property
    def left_out(self) -> int:
        """The number of ended workers that are not in `workers`."""
        ended = [worker.alike for worker in self.workers if worker.state == WorkerState.ENDED]
        return ended[0] - len(ended) if ended else 0


class RecentWorker(WorkerRow, frozen=True, gc=False):
    """A worker with the handle of its experiment, None if that was purged."""

    experiment_handle: str | None


class _TrialOfWorker(Struct, frozen=True, gc=False):
    worker: str
    trial: int


class _CountOfWorker(Struct, frozen=True, gc=False):
    worker: str
    attempts: int


def add(session: Session, values: Mapping[str, object]) -> None:
    """Insert a worker that is about to start."""
    session.change(insert(workers).values(**values))


def get(session: Session, worker: str) -> WorkerRow | None:
    """Return one worker by id, None if absent."""
    return session.first(select(workers).where(workers.c.id == worker), WorkerRow)


def of_experiment(session: Session, experiment: str) -> list[WorkerRow]:
    """Return every worker that the experiment ever had, oldest first."""
    query = select(workers).where(workers.c.experiment == experiment).order_by(workers.c.created_at)
    return session.select(query, WorkerRow)


def with_recent_ended(session: Session, graces: Mapping[str, float], most: int) -> dict[str, WorkerCounts]:
    """Return, for each experiment, its workers that have not ended and the last `most` that have.

    `graces`: experiment → grace period of its attempts in seconds.
    """
    staff = {experiment: WorkerCounts([]) for experiment in graces}
    for grace in set(graces.values()):
        for batch in batches(experiment for experiment in graces if graces[experiment] == grace):
            for row in session.select(
                _with_recent_ended(batch, most, session.now - grace - _TELLING_SECONDS), WorkerLoad
            ):
                staff[row.experiment].workers.append(row)
    return staff


def _with_recent_ended(among: Sequence[str], most: int, reported_since: float) -> Select[tuple[object, ...]]:
    ended = workers.c.state == WorkerState.ENDED
    alike, newest = (workers.c.experiment, ended), (workers.c.ended_at.desc(), workers.c.id.desc())
    place = func.row_number().over(partition_by=alike, order_by=newest).label("place")
    places = select(workers.c.id, place, func.count().over(partition_by=alike).label("alike"))
    ranked = places.where(workers.c.experiment.in_(among)).subquery()
    own = attempts.c.worker == workers.c.id
    untold = attempts.c.log_bytes.is_(None) & (attempts.c.finished_at > reported_since)
    live = attempts.c.state.in_((AttemptState.LEASED, AttemptState.RUNNING))
    running, ending = (
        select(func.count()).where(own, those).correlate(workers).scalar_subquery()
        for those in (live, (attempts.c.state == AttemptState.CANCELLED) & untold)
    )
    rows = select(workers, running.label("running"), ending.label("ending"), ranked.c.alike)
    rows = rows.join(ranked, ranked.c.id == workers.c.id).where(or_(~ended, ranked.c.place <= most))
    return rows.order_by(workers.c.created_at)


def has_run_attempt(session: Session, worker: str) -> bool:
    """Return True if the worker has reported that it started a command."""
    started = attempts.c.started_at.is_not(None)
    query = select(attempts.c.id).where(attempts.c.worker == worker, started)
    return session.first(query.limit(1), str) is not None


def present(session: Session, cluster: str) -> list[PolledWorker]:
    """Return the starting, alive, draining and lost workers of a cluster, oldest first."""
    return session.rows(PRESENT_WORKERS, {"cluster": cluster})


def staffed(session: Session) -> set[str]:
    """Return the experiments that have starting, alive, draining or lost workers."""
    return set(session.rows(STAFFED, {}))


def any_present(session: Session, experiment: str | None = None) -> bool:
    """Return True if a worker, of this experiment or of any, is starting, alive, draining or lost."""
    present = select(workers.c.id).where(workers.c.state.in_((*PRESENT, WorkerState.LOST)))
    mine = present if experiment is None else present.where(workers.c.experiment == experiment)
    return session.first(mine.limit(1), str) is not None


def present_slots(session: Session, experiment: str) -> int:
    """Return the number of slots of an experiment's workers that hold resources (see `PRESENT`)."""
    return session.row(PRESENT_SLOTS, {"experiment": experiment}) or 0


def recent(session: Session, cluster: str, most: int) -> list[RecentWorker]:
    """Return up to `most` workers of a cluster, those that were created or ended last first."""
    last = func.coalesce(workers.c.ended_at, workers.c.created_at)
    query = (
        select(workers, experiments.c.handle.label("experiment_handle"))
        .join(experiments, experiments.c.id == workers.c.experiment, isouter=True)
        .where(workers.c.cluster == cluster)
    )
    return session.select(query.order_by(last.desc()).limit(most), RecentWorker)


def trials_of(session: Session, cluster: str) -> dict[str, list[int]]:
    """Return the trials that each worker of a cluster runs; idle workers are left out."""
    query = (
        select(attempts.c.worker, attempts.c.trial)
        .join(workers, workers.c.id == attempts.c.worker)
        .where(workers.c.cluster == cluster, workers.c.state.in_(PRESENT), attempts.c.state.in_(("leased", "running")))
        .order_by(attempts.c.trial)
    )
    trials_by_worker: dict[str, list[int]] = {}
    for row in session.select(query, _TrialOfWorker):
        trials_by_worker.setdefault(row.worker, []).append(row.trial)
    return trials_by_worker


def live_attempts(session: Session, cluster: str) -> dict[str, int]:
    """Return the number of live attempts of each worker of a cluster; idle workers are left out."""
    query = (
        select(attempts.c.worker, func.count().label("attempts"))
        .join(workers, workers.c.id == attempts.c.worker)
        .where(workers.c.cluster == cluster, workers.c.state.in_(PRESENT), attempts.c.state.in_(("leased", "running")))
        .group_by(attempts.c.worker)
    )
    return {row.worker: row.attempts for row in session.select(query, _CountOfWorker)}


def move(session: Session, worker: str, cause: Cause, **values: object) -> WorkerState | None:
    """Apply a transition of `WORKER` and return the new state. None if it is not allowed or lost a race."""
    row = get(session, worker)
    if row is None or (WorkerState(row.state), cause) not in WORKER:
        return None
    state = after(WORKER, WorkerState(row.state), cause)
    changed = session.change(
        update(workers).where(workers.c.id == worker, workers.c.state == row.state).values(state=state, **values)
    )
    return state if changed else None


def change(session: Session, worker: str, **values: object) -> None:
    """Update columns other than the state."""
    session.change(update(workers).where(workers.c.id == worker).values(**values))


def touch(session: Session, worker: str) -> None:
    """Write an unchanged row, to test if the store accepts writes."""
    change(session, worker, name=workers.c.name)


def hand_over(session: Session, worker: str, next_experiment: str) -> bool:
    """Drain a live worker so that it continues with `next_experiment`. Return False if it cannot be drained."""
    return move(session, worker, Cause.DRAIN, next_experiment=next_experiment) is not None


def drain(session: Session, worker: str) -> None:
    """Drain a worker: it finishes its attempts and then shuts down."""
    move(session, worker, Cause.DRAIN, next_experiment=None)


def take_over(session: Session, worker: str, name: str, came_from: str, former: str) -> bool:
    """Move a drained worker to its next experiment as `name`, where it has to register. Return False if not possible.

    Its previous attempts are reassigned to `former`, a new row of an ended worker in the previous experiment, whose
    handle is `came_from`: the record of that experiment must not depend on the next one.
    """
    row = get(session, worker)
    if row is None or row.next_experiment is None or session.rows(SELECT_LIVE_OF_WORKER, {"worker": worker}):
        return False
    moved = move(
        session, worker, Cause.MOVE,
        experiment=row.next_experiment, next_experiment=None, previous_experiment=came_from, name=name, boot_id=None,
        last_call=0, succeeded=0, failed=0,
    )  # fmt: skip
    if moved is None:
        return False
    ended = replace(
        row, id=former, state=WorkerState.ENDED, ended_at=session.now, backend_handle=None, next_experiment=None
    )
    add(session, asdict(ended))
    session.change(update(attempts).where(attempts.c.worker == worker).values(worker=former))
    return True


def count_by_state(session: Session) -> dict[str, int]:
    """Return the number of workers by state, without ended ones."""
    query = select(workers.c.state, func.count().label("count")).where(workers.c.state != WorkerState.ENDED)
    return {row.state: row.count for row in session.select(query.group_by(workers.c.state), StateCount)}

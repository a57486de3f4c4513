"""Register workers, and send them the job description that all trials of their experiment share."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from orchestune.domain.lifecycle.states import Reason, ReasonCode, WorkerState
from orchestune.domain.lifecycle.transitions import Cause
from orchestune.errors import Conflict
from orchestune.ports.clock import new_id
from orchestune.services import environments
from orchestune.services.core import Core
from orchestune.services.execution import attempts, pending_files
from orchestune.services.execution.attempt_logs import LOG_CAP
from orchestune.services.execution.locked_experiment import Ledger, locked
from orchestune.services.execution.worker_call import WorkerNotNeeded
from orchestune.services.signatures import worker_token
from orchestune.store import experiments, workers
from orchestune.store.session import Session
from orchestune.store.statements.attempts import SELECT_LIVE_OF_WORKER
from orchestune.store.workers import WorkerRow
from orchestune.wire.answers import (
    ConfigFile,
    ConstantLines,
    JobDocument,
    KeepRule,
    MetricSourceDocument,
    Registered,
)
from orchestune.wire.registration import ACCEPTED, PROTOCOL, Registration


def register(core: Core, worker: str, call: Registration) -> Registered:
    """Register a worker: new, after a restart of the worker or the server, or for another experiment (see `_inherit`).

    Raises WorkerNotNeeded if the worker has ended or is no longer needed, Conflict if its protocol is not supported.
    """
    if call.protocol not in ACCEPTED:
        accepted = " and ".join(map(str, ACCEPTED))
        raise Conflict(
            f"worker protocol {call.protocol} is not supported (expected {accepted})",
            "install the same version of orchestune on both sides",
        )
    with core.store.reading() as session:
        row = needed_worker(session, worker)
    if row.state == WorkerState.DRAINING and row.next_experiment is not None and row.boot_id != call.boot:
        row = _inherit(core, row, row.next_experiment)
    with locked(core, row.experiment, row.name) as ledger:
        row = needed_worker(ledger.session, worker)  # it may have ended before the lock was acquired
        if row.experiment != ledger.row.id:
            raise WorkerNotNeeded("this worker was reassigned to another experiment")
        if row.boot_id not in (None, call.boot):
            _forget_leases(ledger, worker)
        workers.move(
            ledger.session,
            worker,
            Cause.REGISTER,
            boot_id=call.boot,
            last_call=0,
            node=row.node or call.node,  # fixed: a worker that named another machine could get it quarantined
            protocol=call.protocol,
            version=call.version,
            capabilities=json.dumps(call.capabilities),
            seen_at=ledger.now,
            reason=None,
            phase=None,
            sends_files=False,
        )
        ledger.record("worker_started", {"worker": row.name, "node": row.node or call.node, "slots": row.slots})
        handle, revision = ledger.row.handle, ledger.row.revision
    return Registered(
        protocol=PROTOCOL,
        experiment=row.experiment,
        handle=handle,
        token=worker_token(core, worker, row.experiment),
        name=row.name,
        beat_seconds=core.beat_seconds,
        lease_seconds=core.lease_seconds,
        slots=row.slots,
        job=job(core, worker, revision),
    )


def needed_worker(session: Session, worker: str) -> WorkerRow:
    """Return the worker's row. Raises WorkerNotNeeded if it has ended or was deleted with its experiment."""
    row = workers.get(session, worker)
    if row is None or row.state == WorkerState.ENDED:
        raise WorkerNotNeeded("this worker is no longer needed")
    return row


def _inherit(core: Core, row: WorkerRow, experiment: str) -> WorkerRow:
    """Move a warm worker to the next experiment; return its new row. Raises WorkerNotNeeded if that experiment is over.

    The worker calls when it is ready: all reports and files of its old experiment have been sent by then.
    """
    with locked(core, experiment, "server") as ledger:
        successor = ledger.row
        if not successor.can_start_trials:
            raise WorkerNotNeeded("the next experiment of this worker is over")
        successor.worker_seq += 1
        came_from = experiments.get(ledger.session, row.experiment).handle
        pending_files.lost(ledger.session, row.id, row.name, f"it was reassigned to {successor.handle}")
        if not workers.take_over(ledger.session, row.id, f"w{successor.worker_seq}", came_from, new_id(core.clock)):
            raise WorkerNotNeeded("this worker is no longer needed")
        return needed_worker(ledger.session, row.id)


def _forget_leases(ledger: Ledger, worker: str) -> None:
    """Lose the leases of the worker's previous process: a new process has registered with the same ID."""
    for attempt in ledger.session.rows(SELECT_LIVE_OF_WORKER, {"worker": worker}):
        attempts.lose(ledger, attempt.id, Reason(ReasonCode.WORKER_LOST, "the worker was restarted"))


def job(core: Core, worker: str, revision: int) -> JobDocument:
    """Return the `JobDocument` of a revision, with secret values. Raises WorkerNotNeeded if the worker has ended."""
    with core.store.reading() as session:
        row = needed_worker(session, worker)
        experiment = experiments.get(session, row.experiment)
        specification, launch = experiments.at_revision(session, experiment, revision)
    each, backend = specification.resources, core.backends.get(row.cluster)
    cores = each.cpu if backend is None else backend.needs(each, launch).cpu
    secrets = environments.secrets_of(core, row.experiment)
    config, constants = specification.config, specification.constants
    return JobDocument(
        revision=revision,
        run=specification.run if isinstance(specification.run, str) else list(specification.run),
        metrics=[metric.name for metric in specification.metrics],
        parameters=[parameter.name for parameter in specification.space.parameters],
        env=dict(specification.env),
        inherited=environments.plain(core, row.experiment),
        secrets={name: value for name, value in secrets.items() if name not in specification.env},
        timeout=specification.timeout,
        grace=specification.grace,
        keep=KeepRule(list(specification.keep.patterns), specification.keep.limit),
        checkpoint_every=specification.checkpoint_every,
        config=msgspec.convert(config.to_json(), ConfigFile) if config else None,
        constants=msgspec.convert(constants.to_json(), ConstantLines) if constants else None,
        stdin=specification.stdin,
        cpu=cores,
        pin=int(cores) if cores and each.pin else 0,
        gpu=each.gpu,
        preload=list(specification.preload),
        collect=[MetricSourceDocument(source.kind, source.where) for source in specification.collect],
        root=launch.get("root"),
        folder=_folder_of(launch),
        links=launch.get("links") or [],
        cap_bytes=LOG_CAP,
    )


def _folder_of(launch: Mapping[str, object]) -> str:
    """Return the folder of the command, relative to the root of the bundle."""
    code = launch.get("code")
    folder = code.get("folder") if isinstance(code, Mapping) else None
    return folder if isinstance(folder, str) else ""

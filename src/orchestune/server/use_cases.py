"""The use cases as the routes call them: each protocol is one module of `orchestune.services`.

All are blocking and take the core first. A test puts others in their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from orchestune.services import (
    archive_experiment,
    authenticate,
    bundles,
    change_code,
    change_experiment,
    create_experiment,
    explain_experiment,
    grant_access,
    idempotency,
    list_experiments,
    quarantine,
    queue_trial,
    read_cluster,
    read_code,
    read_columns,
    read_contour,
    read_experiments,
    read_hypervolume,
    read_logs,
    read_server,
    read_trials,
    register_worker,
    report_metrics,
    rerun_trial,
    sign_in,
    stop_trial,
    terminals,
    uploads,
    usage,
    work,
)
from orchestune.services.core import Caller, Core
from orchestune.services.idempotency import Asked

Document = dict[str, Any]
Body = Mapping[str, Any]


class CreateExperiment(Protocol):
    """Starts a search."""

    def create_experiment(self, core: Core, body: Body, actor: str) -> Document: ...


class ChangeExperiment(Protocol):
    """Everything that an owner may do to an experiment."""

    def change_experiment(self, core: Core, ref: str, body: Body, actor: str) -> Document: ...
    def pause(self, core: Core, ref: str, now: bool, actor: str) -> Document: ...
    def resume(self, core: Core, ref: str, actor: str) -> Document: ...
    def stop(self, core: Core, ref: str, actor: str) -> Document: ...
    def delete(self, core: Core, ref: str, purge: bool, actor: str) -> None: ...


class ChangeCode(Protocol):
    """Other code for an experiment that goes on."""

    def change_code(self, core: Core, ref: str, body: Body, actor: str) -> Document: ...


class QueueTrial(Protocol):
    """Queues a configuration that a user wants tried."""

    def queue_trial(self, core: Core, ref: str, parameters: Body, actor: str, asked: Asked | None) -> Document: ...


class StopTrial(Protocol):
    """Cancels one trial; another one takes its place."""

    def stop_trial(self, core: Core, ref: str, number: int, actor: str) -> Document: ...


class RerunTrial(Protocol):
    """Repeats a trial as an experiment of its own."""

    def rerun_trial(self, core: Core, ref: str, number: int, body: Body, actor: str) -> Document: ...


class ReadExperiments(Protocol):
    """What is known of experiments."""

    def resolve(self, core: Core, ref: str) -> str: ...
    def status(self, core: Core, ref: str) -> Document: ...
    def statuses(
        self, core: Core, folder: str | None, limit: int, before: str | None, hidden: bool, details: bool
    ) -> Document: ...
    def specification(self, core: Core, ref: str, revision: int | None) -> Document: ...
    def best(self, core: Core, ref: str) -> list[Document]: ...
    def events(self, core: Core, ref: str, after: int, limit: int, kinds: Sequence[str]) -> Document: ...


class ListExperiments(Protocol):
    """Many of them, a part at a time, or some by their names."""

    def listed(
        self,
        core: Core,
        *,
        search: str,
        state: str | None,
        sort: str,
        offset: int,
        limit: int,
        folder: str | None,
        hidden: bool,
    ) -> Document: ...
    def several(self, core: Core, refs: Sequence[str]) -> list[Document]: ...


class ExplainExperiment(Protocol):
    """What a search shows about its parameters."""

    def importance(self, core: Core, ref: str, metric: str | None) -> Document: ...
    def explain(self, core: Core, ref: str, metric: str | None) -> Document: ...


class ReadTrials(Protocol):
    """What is known of trials, and the files they left."""

    def trial(self, core: Core, ref: str, number: int) -> Document: ...
    def trials(
        self, core: Core, ref: str, after: int, limit: int, state: str | None, tails: bool = False
    ) -> Document: ...
    def artifacts(self, core: Core, ref: str, number: int) -> list[Document]: ...
    def open_artifact(self, core: Core, ref: str, number: int, path: str) -> tuple[BinaryIO, int]: ...


class ReadCode(Protocol):
    """The code of trials. `number` None: what the next trial has."""

    def code(self, core: Core, ref: str, number: int | None) -> Document: ...
    def text(self, core: Core, ref: str, number: int | None, path: str) -> Document: ...
    def diff(self, core: Core, old: str, new: str) -> Document: ...


class ReadLogs(Protocol):
    """What trials printed."""

    def logs(
        self, core: Core, ref: str, after: int, limit: int, trial: int | None, since: str | None, tail: int | None
    ) -> Document: ...
    def end(self, core: Core, ref: str) -> int: ...


class Bundles(Protocol):
    """Archives of code."""

    def has(self, core: Core, digest: str) -> bool: ...
    def store(self, core: Core, digest: str, stream: BinaryIO) -> Document: ...
    def open_bundle(self, core: Core, digest: str, experiment: str | None = None) -> tuple[BinaryIO, int]: ...


class ArchiveExperiment(Protocol):
    """Records that move to another server."""

    def open_archive(self, core: Core, ref: str) -> tuple[BinaryIO, int]: ...
    def read(self, core: Core, source: BinaryIO) -> Document: ...


class RegisterWorker(Protocol):
    """A worker's first call, and what all trials of a revision share."""

    def register(self, core: Core, worker: str, body: Body) -> Document: ...
    def job(self, core: Core, worker: str, revision: int) -> Document: ...


class Work(Protocol):
    """The one call that a worker repeats. Returns at once, with the experiment's id under `experiment`."""

    def work(self, core: Core, worker: str, body: Body) -> Document: ...


class OpenTerminals(Protocol):
    """Who may be at which end of a trial's terminal. NotFound or Denied for others."""

    def of_user(self, core: Core, ref: str, attempt: str, caller: Caller) -> None: ...
    def of_worker(self, core: Core, worker: str, attempt: str) -> None: ...


class Uploads(Protocol):
    """Files on their way from a worker, and back to one."""

    def append(self, core: Core, worker: str, digest: str, offset: int, data: bytes) -> Document: ...
    def state(self, core: Core, worker: str, digest: str) -> tuple[int, bool]: ...
    def keep_artifacts(self, core: Core, worker: str, body: Body) -> Document: ...
    def checkpoint(self, core: Core, worker: str, body: Body) -> Document: ...
    def open_blob(self, core: Core, worker: str, digest: str) -> tuple[BinaryIO, int]: ...


class ReportMetrics(Protocol):
    """What a user's command reports and asks by HTTP."""

    def check(self, core: Core, attempt: str, signature: str) -> None: ...
    def report(self, core: Core, attempt: str, signature: str, values: Body) -> Document: ...
    def should_stop(self, core: Core, attempt: str, signature: str) -> Document: ...


class Authenticate(Protocol):
    """Whom a token stands for; None: nobody."""

    def authenticate(self, core: Core, token: str) -> Caller | None: ...
    def session_of(self, core: Core, token: str) -> Caller | None: ...
    def identify(self, core: Core, token: str) -> Caller | None: ...


class SignIn(Protocol):
    """How browsers come in, and leave."""

    def invite(self, core: Core, caller: Caller) -> Document: ...
    def enter(self, core: Core, code: str) -> tuple[str, float]: ...
    def enter_with_token(self, core: Core, token: str) -> tuple[str, float]: ...
    def leave(self, core: Core, session_token: str) -> None: ...
    def enter_share(self, core: Core, code: str) -> tuple[str, float, str]: ...
    def shared(self, core: Core, code: str) -> str: ...


class GrantAccess(Protocol):
    """Tokens for people, and links to one experiment. NotFound for one that is not there to be taken back."""

    def share(self, core: Core, ref: str, body: Body, caller: Caller) -> Document: ...
    def shares(self, core: Core) -> list[Document]: ...
    def unshare(self, core: Core, identity: str) -> None: ...
    def issue_token(self, core: Core, body: Body, caller: Caller) -> Document: ...
    def tokens(self, core: Core) -> list[Document]: ...
    def revoke_token(self, core: Core, identity: str) -> None: ...


class ReadColumns(Protocol):
    """Trials as plots and long tables need them: many at once, summarised where they are too many."""

    def columns(self, core: Core, ref: str, limit: int, where: str | None, metric: str | None = None) -> Document: ...
    def ordered(
        self, core: Core, ref: str, sort: str, where: str | None, state: str | None, offset: int, limit: int
    ) -> Document: ...
    def overview(self, core: Core, ref: str) -> Document: ...
    def timeline(self, core: Core, ref: str, limit: int) -> Document: ...
    def curves(self, core: Core, ref: str, metric: str | None, limit: int) -> Document: ...
    def points(self, core: Core, ref: str, number: int) -> Document: ...


class ReadUsage(Protocol):
    """What trials used while they ran."""

    def usage(self, core: Core, ref: str, number: int) -> Document: ...


class ReadContour(Protocol):
    """A metric over two parameters. BadInput or UsageError for what the experiment does not have."""

    def contour(self, core: Core, ref: str, x: str, y: str, metric: str | None) -> Document: ...


class ReadHypervolume(Protocol):
    """How much several objectives have gained. UsageError where there is one alone."""

    def hypervolume(self, core: Core, ref: str) -> Document: ...


class Idempotency(Protocol):
    """Answers that are given again. `remembered` raises Conflict where the key came with another request."""

    def take(self, core: Core, key: str) -> bool: ...
    def leave(self, core: Core, key: str) -> None: ...
    def remembered(self, core: Core, key: str, request_hash: str) -> tuple[int, str] | None: ...
    def remember(self, core: Core, key: str, request_hash: str, status: int, answer: str) -> None: ...


class Quarantine(Protocol):
    """Machines that get no trials for a while. NotFound for one that is in none."""

    def lift(self, core: Core, cluster: str | None, node: str) -> None: ...


class ReadServer(Protocol):
    """The server's own health. `health` and `check` raise StoreUnavailable."""

    def health(self, core: Core) -> None: ...
    def check(self, core: Core) -> None: ...
    def metrics(self, core: Core) -> list[tuple[str, dict[str, str], float]]: ...


class ReadCluster(Protocol):
    """The machines behind the server, and who uses them. NotFound for another cluster."""

    def cluster(self, core: Core, name: str | None) -> Document: ...


@dataclass(frozen=True)
class UseCases:
    """All of them."""

    create_experiment: CreateExperiment
    change_experiment: ChangeExperiment
    change_code: ChangeCode
    queue_trial: QueueTrial
    rerun_trial: RerunTrial
    stop_trial: StopTrial
    read_experiments: ReadExperiments
    list_experiments: ListExperiments
    explain_experiment: ExplainExperiment
    read_trials: ReadTrials
    read_code: ReadCode
    read_logs: ReadLogs
    bundles: Bundles
    archive_experiment: ArchiveExperiment
    register_worker: RegisterWorker
    work: Work
    terminals: OpenTerminals
    uploads: Uploads
    report_metrics: ReportMetrics
    authenticate: Authenticate
    sign_in: SignIn
    grant_access: GrantAccess
    read_columns: ReadColumns
    read_contour: ReadContour
    read_hypervolume: ReadHypervolume
    read_usage: ReadUsage
    idempotency: Idempotency
    read_server: ReadServer
    quarantine: Quarantine
    read_cluster: ReadCluster


REAL = UseCases(
    create_experiment=create_experiment,
    change_experiment=change_experiment,
    change_code=change_code,
    queue_trial=queue_trial,
    rerun_trial=rerun_trial,
    stop_trial=stop_trial,
    read_experiments=read_experiments,
    list_experiments=list_experiments,
    explain_experiment=explain_experiment,
    read_trials=read_trials,
    read_code=read_code,
    read_logs=read_logs,
    bundles=bundles,
    archive_experiment=archive_experiment,
    register_worker=register_worker,
    work=work,
    terminals=terminals,
    uploads=uploads,
    report_metrics=report_metrics,
    authenticate=authenticate,
    sign_in=sign_in,
    grant_access=grant_access,
    read_columns=read_columns,
    read_contour=read_contour,
    read_hypervolume=read_hypervolume,
    read_usage=usage,
    idempotency=idempotency,
    read_server=read_server,
    quarantine=quarantine,
    read_cluster=read_cluster,
)

"""Rerun a trial as an experiment of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestune import documents
from orchestune.domain.specification.experiment import IMPORTED, TEST_LABEL, ProgramKind, Specification, StopRules
from orchestune.errors import Conflict
from orchestune.ports.clock import rfc3339
from orchestune.services import environments
from orchestune.services.commands.create_experiment import Submission, insert_and_queue, run_preflight
from orchestune.services.core import Core
from orchestune.services.execution.trials import SuggestedTrial
from orchestune.store import experiments
from orchestune.store import trials as rows


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """Options of a rerun; None: the value of the trial's experiment."""

    from_checkpoint: bool = False
    """Start from the trial's last checkpoint."""
    run: str | Sequence[str] | None = None
    """Command to run instead, for example one that trains longer."""
    cluster: str | None = None
    """None: the same cluster; if this server does not have it, the default one."""
    launch: Mapping[str, object] | None = None
    secrets: Mapping[str, str] | None = None
    environment: Mapping[str, str] | None = None
    folder: str | None = None
    owner: str | None = None
    """None: the caller."""
    idempotency_key: str | None = None
    """See `Submission`."""


def rerun_trial(
    core: Core, ref: str, number: int, rerun: Rerun, actor: str, *, principal: str | None = None
) -> documents.Status:
    """Create an experiment of budget 1 with the trial's configuration, seed, revision and bundle; `origin` names it.

    Raises Conflict if it should start from a checkpoint but has none or has several folds, or if a command is given for
    a trial that calls a function.
    """
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        trial = rows.need(session, row, number)
        specification, launch = experiments.at_revision(session, row, trial.revision)
        checkpoint = rows.checkpoint_of(session, trial)
    if rerun.from_checkpoint and specification.folds.count > 1:
        raise Conflict(f"{row.handle}/{number} has {specification.folds.count} folds", "rerun it without --continue")
    if rerun.from_checkpoint and checkpoint is None:
        raise _nothing_to_continue(f"{row.handle}/{number}", specification, row.files_deleted_at)
    if rerun.run and specification.program is ProgramKind.FUNCTION:
        raise Conflict(f"{row.handle}/{number} calls a Python function", "rerun it without a command")
    run = rerun.run or specification.run
    parallelism = min(row.parallelism, specification.folds.count)
    specification = replace(
        specification,
        run=run if isinstance(run, str) else tuple(run),
        budget=1,
        parallelism=parallelism,
        stop=StopRules(),
        try_first=(),
        inherit_env=specification.inherit_env and not row.owner.endswith(IMPORTED),
        notify=(),
        mlflow=None,
        labels={name: value for name, value in specification.labels.items() if name != TEST_LABEL},
    )
    cluster = rerun.cluster or (row.cluster if row.cluster in core.backends else core.default_cluster)
    environment = rerun.environment
    if environment is None and cluster == row.cluster:
        environment = environments.whole(core, row.id)
    submission = Submission(
        owner=rerun.owner,
        folder=rerun.folder or row.folder,
        launch=rerun.launch or launch,
        secrets=rerun.secrets or core.secrets.get(row.id),
        environment=environment or {},
        idempotency_key=rerun.idempotency_key,
    )
    run_preflight(core, specification, cluster, submission)
    first = SuggestedTrial(
        parameters=trial.configuration,
        source="rerun",
        seed=trial.seed,
        parent=number,
        checkpoint=checkpoint if rerun.from_checkpoint else None,
    )
    return insert_and_queue(
        core,
        specification,
        submission,
        actor,
        cluster=cluster,
        bundle=trial.bundle,
        rerun_of=f"{row.handle}/{number}",
        first=first,
        principal=principal,
    )


def _nothing_to_continue(trial: str, specification: Specification, dropped: float | None) -> Conflict:
    if specification.checkpoint_every is not None and dropped is not None:
        retention = "the server keeps files for some time after the end (`retention`)"
        return Conflict(
            f"the checkpoint of {trial} was dropped at {rfc3339(dropped)}: {retention}", "rerun it from the start"
        )
    hint = "only trials with `checkpoint:` can be continued"
    if specification.checkpoint_every is not None:
        every = f"{specification.checkpoint_every:g} s"
        hint = (
            f"its folder was empty, or the trial ended before the first upload after {every} "
            "(`checkpoint.every`); rerun it from the start"
        )
    return Conflict(f"{trial} has no checkpoint", hint)

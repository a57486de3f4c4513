"""The same trial once more, as an experiment of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestune.domain.experiment import TEST_LABEL, Program, Specification, StopRules
from orchestune.errors import Conflict
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Core
from orchestune.services.create_experiment import add, check
from orchestune.services.trials import Suggestion
from orchestune.store import experiments
from orchestune.store import trials as rows


def rerun_trial(
    core: Core, ref: str, number: int, body: Mapping[str, Any], actor: str, *, principal: str | None = None
) -> dict[str, Any]:
    """A new experiment of budget 1 with the trial's configuration, seed, revision and bundle; `origin` names it.

    It runs in the same `cluster`, unless another one is named; where that is not here, in the server's own.
    `continue`: it starts from the trial's last checkpoint; Conflict where there is none. `run`: another command, which
    trains longer, say.
    """
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        trial = rows.need(session, row, number)
        specification, launch = experiments.at_revision(session, row, trial.revision)
        checkpoint = rows.checkpoint_of(session, trial)
    if body.get("continue") and specification.folds.count > 1:
        raise Conflict(f"{row.handle}/{number} has {specification.folds.count} folds", "rerun it without --continue")
    if body.get("continue") and checkpoint is None:
        raise _nothing_to_continue(f"{row.handle}/{number}", specification, row.files_deleted_at)
    if body.get("run") and specification.program is Program.FUNCTION:
        raise Conflict(f"{row.handle}/{number} is a call of a function", "rerun it without a command")
    run = body.get("run") or specification.run
    parallelism = min(row.parallelism, specification.folds.count)
    specification = replace(
        specification,
        run=run if isinstance(run, str) else tuple(run),
        budget=1,
        parallelism=parallelism,
        stop=StopRules(),
        try_first=(),
        notify=(),
        mlflow=None,
        labels={name: value for name, value in specification.labels.items() if name != TEST_LABEL},
    )
    secrets = dict(body.get("secrets") or core.secrets.get(row.id))
    request = {
        "owner": body.get("owner") or actor,
        "folder": body.get("folder") or row.folder,
        "launch": body.get("launch") or launch,
        "secrets": secrets,
        "request_key": body.get("request_key"),
    }
    cluster = body.get("cluster") or (row.cluster if row.cluster in core.backends else core.default_cluster)
    check(core, specification, cluster, request)
    first = Suggestion(
        parameters=trial.configuration,
        source="rerun",
        seed=trial.seed,
        parent=number,
        checkpoint=checkpoint if body.get("continue") else None,
    )
    return add(
        core,
        specification,
        request,
        actor,
        cluster=cluster,
        bundle=trial.bundle,
        origin=f"{row.handle}/{number}",
        first=first,
        principal=principal,
    )


def _nothing_to_continue(trial: str, specification: Specification, dropped: float | None) -> Conflict:
    if specification.checkpoint_every is not None and dropped is not None:
        kept = "the server keeps files for some time after the end (`retention`)"
        return Conflict(
            f"the checkpoint of {trial} was dropped at {rfc3339(dropped)}: {kept}", "rerun it from the start"
        )
    hint = "only trials with `checkpoint:` can be continued"
    if specification.checkpoint_every is not None:
        every = f"{specification.checkpoint_every:g} s"
        hint = (
            f"its folder was empty, or the trial was ended before the {every} after which it is published "
            "(`checkpoint.every`); rerun it from the start"
        )
    return Conflict(f"{trial} left no checkpoint", hint)

"""Change the code of a running experiment: started trials keep the old code, queued ones get the new code."""

from __future__ import annotations

import json
from collections.abc import Mapping

from orchestune import documents
from orchestune.services import bundles
from orchestune.services.commands.size_limits import (
    refuse_large_launch,
    refuse_more_revisions,
    refuse_more_unfinished,
)
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import Ledger, locked
from orchestune.services.queries.read_experiments import resolve, status
from orchestune.store import blobs, changes, experiments

_CODE = ("root", "links", "code")
"""keys of a launch that describe the code: its folder, links and exclusions"""


def change_code(core: Core, ref: str, bundle: str, launch: Mapping[str, object], actor: str) -> documents.Status:
    """Use the bundle for all trials that have not started, and return the `Status`. Idempotent.

    `launch` has the keys of the launch (`_CODE`) that differ with the new code. Raises NotFound if the bundle is not
    stored.

    A trial that was ever leased keeps its bundle for all its folds and attempts, also after a loss. A queued trial has
    not run any code yet. So each trial runs exactly one bundle, and its row names it.
    """
    experiment = resolve(core, ref)
    bundles.need(core, bundle)
    with locked(core, experiment, actor) as ledger:
        changed = _launch(ledger.row.launch, launch)
        if (bundle, changed) != (ledger.row.bundle, ledger.row.launch):
            refuse_large_launch(changed)
            refuse_more_revisions(ledger.row)
            _change(ledger, bundle, json.dumps(changed))
            refuse_more_unfinished(ledger.session, ledger.row)
    return status(core, experiment)


def _launch(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, object]:
    """Return the launch with the code keys replaced; the shell environment stays that of the first start."""
    return {**old, **{name: new[name] for name in _CODE if name in new}}


def _change(ledger: Ledger, bundle: str, launch: str) -> None:
    row, session, before = ledger.row, ledger.session, ledger.row.bundle
    if not blobs.use(session, bundle):
        raise bundles.missing(bundle)
    experiments.keep_launch(session, row)
    row.bundle, row.launch_json, row.revision = bundle, launch, row.revision + 1
    experiments.change(session, row.id, bundle=bundle, launch=launch, revision=row.revision)
    experiments.add_revision(session, row.id, row.revision, row.specification_json, ledger.actor)
    where = {"experiment": row.id, "bundle": bundle, "revision": row.revision}
    moved = session.run(changes.CHANGE_CODE_OF_QUEUED, where)
    ledger.record(
        "code_changed", {"bundle": bundle, "before": before, "revision": row.revision, "queued_trials": moved}
    )

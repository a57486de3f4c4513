"""Other code for an experiment that goes on: what has begun ends with the old one, all else takes the new one."""

from __future__ import annotations

import json
from collections.abc import Mapping

from orchestune import documents
from orchestune.services import bundles
from orchestune.services.core import Core
from orchestune.services.ledger import Ledger, locked
from orchestune.services.read_experiments import resolve, status
from orchestune.store import blobs, changes, experiments

_CODE = ("root", "links", "code")
"""what of a launch belongs to the code: the folder, what is linked from it, what is left out of it"""


def change_code(core: Core, ref: str, bundle: str, launch: Mapping[str, object], actor: str) -> documents.Status:
    """Run the bundle from now on; its `Status`. The same code again changes nothing. NotFound without that bundle.

    `launch` has the keys of the launch (`_CODE`) that differ with the new code.

    A trial that was ever leased keeps its bundle, with all its folds and attempts: it goes on, after a loss too, with
    what it began with. A trial that waits has seen no code yet. So each trial runs one bundle, and its row says which.
    """
    experiment = resolve(core, ref)
    bundles.need(core, bundle)
    with locked(core, experiment, actor) as ledger:
        changed = _launch(ledger.row.launch, launch)
        if (bundle, changed) != (ledger.row.bundle, ledger.row.launch):
            _change(ledger, bundle, json.dumps(changed))
    return status(core, experiment)


def _launch(present: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    """The shell stays that of the first start; the folder is the one of the new code."""
    return {**present, **{name: given[name] for name in _CODE if name in given}}


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

"""Take metrics that the user's command reports by HTTP."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from orchestune import documents
from orchestune.domain.clusters.builtin import LOCAL
from orchestune.domain.search.floats import as_float
from orchestune.domain.specification.metrics import FIRST_HTTP_SEQUENCE, Point
from orchestune.errors import BadInput, Conflict, Denied
from orchestune.services import environments
from orchestune.services.core import Core
from orchestune.services.execution import attempts, points
from orchestune.services.execution.locked_experiment import Ledger, locked
from orchestune.services.execution.points import MAX_METRIC_NAMES
from orchestune.services.signatures import report_signature, same
from orchestune.store import attempts as rows
from orchestune.store import experiments
from orchestune.store.statements.attempts import SELECT_ATTEMPT, AttemptInTrial
from orchestune.wire.work import MAX_NAME
from orchestune.worker.mask import masked_text, spellings
from orchestune.worker.metrics.scanner import STEP_NAMES, folded, step_of

MAX_VALUES = 5000
"""Upper bound of the values in one report, non-numeric ones included: the store is locked while they are parsed."""
_MAX_MASKING = 10**9
"""Upper bound of the characters of all names in a report times the bytes of the secrets masked in them: about 0.5 s."""


def report(core: Core, attempt: str, signature: str, values: Mapping[str, object]) -> documents.ShouldStop:
    """Store values by name, as parsed from a line of JSON; step and `stddev`, if finite, apply to all of them.

    Return the stop decision after these values: `{"stop", "reason"}`. Raises Denied for a wrong signature,
    Conflict if the attempt is over, BadInput if a declared metric, a step or `stddev` is not a number or for too many
    values or names; other non-numeric values are skipped.
    """
    if len(values) > MAX_VALUES:
        raise BadInput.one(f"found {len(values):,} values in one report (expected at most {MAX_VALUES:,})")
    experiment = _experiment(core, attempt, signature)
    with core.store.reading() as session:
        _accepting(session.row(SELECT_ATTEMPT, {"id": attempt, "experiment": experiment}))
    masked_names = _masked(values, environments.secrets_of(core, experiment).values())
    with locked(core, experiment) as ledger:
        row = _accepting(attempts.find(ledger, attempt))
        declared = {metric.name.lower(): metric.name for metric in ledger.row.specification.metrics}
        named = _numbers(values, {*declared, *STEP_NAMES, "stddev"})
        step, stddev = _finite(step_of(named)), _finite(named.pop("stddev", None))
        reported = [
            Point(declared.get(folded(name)) or masked_names[name], value, step, stddev)
            for name, value in named.items()
            if folded(name) in declared or folded(name) not in STEP_NAMES
        ]
        _refuse_many_names(ledger, attempt, row.point_count, reported)
        points.note_not_finite(ledger, attempt, row.non_finite, reported)
        accepted = points.within_limit(ledger, attempt, row.trial, row.point_count, reported)
        first = FIRST_HTTP_SEQUENCE + row.point_count
        reported = [replace(point, sequence=first + index) for index, point in enumerate(accepted)]
        if row.state.live:
            attempts.progress(ledger, attempt, row, reported, core.pruners)
        else:
            points.append(ledger, attempt, reported)
            points.record(ledger, row.trial, reported)
        return _answer(attempts.find(ledger, attempt))


def _accepting(row: AttemptInTrial | None) -> AttemptInTrial:
    """Return the attempt. Raises Conflict if it is over."""
    if row is None or not row.accepts_result:
        raise Conflict("this attempt is over")
    return row


def _masked(names: Collection[str], values: Iterable[str]) -> dict[str, str]:
    """Return each name without secrets. Raises BadInput if that would take too long."""
    secrets = spellings(values, longest=max(map(len, names), default=0))
    characters, size = sum(map(len, names)), sum(map(len, secrets))
    if characters * size > _MAX_MASKING:
        text = f"the names of the values have {characters:,} characters, in which {len(secrets):,} secrets are masked"
        most = f"expected at most {_MAX_MASKING // size:,}"
        raise BadInput.one(f"{text} ({most})", hint="report fewer values at once")
    return {name: masked_text(name, secrets) for name in names}


def _refuse_many_names(ledger: Ledger, attempt: str, stored: int, reported: Sequence[Point]) -> None:
    allowed = {point.name for point in points.within_names(ledger, attempt, stored, reported)}
    extra = next((point.name for point in reported if point.name not in allowed), None)
    if extra is not None:
        message = f"more than {MAX_METRIC_NAMES:,} different metrics are reported"
        raise BadInput.one(message, key=f"{extra:.100}", hint="keep other values in files of the trial (`keep`)")


def should_stop(core: Core, attempt: str, signature: str) -> documents.ShouldStop:
    """Return the stop decision for a trial: `{"stop", "reason"}`. Raises Denied for a wrong signature."""
    experiment = _experiment(core, attempt, signature)
    with core.store.reading() as session:
        row = session.row(SELECT_ATTEMPT, {"id": attempt, "experiment": experiment})
    return _answer(row)


def _answer(row: AttemptInTrial | None) -> documents.ShouldStop:
    continues = row is not None and row.stop_order is None and row.accepts_result
    reason = json.loads(row.reason) if row is not None and row.reason and not continues else None
    return {"stop": not continues, "reason": reason}


def check(core: Core, attempt: str, signature: str) -> None:
    """Raise Denied for a wrong signature. Does not read the store."""
    if not same(signature, report_signature(core, attempt)):
        raise Denied("invalid signature in the report address", "use $ORCHESTUNE_REPORT_URL unchanged")


def runs_as_server(core: Core, attempt: str, signature: str) -> bool:
    """Return True if the attempt's cluster is this machine, where trials run as the server's own user.

    Raises Denied for a wrong signature.
    """
    experiment = _experiment(core, attempt, signature)
    with core.store.reading() as session:
        return experiments.get(session, experiment).cluster == LOCAL


def _experiment(core: Core, attempt: str, signature: str) -> str:
    check(core, attempt, signature)
    with core.store.reading() as session:
        row = rows.find(session, attempt)
    if row is None:
        raise Denied("no such attempt")
    return str(row.experiment)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _numbers(values: Mapping[str, object], needed: Collection[str]) -> dict[str, float]:
    numbers = {}
    for name, value in values.items():
        try:
            if isinstance(value, bool):
                raise TypeError
            if value is not None:
                numbers[name] = as_float(value)
        except (TypeError, ValueError):
            if folded(name) in needed:
                raise BadInput.one(f"invalid number: {reprlib.repr(value)}", key=name) from None
        if len(name) > MAX_NAME:
            raise BadInput.one(f"a name has at most {MAX_NAME} characters, found {len(name):,}", key=f"{name:.100}")
    return numbers

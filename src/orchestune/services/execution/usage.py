"""Resource usage of attempts over time: store the samples of workers, and return them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec.structs import astuple

from orchestune import documents
from orchestune.domain.resources.usage import MAX_ENDED_SAMPLES, MAX_RUNNING_SAMPLES, Sample, with_more
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.store import attempts, experiments
from orchestune.store import trials as rows
from orchestune.store.statements.attempts import SELECT_USAGE, UPSERT_USAGE
from orchestune.wire.work import UsageSample

LASTING = 900.0
"""Seconds of run time beyond which an attempt may have more samples than are stored."""


def take(ledger: Ledger, attempt: str, items: Sequence[UsageSample], *, ended: bool) -> None:
    """Append new samples and thin the series. Under the ledger's lock."""
    text = ledger.session.row(SELECT_USAGE, {"attempt": attempt})
    stored = json.loads(text) if text is not None else []
    new: list[Sample] = [list(astuple(sample)) for sample in items]
    samples = with_more(stored, new, MAX_ENDED_SAMPLES if ended else MAX_RUNNING_SAMPLES)
    if samples != stored:
        text = json.dumps(samples, separators=(",", ":"))
        ledger.session.run(UPSERT_USAGE, {"attempt": attempt, "experiment": ledger.row.id, "samples": text})


def usage(core: Core, ref: str, number: int) -> documents.Usage:
    """Return the usage samples of each attempt of a trial."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        rows.need(session, row, number)
        items: list[documents.UsedByAttempt] = [
            {
                "fold": attempt.fold,
                "attempt_number": attempt.attempt_number,
                "state": attempt.state,
                "started_at": rfc3339(attempt.started_at),
                "samples": [sample[1:] for sample in json.loads(attempt.samples)],
            }
            for attempt in attempts.usage_of(session, row.id, number)
        ]
    return {"items": items}

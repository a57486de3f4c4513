"""Statements about the losses that pruners have observed."""

from __future__ import annotations

from msgspec import Struct

from orchestune.store.rows import Query

LAST_SEQUENCE = Query(
    int, "SELECT COALESCE(MAX(seq), 0) AS seq FROM pruner_observations WHERE experiment = :experiment"
)
COUNT_STEPS = Query(
    int,
    """
SELECT COUNT(*) AS count FROM pruner_observations WHERE experiment = :experiment AND trial = :trial AND fold = :fold
""",
)
PUT_OBSERVATION = """
INSERT INTO pruner_observations (experiment, trial, fold, step, seq, loss, best, mean) VALUES (:experiment, :trial,
:fold, :step, :seq, :loss, :best, :mean) ON CONFLICT (experiment, trial, fold, step) DO UPDATE SET seq = excluded.seq,
loss = excluded.loss, best = excluded.best, mean = excluded.mean
"""


class ObservationRow(Struct, frozen=True, gc=False):
    """The losses of a trial when its pruner evaluated it."""

    seq: int
    fold: int
    trial: int
    step: float
    loss: float
    best: float
    mean: float


NEW_OBSERVATIONS = Query(
    ObservationRow,
    """
SELECT seq, fold, trial, step, loss, best, mean FROM pruner_observations WHERE experiment = :experiment
AND seq > :after ORDER BY seq
""",
)


class ObservationOfPruned(Struct, frozen=True, gc=False):
    """The loss of a pruned trial when its pruner evaluated it."""

    trial: int
    step: float
    loss: float


LAST_OBSERVATIONS_OF_PRUNED = Query(
    ObservationOfPruned,
    """
SELECT m.trial, m.step, m.loss FROM pruner_observations m
JOIN trials r ON r.experiment = m.experiment AND r.number = m.trial
WHERE m.experiment = :experiment AND r.history_seq > :after AND r.history_seq <= :upto AND r.state = 'pruned'
ORDER BY m.trial, m.step, m.fold
""",
)


class EndedTrial(Struct, frozen=True, gc=False):
    """A finished trial, with its place in the history."""

    number: int
    state: str
    history_seq: int


ENDS = Query(
    EndedTrial,
    """
SELECT number, state, history_seq FROM trials WHERE experiment = :experiment AND history_seq > :after
ORDER BY history_seq
""",
)

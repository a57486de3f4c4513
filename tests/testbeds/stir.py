"""Changes of an experiment of the seeded store while pages show it, as fast as a test likes."""

from __future__ import annotations

from sqlalchemy import update

from orchestune.services.core import Core
from orchestune.services.memory.signals import EXPERIMENTS
from orchestune.store import experiments
from orchestune.store.rows import Query
from orchestune.store.tables import experiments as table
from orchestune.store.tables import log_segments


class Stir:
    """Each `step` changes what its status says, ends or begins a trial, and prints lines."""

    def __init__(self, core: Core, handle: str, trial: int, lines: int = 20) -> None:
        self.core, self.trial = core, trial
        self.steps = 0
        self._lines, self._offset = lines, 1 << 20
        with core.store.reading() as session:
            row = experiments.find(session, handle)
            self.experiment, self._running = row.id, row.running
            attempt = session.row(
                Query(str, "SELECT id FROM attempts WHERE experiment = :experiment AND trial = :trial"),
                {"experiment": self.experiment, "trial": trial},
            )
        assert attempt is not None
        self._attempt = attempt

    def step(self, text: str = "") -> None:
        """Once more; prints `text` instead, where there is any."""
        self.steps += 1
        lines = "".join(f"line {n} of step {self.steps}\n" for n in range(self._lines)) + "a bar that moves\r" * 10
        data = (text or lines).encode()
        with self.core.store.transaction() as session:
            row = experiments.find(session, self.experiment)
            values = {"event_seq": row.event_seq + 1, "log_seq": row.log_seq + 1}
            values["running"] = self._running + self.steps % 2
            session.change(update(table).where(table.c.id == self.experiment).values(**values))
            segment = {
                "experiment": self.experiment, "seq": row.log_seq + 1, "attempt": self._attempt, "trial": self.trial,
                "offset": self._offset, "length": len(data), "gap": 0, "at": session.now, "data": data,
            }  # fmt: skip
            self._offset += len(data)
            session.change(log_segments.insert().values(**segment))
        self.core.signals.notify(f"events:{self.experiment}", f"logs:{self.experiment}", EXPERIMENTS)

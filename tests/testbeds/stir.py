"""What happens to an experiment of the seeded store while pages look at it: as fast as a test likes."""

from __future__ import annotations

from sqlalchemy import update

from orchestune.services.core import Core
from orchestune.services.signals import EXPERIMENTS
from orchestune.store import experiments
from orchestune.store.tables import experiments as table
from orchestune.store.tables import log_segments


class Stir:
    """Each `step` changes what its status says, ends or begins a trial, and prints lines."""

    def __init__(self, core: Core, handle: str, trial: int, lines: int = 20) -> None:
        self.core, self.trial = core, trial
        self.steps = 0
        self._text = "".join(f"step {n} of many, of which each prints about as much\n" for n in range(lines)).encode()
        with core.store.reading() as session:
            row = experiments.find(session, handle)
            self.experiment, self._running = row.id, row.running
            found = session.row(
                "SELECT id FROM attempts WHERE experiment = :experiment AND trial = :trial",
                {"experiment": self.experiment, "trial": trial},
            )
        assert found is not None
        self._attempt = str(found[0])

    def step(self) -> None:
        """Once more."""
        self.steps += 1
        with self.core.store.transaction() as session:
            row = experiments.find(session, self.experiment)
            values = {"event_seq": row.event_seq + 1, "log_seq": row.log_seq + 1}
            values["running"] = self._running + self.steps % 2
            session.change(update(table).where(table.c.id == self.experiment).values(**values))
            segment = {
                "experiment": self.experiment, "seq": row.log_seq + 1, "attempt": self._attempt, "trial": self.trial,
                "offset": self.steps * len(self._text), "length": len(self._text), "gap": 0, "at": session.now,
                "data": self._text + b"a bar that goes on\r" * 10,
            }  # fmt: skip
            session.change(log_segments.insert().values(**segment))
        self.core.signals.notify(f"events:{self.experiment}", f"logs:{self.experiment}", EXPERIMENTS)

"""The promises of the core, one class for every store."""

from __future__ import annotations

from orchestune.testing.core.archives import ArchivesContract
from orchestune.testing.core.budgets import BudgetsContract
from orchestune.testing.core.guards import GuardsContract
from orchestune.testing.core.handing_in import HandingInContract
from orchestune.testing.core.intent import IntentContract
from orchestune.testing.core.logs import LogsContract
from orchestune.testing.core.losses import LossesContract
from orchestune.testing.core.removal import RemovalContract
from orchestune.testing.core.reports import ReportsContract
from orchestune.testing.core.room import RoomContract
from orchestune.testing.core.values import ValuesContract


class CoreContract(
    BudgetsContract,
    LossesContract,
    IntentContract,
    HandingInContract,
    RemovalContract,
    GuardsContract,
    ValuesContract,
    ReportsContract,
    LogsContract,
    RoomContract,
    ArchivesContract,
):
    """Everything but folds, early stopping and code that changes."""

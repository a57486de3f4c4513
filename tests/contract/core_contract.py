"""The promises of the core, one class for every store."""

from __future__ import annotations

from tests.contract.core.archives import ArchivesContract
from tests.contract.core.budgets import BudgetsContract
from tests.contract.core.guards import GuardsContract
from tests.contract.core.handing_in import HandingInContract
from tests.contract.core.intent import IntentContract
from tests.contract.core.logs import LogsContract
from tests.contract.core.losses import LossesContract
from tests.contract.core.removal import RemovalContract
from tests.contract.core.reports import ReportsContract
from tests.contract.core.room import RoomContract
from tests.contract.core.values import ValuesContract


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

"""The promises of the core on SQLite."""

from tests.contract.code_contract import CodeContract
from tests.contract.core_contract import CoreContract
from tests.contract.folds_contract import FoldsContract


class TestCoreOnSqlite(CoreContract):
    """One file in the test's folder."""


class TestFoldsOnSqlite(FoldsContract):
    """One file in the test's folder."""


class TestCodeOnSqlite(CodeContract):
    """One file in the test's folder."""

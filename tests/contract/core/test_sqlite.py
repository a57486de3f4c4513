"""The promises of the core on SQLite."""

from orchestune.testing.code_contract import CodeContract
from orchestune.testing.core_contract import CoreContract
from orchestune.testing.folds_contract import FoldsContract


class TestCoreOnSqlite(CoreContract):
    """One file in the test's folder."""


class TestFoldsOnSqlite(FoldsContract):
    """One file in the test's folder."""


class TestCodeOnSqlite(CodeContract):
    """One file in the test's folder."""

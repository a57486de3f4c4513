"""The promises of the core on SQLite."""

from orchestune.testing.core_contract import CoreContract


class TestCoreOnSqlite(CoreContract):
    """One file in the test's folder."""

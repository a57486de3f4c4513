"""The promises of early stopping on both stores."""

import pytest

from tests.contract.pruning_contract import PruningContract


class TestPruningOnSqlite(PruningContract):
    """One file in the test's folder."""


class TestPruningOnPostgres(PruningContract):
    """A new database on a real server for each test."""

    @pytest.fixture
    def database_url(self, postgres_database: str) -> str:
        """The URL of that database."""
        return postgres_database

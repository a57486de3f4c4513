"""The promises of the core on PostgreSQL."""

import pytest

from orchestune.testing.core_contract import CoreContract


class TestCoreOnPostgres(CoreContract):
    """A new database on a real server for each test."""

    @pytest.fixture
    def database_url(self, postgres_database: str) -> str:
        """The URL of that database."""
        return postgres_database

"""The promises of the core on PostgreSQL."""

import pytest

from tests.contract.code_contract import CodeContract
from tests.contract.core_contract import CoreContract
from tests.contract.folds_contract import FoldsContract


class OnPostgres:
    """A new database on a real server for each test."""

    @pytest.fixture
    def database_url(self, postgres_database: str) -> str:
        """The URL of that database."""
        return postgres_database


class TestCoreOnPostgres(OnPostgres, CoreContract):
    """Everything but folds."""


class TestFoldsOnPostgres(OnPostgres, FoldsContract):
    """Folds."""


class TestCodeOnPostgres(OnPostgres, CodeContract):
    """Code that changes."""

"""The base of every contract of the core: a world on the store that a subclass names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.world import CoreWorld


class WorldContract:
    """Give the fixture `database_url` (None: SQLite in the test's folder)."""

    @pytest.fixture
    def database_url(self) -> str | None:
        """Return the URL of the store."""
        return None

    @pytest.fixture
    def world(self, tmp_path: Path, database_url: str | None) -> Iterator[CoreWorld]:
        """A fresh world on that store."""
        world = CoreWorld(tmp_path, database_url)
        yield world
        world.close()

"""Fixtures of the store's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestune.store.database import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new one on SQLite."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()

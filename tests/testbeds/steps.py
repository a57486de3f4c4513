"""Work of questions to a store in SQLite, counted in SQLite's own instructions: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from orchestune.store.database import Store


def steps(store: Store, act: Callable[[], object]) -> int:
    """Return the number of instructions that SQLite executes for `read`."""
    count = 0

    def one_more() -> None:
        nonlocal count
        count += 1

    def begin(driver: Any, *_: object) -> None:
        driver.set_progress_handler(one_more, 1)

    def end(driver: Any, *_: object) -> None:
        driver.set_progress_handler(None, 1)

    listeners = ("checkout", begin), ("checkin", end)
    for name, listener in listeners:
        event.listen(store.engine, name, listener)
    try:
        act()
    finally:
        for name, listener in listeners:
            event.remove(store.engine, name, listener)
    return count

"""Documents of the worker protocol are values."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import msgspec
import pytest

from orchestune.wire import answers, files, registration, work


def structs(*modules: ModuleType) -> Iterator[type[msgspec.Struct]]:
    for module in modules:
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__:
                yield kind


@pytest.mark.parametrize("kind", list(structs(answers, files, registration, work)))
def test_a_document_cannot_be_changed(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen

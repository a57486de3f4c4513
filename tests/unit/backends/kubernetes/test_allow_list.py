"""The allow-list that a server reads for each Job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from orchestune.backends.kubernetes import allow_list
from orchestune.clusters.existing import plan
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.objects import path
from orchestune.errors import NotFound, TemporaryError
from orchestune.kubeapi.client import ApiServer
from orchestune.kubeapi.errors import PermissionMissing

CONNECTION = ConnectionSettings("lab", "ml").with_changes({"allow": ("claim:datasets", "host-pid")})


class FakeApiServer:
    """Answers a request with a document or an error, by its path."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers

    def call(self, method: str, place: str) -> Any:
        answer = self.answers[f"{method} {place}"]
        if isinstance(answer, Exception):
            raise answer
        return answer


def stored(answer: object) -> list[str]:
    api = FakeApiServer({f"GET {path(plan.settings(CONNECTION))}": answer})
    return allow_list.stored(cast(ApiServer, api), CONNECTION.namespace).texts()


def test_the_allow_list_is_read_where_connect_stores_it() -> None:
    assert stored(plan.settings(CONNECTION)) == ["claim:datasets", "host-pid"]
    assert stored(plan.settings(ConnectionSettings("lab", "ml"))) == []


@pytest.mark.parametrize(
    "answer",
    [
        NotFound("no such ConfigMap"),
        PermissionMissing("the server may not get configmaps"),
        {},
        {"data": None},
        {"data": {"kubernetes.json": "{"}},
        {"data": {"kubernetes.json": "[]"}},
        {"data": {"kubernetes.json": '{"allow": 1}'}},
        {"data": {"kubernetes.json": '{"allow": [1]}'}},
        {"data": {"kubernetes.json": '{"allow": ["a-kind-of-a-later-version:x"]}'}},
    ],
)
def test_nothing_is_permitted_by_a_list_that_cannot_be_read(answer: object) -> None:
    with pytest.raises(TemporaryError, match="cannot read the allow-list in the ConfigMap orchestune-config"):
        stored(answer)

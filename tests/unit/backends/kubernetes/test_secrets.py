"""Secrets of experiments in the cluster, and the values that the server caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.secrets import KubernetesSecrets
from orchestune.errors import Conflict, NotFound
from orchestune.kubeapi.client import ApiServer

Document = dict[str, Any]
CONFIG = KubernetesConfig("lab", "ml", "http://o", "server:1")
OLD, NEW = {"KEY": "old"}, {"KEY": "new"}


def ignore() -> None:
    pass


class FakeApi:
    """The Secrets of a namespace. Hooks are called once: `after_read` before a GET returns, `before_write` first."""

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {}
        self.reads = 0
        self.after_read: Callable[[], object] = ignore
        self.before_write: Callable[[], object] = ignore

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Document:
        if method == "GET":
            self.reads += 1
            secret = self.objects.get(path)
            hook, self.after_read = self.after_read, ignore
            hook()
            if secret is None:
                raise NotFound(path)
            return secret
        hook, self.before_write = self.before_write, ignore
        hook()
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                raise Conflict(path)
            self.objects[path] = body
        else:
            assert content_type == "application/merge-patch+json"
            self.objects[path] = {**self.objects[path], **body}
        return self.objects[path]

    def delete_object(self, path: str, options: Document) -> bool:
        hook, self.before_write = self.before_write, ignore
        hook()
        return self.objects.pop(path, None) is not None


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def secrets(api: FakeApi) -> KubernetesSecrets:
    return KubernetesSecrets(cast(ApiServer, api), CONFIG)


def test_values_are_read_once_and_changed_by_the_next_put(api: FakeApi, secrets: KubernetesSecrets) -> None:
    secrets.put("e1", OLD)
    assert [secrets.get("e1"), secrets.get("e1")] == [OLD, OLD]
    assert api.reads == 1
    secrets.put("e1", NEW)
    assert secrets.get("e1") == NEW
    secrets.put("e1", {})
    assert secrets.get("e1") == {}
    assert not api.objects


@pytest.mark.parametrize("values", [NEW, {}])
def test_a_get_just_before_a_write_does_not_cache_the_old_values(
    api: FakeApi, secrets: KubernetesSecrets, values: dict[str, str]
) -> None:
    secrets.put("e1", OLD)
    api.before_write = lambda: secrets.get("e1")
    secrets.put("e1", values)
    assert secrets.get("e1") == values


@pytest.mark.parametrize("values", [NEW, {}])
def test_a_get_that_outlasts_a_write_does_not_cache_the_old_values(
    api: FakeApi, secrets: KubernetesSecrets, values: dict[str, str]
) -> None:
    secrets.put("e1", OLD)
    api.after_read = lambda: secrets.put("e1", values)
    secrets.get("e1")
    assert secrets.get("e1") == values


def test_a_secret_of_others_is_not_changed(api: FakeApi, secrets: KubernetesSecrets) -> None:
    secrets.put("e1", OLD)
    [theirs] = api.objects.values()
    theirs["metadata"]["labels"] = {}
    with pytest.raises(Conflict, match="orchestune-secrets-e1 already exists and does not belong to Orchestune"):
        secrets.put("e1", NEW)
    assert secrets.get("e1") == OLD

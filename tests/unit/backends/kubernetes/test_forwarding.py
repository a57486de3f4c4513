"""The server keeps the names of its pods in the Roles of people."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestune.backends.kubernetes import client
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.policy.forwarding import Forwarding
from orchestune.bootstrap import build
from orchestune.clusters.existing.rights import account, role_rules
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.errors import NotFound, TemporaryError
from orchestune.kubeapi.errors import PermissionMissing
from orchestune.kubeapi.forwarding import FORWARDING, limit_forwarding, server_pods
from orchestune.server.settings import Settings
from orchestune.store.leadership import Leadership
from tests.testbeds.waiting import until

Document = dict[str, Any]
FORWARD_TO_ANY_POD = {"apiGroups": [""], "resources": [FORWARDING], "verbs": ["create", "get"]}


def pod(name: str, account: str = "orchestune-server", phase: str = "Running") -> Document:
    return {"metadata": {"name": name}, "spec": {"serviceAccountName": account}, "status": {"phase": phase}}


class Cluster:
    """Pods with the server's labels, and Roles that the API server updates only from their last version.

    `meanwhile` is called before each request, with its number from 1 on.
    """

    def __init__(self, *pods: Document) -> None:
        self.pods = list(pods)
        self.roles: dict[str, tuple[int, list[Document]]] = {}
        self.apply_anew()
        self.updates = 0
        self.requests = 0
        self.meanwhile: Callable[[int], None] = lambda number: None

    def apply_anew(self) -> None:
        """Apply the printed Roles again, as an administrator would."""
        versions = {name: version for name, (version, _) in self.roles.items()}
        self.roles = {account(role): (versions.get(account(role), 0) + 1, role_rules(role)) for role in SERVER_ROLES}

    def list_objects(self, path: str, query: Mapping[str, object]) -> tuple[list[Document], str]:
        self._count()
        servers = path == "/api/v1/namespaces/ml/pods" and "component=server" in str(query["labelSelector"])
        return copy.deepcopy(self.pods) if servers else [], "1"

    def watch(self, path: str, query: Mapping[str, object], since: str) -> Iterator[tuple[str, Document]]:
        """Nothing changes."""
        threading.Event().wait()
        return iter(())

    def call(self, method: str, path: str, body: Any = None, content_type: str = "") -> Document:
        self._count()
        name = path.removeprefix("/apis/rbac.authorization.k8s.io/v1/namespaces/ml/roles/")
        if name not in self.roles:
            raise NotFound(path)
        if method == "PATCH":
            assert content_type == "application/merge-patch+json"
            if body["metadata"]["resourceVersion"] != str(self.roles[name][0]):
                raise TemporaryError("the object has been modified")
            self.updates += 1
            self.roles[name] = (self.roles[name][0] + 1, body["rules"])
        version, rules = self.roles[name]
        return {"metadata": {"name": name, "resourceVersion": str(version)}, "rules": copy.deepcopy(rules)}

    def _count(self) -> None:
        self.requests += 1
        self.meanwhile(self.requests)

    def forwarding(self) -> Forwarding:
        return Forwarding(self, KubernetesConfig("lab", "ml", "http://o", "o:1"))  # type: ignore[arg-type]

    def reachable(self) -> list[list[str]]:
        """The names of each Role; one without a rule gives none."""
        return [
            [name for rule in rules if FORWARDING in rule["resources"] for name in rule["resourceNames"]]
            for _, rules in self.roles.values()
        ]


def test_only_pods_of_the_server_that_have_not_ended_are_its_pods() -> None:
    pods = [pod("b"), pod("a", phase="Pending"), pod("evicted", phase="Failed"), pod("worker", "orchestune-worker")]
    assert server_pods(pods) == ["a", "b"]


@pytest.mark.parametrize(
    "before",
    [
        [FORWARD_TO_ANY_POD],
        [{**FORWARD_TO_ANY_POD, "resourceNames": ["postgres"]}],
        [FORWARD_TO_ANY_POD, {**FORWARD_TO_ANY_POD, "verbs": ["*"]}],
        [],
    ],
    ids=["all pods", "another pod", "two rules", "none"],
)
def test_rules_are_limited_to_the_pods_whatever_they_were(before: list[Document]) -> None:
    others = role_rules("viewer")
    assert limit_forwarding([*before, *others], ["a", "b"]) == role_rules("viewer", ["a", "b"])


def test_without_a_pod_there_is_no_rule_since_one_without_names_would_be_of_all_pods() -> None:
    assert limit_forwarding([FORWARD_TO_ANY_POD], []) == []


def test_what_a_rule_allows_beside_the_forwarding_stays() -> None:
    mixed = {"apiGroups": [""], "resources": ["pods", FORWARDING], "verbs": ["get"]}
    assert limit_forwarding([mixed], []) == [{**mixed, "resources": ["pods"]}]


def test_each_role_gets_the_present_pods_and_is_left_alone_once_it_has_them() -> None:
    cluster = Cluster(pod("one"))
    forwarding = cluster.forwarding()
    forwarding.tick()
    forwarding.tick()
    assert cluster.reachable() == [["one"]] * 3 and cluster.updates == 3
    cluster.pods = [pod("two")]
    forwarding.tick()
    assert cluster.reachable() == [["two"]] * 3
    assert [rules for _, rules in cluster.roles.values()] == [role_rules(role, ["two"]) for role in SERVER_ROLES]


@pytest.mark.parametrize("moment", range(1, 8))  # three Roles are read, the pods are listed, three Roles are updated
def test_a_replica_does_not_drop_the_pod_that_another_one_adds_meanwhile(moment: int) -> None:
    cluster = Cluster(pod("one"))
    other = cluster.forwarding()

    def start(number: int) -> None:
        if number == moment:
            cluster.pods.append(pod("two"))
            other.tick()

    cluster.meanwhile = start
    cluster.forwarding().tick()
    assert cluster.reachable() == [["one", "two"]] * 3


def test_what_another_replica_keeps_changing_is_left_to_the_next_time() -> None:
    cluster = Cluster(pod("one"))

    def change(number: int) -> None:
        cluster.roles = {name: (version + 1, rules) for name, (version, rules) in cluster.roles.items()}

    cluster.meanwhile = change
    with pytest.raises(TemporaryError):
        cluster.forwarding().tick()


def test_a_role_that_an_administrator_has_removed_keeps_nobody_else_out() -> None:
    cluster = Cluster(pod("one"))
    del cluster.roles["orchestune-owner"]
    cluster.forwarding().tick()
    assert cluster.reachable() == [["one"]] * 2


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a server in a pod."""
    config = {"cluster": "lab", "namespace": "ml", "url": "http://o", "runtime_image": "o:1"}
    (tmp_path / "kubernetes.json").write_text(json.dumps(config))
    url, files = f"sqlite:///{tmp_path}/orchestune.db", str(tmp_path / "files")
    return Settings(state=tmp_path, database_url=url, files=files, kubernetes=tmp_path / "kubernetes.json")


def test_people_reach_a_pod_before_its_server_is_ready_and_again_after_the_roles_were_applied_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(pod("one"))
    monkeypatch.setattr(client, "connect", lambda config: cluster)
    running = build(settings, "http://o", backends={})
    assert cluster.reachable() == [["one"]] * 3
    monkeypatch.setattr(Leadership, "__call__", lambda leadership: False)
    running.start()
    try:
        cluster.apply_anew()
        until("the Roles to be corrected", lambda: cluster.reachable() == [["one"]] * 3)
    finally:
        running.stop(20)


def test_a_server_starts_without_the_right_to_change_the_roles(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> None:
        raise PermissionMissing("the server may not patch roles")

    cluster = Cluster(pod("one"))
    cluster.meanwhile = refuse
    monkeypatch.setattr(client, "connect", lambda config: cluster)
    build(settings, "http://o", backends={}).core.store.close()

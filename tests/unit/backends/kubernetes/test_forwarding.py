"""The server keeps the names of its pods in the Roles of people."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.forwarding import Forwarding
from orchestune.clusters.existing.rights import account, role_rules
from orchestune.domain.cluster import SERVER_ROLES
from orchestune.errors import NotFound, TemporaryError
from orchestune.kubeapi.forwarding import FORWARDING, limit_forwarding, server_pods

Document = dict[str, Any]
TO_ALL = {"apiGroups": [""], "resources": [FORWARDING], "verbs": ["create", "get"]}


def pod(name: str, account: str = "orchestune-server", phase: str = "Running") -> Document:
    return {"metadata": {"name": name}, "spec": {"serviceAccountName": account}, "status": {"phase": phase}}


class Cluster:
    """Pods with the server's labels, and Roles that the API server updates only from their last version.

    `meanwhile` is called before each update.
    """

    def __init__(self, *pods: Document) -> None:
        self.pods = list(pods)
        self.roles = {account(role): (1, role_rules(role)) for role in SERVER_ROLES}
        self.updates = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def items(self, path: str, query: Mapping[str, object]) -> tuple[list[Document], str]:
        assert path == "/api/v1/namespaces/ml/pods" and "component=server" in str(query["labelSelector"])
        return copy.deepcopy(self.pods), "1"

    def call(self, method: str, path: str, body: Any = None, kind: str = "") -> Document:
        name = path.removeprefix("/apis/rbac.authorization.k8s.io/v1/namespaces/ml/roles/")
        if name not in self.roles:
            raise NotFound(path)
        if method == "PATCH":
            assert kind == "application/merge-patch+json"
            self.meanwhile()
            if body["metadata"]["resourceVersion"] != str(self.roles[name][0]):
                raise TemporaryError("the object has been modified")
            self.updates += 1
            self.roles[name] = (self.roles[name][0] + 1, body["rules"])
        version, rules = self.roles[name]
        return {"metadata": {"name": name, "resourceVersion": str(version)}, "rules": copy.deepcopy(rules)}

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
    [[TO_ALL], [{**TO_ALL, "resourceNames": ["postgres"]}], [TO_ALL, {**TO_ALL, "verbs": ["*"]}], []],
    ids=["all pods", "another pod", "two rules", "none"],
)
def test_rules_are_limited_to_the_pods_whatever_they_were(before: list[Document]) -> None:
    others = role_rules("viewer")
    assert limit_forwarding([*before, *others], ["a", "b"]) == role_rules("viewer", ["a", "b"])


def test_without_a_pod_there_is_no_rule_since_one_without_names_would_be_of_all_pods() -> None:
    assert limit_forwarding([TO_ALL], []) == []


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


def test_a_replica_does_not_drop_the_pod_that_another_one_has_added_meanwhile() -> None:
    cluster = Cluster(pod("one"))
    other = cluster.forwarding()

    def starts() -> None:
        cluster.meanwhile = lambda: None
        cluster.pods.append(pod("two"))
        other.tick()

    cluster.meanwhile = starts
    cluster.forwarding().tick()
    assert cluster.reachable() == [["one", "two"]] * 3


def test_what_another_replica_keeps_changing_is_left_to_the_next_time() -> None:
    cluster = Cluster(pod("one"))

    def change() -> None:
        cluster.roles = {name: (version + 1, rules) for name, (version, rules) in cluster.roles.items()}

    cluster.meanwhile = change
    with pytest.raises(TemporaryError):
        cluster.forwarding().tick()


def test_a_role_that_an_administrator_has_removed_keeps_nobody_else_out() -> None:
    cluster = Cluster(pod("one"))
    del cluster.roles["orchestune-owner"]
    cluster.forwarding().tick()
    assert cluster.reachable() == [["one"]] * 2

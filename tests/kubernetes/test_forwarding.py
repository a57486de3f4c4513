"""People forward ports to the pods of the server, and to no other pod of its namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestune.client.clusters import ConnectedCluster
from orchestune.client.tunnels.api_server import api_server
from orchestune.client.tunnels.server_pod import Pod, ready
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.kubeapi.errors import PermissionMissing
from orchestune.kubeapi.forwarding import FORWARDING
from tests.kubernetes.lab import Lab, bind, kubeconfig_of
from tests.kubernetes.test_following import another
from tests.kubernetes.test_promises import SERVER, connected, launch, running
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.machine import Broken
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def lab(kubernetes: Access, shared_namespace: str, registry: Registry, server_image: str) -> Iterator[Lab]:
    with connected(kubernetes, shared_namespace, registry, server_image) as new_lab:
        yield new_lab


@pytest.fixture(scope="module")
def people(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A kubeconfig for each role, of a user who has this role and no other right."""
    folder = tmp_path_factory.mktemp("people")
    files = {}
    for role in SERVER_ROLES:
        files[role] = kubeconfig_of(lab.cluster, f"a-{role}", lab.namespace, folder / role)
        bind(lab.cluster, lab.namespace, f"a-{role}", role)
    return files


@pytest.fixture(scope="module")
def foreign(lab: Lab, shell: str) -> str:
    """A pod of another program, in the server's namespace, with a listener that trusts 127.0.0.1."""
    command = ["sh", "-c", "while true; do echo secret | nc -l -s 127.0.0.1 -p 8470; done"]
    container = {"name": "postgres", "image": shell, "command": command}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "foreign"}, "spec": {"containers": [container]}}
    lab.cluster.apply(pod, namespace=lab.namespace)
    until("the foreign pod to run", lambda: lab.cluster.pod_phase(lab.namespace, "foreign") == "Running")
    return "foreign"


def names(lab: Lab, selector: str = SERVER, only: Callable[[Pod], bool] = lambda pod: True) -> list[str]:
    """The pods that run, and are not about to go."""
    return sorted(pod["metadata"]["name"] for pod in running(lab, selector) if only(pod))


def reachable(lab: Lab, role: str) -> list[Any]:
    """The names in each rule of a Role that lets ports be forwarded; None stands for all pods."""
    rules = lab.cluster.json("get", "role", f"orchestune-{role}", "-n", lab.namespace)["rules"]
    return [rule.get("resourceNames") for rule in rules if FORWARDING in rule["resources"]]


def forward(lab: Lab, kubeconfig: Path, pod: str) -> None:
    """Open the websocket that the command line uses, and close it. Forbidden if the API server refuses it."""
    server = api_server(ConnectedCluster(lab.name, "kubernetes", str(kubeconfig), None, lab.namespace), {})
    server.websocket(f"/api/v1/namespaces/{lab.namespace}/pods/{pod}/portforward?ports=8470", 10.0).close()


def assert_reached(lab: Lab, kubeconfig: Path) -> None:
    """The command line of this person reaches the server."""
    with another(lab, kubeconfig) as other:
        other.home.run("status", "--cluster", lab.name)


@pytest.mark.parametrize("role", SERVER_ROLES)
def test_a_pod_that_is_not_the_servers_is_refused(
    lab: Lab, people: dict[str, Path], foreign: str, shell: str, role: str
) -> None:
    handle = launch(lab, shell, run="sleep 1000; echo score={x}", budget=1)
    worker = until("a worker", lambda: names(lab, "app.kubernetes.io/component=worker"))[0]
    for pod in (worker, foreign):
        with pytest.raises(PermissionMissing, match=f"you may not (create|get) {FORWARDING}"):
            forward(lab, people[role], pod)
        with pytest.raises(Broken, match=f'cannot create resource "{FORWARDING}"'):  # kubectl asks by POST
            lab.cluster.kubectl(
                "port-forward", f"pod/{pod}", ":8470", "-n", lab.namespace, "--kubeconfig", str(people[role])
            )
    forward(lab, people[role], names(lab)[0])
    assert_reached(lab, people[role])
    lab.home.run("stop", handle)


def test_the_next_pod_of_the_server_is_reached_and_the_last_one_is_forgotten(lab: Lab, people: dict[str, Path]) -> None:
    before = names(lab)
    lab.cluster.kubectl("delete", "pod", "-n", lab.namespace, "-l", SERVER, "--wait=false")
    until("a new pod to be ready", lambda: set(names(lab, only=ready)) - set(before))
    assert set(names(lab)) <= set(reachable(lab, "viewer")[0]), "its name is there before it is ready"
    for kubeconfig in people.values():
        assert_reached(lab, kubeconfig)
    until(
        "the Roles to name the new pod alone",
        lambda: all(reachable(lab, role) == [names(lab)] for role in SERVER_ROLES),
        describe=lambda: [reachable(lab, role) for role in SERVER_ROLES],
    )


@pytest.mark.parametrize("rules", ["all pods", "another pod", "none"])
def test_a_role_that_was_applied_anew_is_corrected(lab: Lab, people: dict[str, Path], foreign: str, rules: str) -> None:
    present = lab.cluster.json("get", "role", "orchestune-viewer", "-n", lab.namespace)
    others = [rule for rule in present["rules"] if FORWARDING not in rule["resources"]]
    rule = {"apiGroups": [""], "resources": [FORWARDING], "verbs": ["create", "get"]}
    added = {"all pods": [rule], "another pod": [{**rule, "resourceNames": [foreign]}], "none": []}[rules]
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "orchestune-viewer"}}
    lab.cluster.apply({**head, "rules": [*others, *added]}, namespace=lab.namespace)
    assert_reached(lab, people["viewer"])
    until("the Role to be corrected", lambda: reachable(lab, "viewer") == [names(lab)])
    with pytest.raises(PermissionMissing):
        forward(lab, people["viewer"], foreign)


def test_an_upgrade_keeps_the_way_to_the_server(lab: Lab, people: dict[str, Path], server_image: str) -> None:
    lab.run("upgrade", "--server-image", server_image)
    assert reachable(lab, "viewer") == [names(lab)]
    assert_reached(lab, people["viewer"])


def test_who_may_use_the_server_passes_the_test_of_the_rights(lab: Lab, people: dict[str, Path]) -> None:
    with another(lab, people["editor"]) as other:
        checks = {finding["name"]: finding for finding in other.json("test")}
    assert checks["rights"]["state"] == "ok"


def test_the_server_may_not_give_people_what_it_does_not_hold(lab: Lab) -> None:
    account = f"--as=system:serviceaccount:{lab.namespace}:orchestune-server"
    patch = '{"rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}]}'
    for role, refusal in (
        ("orchestune-viewer", "attempting to grant RBAC permissions"),
        ("orchestune-server", "cannot get resource"),
    ):
        with pytest.raises(Broken, match=refusal):
            lab.cluster.kubectl("patch", "role", role, "-n", lab.namespace, "--type=merge", "-p", patch, account)

"""With exactly the documented rights everything works; with one missing the error names verb and resource."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestune.clusters.existing import permissions, provisioner
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.permissions import ResourcePermission
from orchestune.kubeapi.errors import PermissionMissing
from tests.kubernetes.lab import Lab, bind, kubeconfig_of, role, wait_until_gone
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

pytestmark = pytest.mark.timeout(900)


def documented(namespace: str) -> list[ResourcePermission]:
    """The rules in docs/how-to/permissions.md for users who deploy, destroy and build."""
    connection = ConnectionSettings("lab", namespace, registry="x")
    steps = (permissions.to_deploy, permissions.to_destroy, permissions.to_build)
    return permissions.distinct([right for step in steps for right in step(connection)])


def rules(rights: Sequence[ResourcePermission]) -> list[dict[str, Any]]:
    verbs_of: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        verbs_of.setdefault((right.group, right.resource, right.name), []).append(right.verb)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": verbs} | ({"resourceNames": [name]} if name else {})
        for (group, resource, name), verbs in verbs_of.items()
    ]


def allow(cluster: Access, namespace: str, account: str, rights: Sequence[ResourcePermission]) -> None:
    """The account may do this, and nothing else."""
    cluster.apply(*role(f"of-{account}", namespace, rules(rights), account))


def effective(api: ContextClient, missing: ResourcePermission, permitted: ResourcePermission) -> None:
    """Return once the API server has taken a changed Role up."""
    until(f"only {missing} to be gone", lambda: permissions.missing(api, [missing, permitted]) == [missing])


@pytest.fixture
def deployer(kubernetes: Access, namespace: str, tmp_path: Path) -> Path:
    """A kubeconfig of a user who has no right yet."""
    return kubeconfig_of(kubernetes, "deployer", namespace, tmp_path / "deployer.kubeconfig")


@pytest.fixture
def lab(kubernetes: Access, namespace: str, registry: Registry, deployer: Path) -> Iterator[Lab]:
    with Lab(kubernetes, namespace, registry, deployer) as new_lab:
        yield new_lab
        new_lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)


def test_with_exactly_the_documented_rights_everything_works(lab: Lab, server_image: str, shell: str) -> None:
    rights = documented(lab.namespace)
    assert all(right.namespace == lab.namespace for right in rights), "nothing of it goes beyond the namespace"
    allow(lab.cluster, lab.namespace, "deployer", rights)
    result = lab.connect("--server-image", server_image)
    assert result.stdout.startswith(f"{lab.name}: connected as owner")
    assert "without the administrator's manifests" in result.stderr
    folder = lab.experiment(shell, budget=2)
    lab.home.run("run", "--cluster", lab.name, cwd=folder)
    status = lab.json("status")
    assert all(machine["others"] is None for machine in status["machines"])
    findings = {finding["name"]: finding for finding in lab.json("test")}
    assert findings["overview"]["state"] == "warning" and findings["server"]["state"] == "ok"
    lab.run("destroy", "--yes")
    wait_until_gone(lab)
    assert [item["counts"]["completed"] for item in lab.home.json("status", "--cluster", "local")] == [2]


def test_each_missing_right_is_named_with_verb_and_resource(kubernetes: Access, namespace: str, deployer: Path) -> None:
    api, administrator, rights = (
        ContextClient(str(deployer)),
        ContextClient(str(kubernetes.kubeconfig)),
        documented(namespace),
    )
    allow(kubernetes, namespace, "deployer", rights)
    role_of_deployer = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/of-deployer"
    for missing_right in rights:
        remaining_rules = rules([right for right in rights if right != missing_right])
        administrator.call("PATCH", role_of_deployer, {"rules": remaining_rules}, "application/merge-patch+json")
        other = next(right for right in rights if right != missing_right)
        effective(api, missing=missing_right, permitted=other)
        with pytest.raises(PermissionMissing) as caught:
            provisioner.check_rights(api, [other, missing_right], "deploy")
        assert caught.value.message == f"this user lacks rights to deploy: {missing_right}"
        assert missing_right.verb in caught.value.message and missing_right.resource in caught.value.message


def test_a_command_without_a_right_says_which_one_and_changes_nothing(lab: Lab, server_image: str) -> None:
    rights = documented(lab.namespace)
    space = lab.namespace
    for verb, resource, group in (("create", "deployments", "apps"), ("watch", "jobs", "batch")):
        left_out = ResourcePermission(verb, resource, group, space)
        assert left_out in rights
        allow(lab.cluster, space, "deployer", [right for right in rights if right != left_out])
        effective(ContextClient(str(lab.kubeconfig)), missing=left_out, permitted=rights[0])
        refused = lab.connect("--server-image", server_image, expect=None)
        assert refused.returncode != 0
        assert f"lacks rights to deploy into {space}: {verb} {resource}.{group}" in refused.stderr
        assert lab.ours() == []


@pytest.mark.long  # the short form is in test_promises
def test_a_viewer_looks_and_cannot_stop_what_an_editor_starts(
    lab: Lab, server_image: str, shell: str, tmp_path: Path
) -> None:
    allow(lab.cluster, lab.namespace, "deployer", documented(lab.namespace))
    lab.connect("--server-image", server_image)
    labs = {}
    for name in ("viewer", "editor"):
        kubeconfig = kubeconfig_of(lab.cluster, name, lab.namespace, tmp_path / name)
        bind(lab.cluster, lab.namespace, name, name)
        labs[name] = Lab(lab.cluster, lab.namespace, lab.registry, kubeconfig)
    with labs["viewer"] as viewer, labs["editor"] as editor:
        assert viewer.connect().stdout.startswith(f"{lab.name}: connected as viewer")
        assert editor.connect().stdout.startswith(f"{lab.name}: connected as editor")
        folder = editor.experiment(shell, run="sleep 1000; echo score={x}")
        editor.home.run("run", "--cluster", lab.name, "--detach", cwd=folder)
        statuses = viewer.home.json("status", "--cluster", lab.name)
        assert [item["name"] for item in statuses] == ["shell"]
        handle = statuses[0]["handle"]
        refused = viewer.home.run("stop", handle, "--cluster", lab.name, expect=None)
        assert refused.returncode != 0 and "is a viewer of this server (expected an editor)" in refused.stderr
        assert viewer.home.json("status", handle, "--cluster", lab.name)["desired"] == "running"
        assert viewer.run("destroy", "--yes", expect=None).returncode != 0
        editor.home.run("stop", handle, "--cluster", lab.name)


def test_a_server_that_may_not_start_workers_says_so(lab: Lab, server_image: str, shell: str) -> None:
    allow(lab.cluster, lab.namespace, "deployer", documented(lab.namespace))
    lab.connect("--server-image", server_image)
    role_document = lab.cluster.json("get", "role", "orchestune-server", "-n", lab.namespace)
    for rule in role_document["rules"]:
        if rule["resources"] == ["jobs"]:
            rule["verbs"].remove("create")
    role_document["metadata"].pop("managedFields", None)
    lab.cluster.apply(role_document)
    folder = lab.experiment(shell, budget=1)
    lab.home.run("run", "--cluster", lab.name, "--detach", cwd=folder)

    def why() -> str:
        item = lab.home.json("status", "--cluster", lab.name)[0]
        return str(item["reason"]["message"]) if item["reason"] else ""

    until("the reason", lambda: "create jobs" in why(), describe=why)

"""Putting the server into a cluster and taking it away, step by step, against a cluster in memory."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from orchestune.clusters.existing import permissions, plan, provisioner
from orchestune.clusters.existing.config import SERVER, ConnectionSettings, checked
from orchestune.clusters.existing.objects import path
from orchestune.clusters.existing.permissions import ResourcePermission
from orchestune.clusters.existing.rights import account, role_rules, server_rules
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.errors import BadInput, Conflict, NotFound, OrchestuneError, UsageError
from orchestune.kubeapi.errors import PermissionMissing
from orchestune.kubeapi.forwarding import FORWARDING
from orchestune.kubeapi.labels import OWN_LABELS, SERVERS
from tests.unit.clusters.world import World

URL = "postgresql://db/x"
LAB = ConnectionSettings("lab", "ml", server_image="registry.lab/server@sha256:" + "ab" * 32)


class Interrupted(Exception):
    """Raised when a user presses Ctrl-C."""


class Ready(World):
    """A cluster with Deployments that are ready at once; interrupted before the change number `at`."""

    def __init__(self, *documents: dict[str, Any], at: int | None = None) -> None:
        self.at: int | None = None
        self.changes = 0
        super().__init__(*documents)
        self.at = at

    def _count(self) -> None:
        self.changes += 1
        if self.at is not None and self.changes > self.at:
            raise Interrupted

    def apply(self, document: dict[str, Any]) -> dict[str, Any]:
        self._count()
        if document["kind"] == "Deployment":
            status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
            metadata = {**document["metadata"], "generation": 1}
            return super().apply({**document, "metadata": metadata, "status": status})
        return super().apply(document)

    def create(self, document: dict[str, Any]) -> dict[str, Any]:
        self._count()
        return super().create(document)

    def delete(self, document: dict[str, Any]) -> bool:
        self._count()
        return super().delete(document)


def deploy(world: World, connection: ConnectionSettings = LAB, **options: Any) -> None:
    """Deploy by the settings that the cluster has now, unless `options` name a version of them."""
    present = provisioner.present(world.api, "ml")
    options = {"version": present.version if present is not None else None, **options}
    provisioner.deploy(world.api, connection, lambda text: None, **options)


def test_a_server_that_comes_back_has_something_to_copy_again() -> None:
    world = Ready()
    deploy(world)
    provisioner.mark_archived(world.api, LAB)
    server = provisioner.present(world.api, "ml")
    assert server is not None and server.archived
    deploy(world)
    server = provisioner.present(world.api, "ml")
    assert server is not None and not server.archived


def storage_class(name: str, default: bool, key: str = "storageclass.kubernetes.io/is-default-class") -> dict[str, Any]:
    annotations = {key: "true"} if default else {}
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata}


def test_a_connect_that_was_interrupted_anywhere_is_completed_by_the_next_one() -> None:
    whole = Ready()
    deploy(whole)
    for at in range(whole.changes):
        world = Ready(at=at)
        with pytest.raises(Interrupted):
            deploy(world)
        server = provisioner.present(world.api, "ml")
        assert server is None or not server.current
        world.at = None
        deploy(world)
        assert world.objects == whole.objects
        server = provisioner.present(world.api, "ml")
        assert server is not None and server.current and server.connection == LAB


def test_settings_that_another_command_has_changed_since_they_were_read_are_not_overwritten() -> None:
    """Else an allowance that was taken back meanwhile would come again."""
    world = Ready()
    deploy(world, LAB.with_changes({"allow": ["host-pid"]}))
    before = provisioner.present(world.api, "ml")
    assert before is not None
    deploy(world, LAB.with_changes({"disallow": ["host-pid"]}), version=before.version)
    world.objects["/api/v1/namespaces/ml/configmaps/orchestune-config"]["metadata"]["resourceVersion"] = "2"
    with pytest.raises(Conflict, match="another command has changed the ConfigMap"):
        deploy(world, before.connection.with_changes({"elastic": True}), version=before.version)
    after = provisioner.present(world.api, "ml")
    assert after is not None and after.connection == LAB and after.current


class Interleaved(Ready):
    """Lets another command act before the change number `at`."""

    def __init__(self, at: int) -> None:
        self.other: Callable[[], None] = lambda: None
        super().__init__(at=at)

    def _count(self) -> None:
        self.changes += 1
        if self.at is not None and self.changes > self.at:
            self.at = None
            self.other()


def key_of(world: World) -> str:
    key: str = world.objects["/api/v1/namespaces/ml/secrets/orchestune-server"]["data"]["key"]
    return key


def connect_first(world: World, connection: ConnectionSettings, url: str) -> ConnectionSettings:
    """Deploy if no settings exist; continue from those of another command if it was faster, as `connect` does."""
    try:
        deploy(world, connection, database_url=url, version=None)
    except provisioner.Overtaken:
        present = provisioner.present(world.api, "ml")
        assert present is not None
        deploy(world, present.connection, database_url=url)
        return present.connection
    return connection


def connect_and_note(
    world: World, connection: ConnectionSettings, connections: list[ConnectionSettings], keys: list[str]
) -> None:
    connections.append(connect_first(world, connection, URL))
    keys.append(key_of(world))


def test_of_two_first_connects_at_the_same_time_one_wins_and_the_other_goes_on_from_its_settings() -> None:
    """At any step of the first one at which the second one runs, no allow-list and no key is replaced."""
    changes = {"database": True, "files": "s3://lab/files", "create_namespace": True}
    ada, bob = (LAB.with_changes({**changes, "allow": [text]}) for text in ("claim:ada", "claim:bob"))
    alone = Ready()
    connect_first(alone, ada, URL)
    winners = set()
    for at in range(alone.changes):
        world, by_bob, keys = Interleaved(at), list[ConnectionSettings](), list[str]()
        world.other = partial(connect_and_note, world, bob, by_bob, keys)
        by_ada = connect_first(world, ada, URL)
        present = provisioner.present(world.api, "ml")
        assert present is not None and present.current
        assert [by_ada, *by_bob] == [present.connection] * 2
        assert keys == [key_of(world)]
        winners.add(present.connection.allow)
    assert winners == {ada.allow, bob.allow}


def test_who_deploys_settings_that_another_command_has_changed_meanwhile_has_to_go_on_from_those() -> None:
    """Otherwise the server would run by older settings than those in the cluster, and no command would say so."""
    elastic, amd = LAB.with_changes({"elastic": True}), LAB.with_changes({"gpu_resource": "amd.com/gpu"})
    alone = Ready()
    deploy(alone)
    alone.changes = 0
    deploy(alone, amd)
    for at in range(1, alone.changes):
        world = Interleaved(at)
        world.at = None
        deploy(world)
        world.changes, world.at, world.other = 0, at, partial(deploy, world, elastic)
        with pytest.raises(provisioner.Overtaken, match="another command has changed the ConfigMap"):
            deploy(world, amd)
        present = provisioner.present(world.api, "ml")
        assert present is not None and present.connection == elastic
        deploy(world, present.connection)
        present = provisioner.present(world.api, "ml")
        assert present is not None and present.current


def test_the_key_of_workers_is_that_of_the_connect_which_created_it() -> None:
    connection = LAB.with_changes({"database": True, "files": "s3://lab/files"})
    secret = "/api/v1/namespaces/ml/secrets/orchestune-server"
    keys: list[str] = []

    class Slow(Ready):
        """A cluster in which the first creation of the Secret comes after that of another command."""

        def create(self, document: dict[str, Any]) -> dict[str, Any]:
            if document["kind"] == "Secret" and not keys:
                super().create(plan.database_secret(connection, "postgresql://other/x", b"the key"))
                keys.append(key_of(self))
            return super().create(document)

    world = Slow()
    deploy(world, connection, database_url=URL)
    assert keys == [key_of(world)]
    assert world.objects[secret]["data"]["database-url"] == base64.b64encode(URL.encode()).decode()


def test_settings_that_reached_the_cluster_but_not_the_server_are_seen() -> None:
    world = Ready()
    deploy(world)
    changed = LAB.with_changes({"gpu_resource": "amd.com/gpu"})
    world.apply(plan.settings(changed))
    server = provisioner.present(world.api, "ml")
    assert server is not None and server.deployed and not server.current


def test_a_claim_that_is_there_is_left_as_it_is() -> None:
    world = Ready()
    deploy(world)
    world.applied.clear()
    deploy(world, LAB.with_changes({"size": "50Gi"}))
    assert not [path for path in world.applied if "persistentvolumeclaims" in path]


def test_a_removal_that_was_interrupted_anywhere_is_completed_by_the_next_one() -> None:
    foreign = plan.service(LAB) | {"metadata": {"name": "somebody", "namespace": "ml", "labels": {}}}
    whole = Ready(foreign)
    deploy(whole, grant=True)
    before = whole.changes
    provisioner.remove(whole.api, LAB, lambda text: None)
    assert list(whole.objects.values()) == [foreign]
    for at in range(whole.changes - before):
        world = Ready(foreign)
        deploy(world, grant=True)
        world.changes, world.at = 0, at
        with pytest.raises(Interrupted):
            provisioner.remove(world.api, LAB, lambda text: None)
        world.at = None
        provisioner.remove(world.api, LAB, lambda text: None)
        assert list(world.objects.values()) == [foreign]


def test_the_settings_go_last_so_that_an_interrupted_removal_knows_where_it_was() -> None:
    assert provisioner.REMOVED[-1] == ("v1", "ConfigMap")
    assert provisioner.REMOVED[0] == ("apps/v1", "Deployment")


@pytest.mark.parametrize("kind", ["Secret", "Service", "ConfigMap"])
def test_the_namespace_stays_while_something_of_others_is_in_it(kind: str) -> None:
    connection = LAB.with_changes({"create_namespace": True})
    foreign = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "theirs", "namespace": "ml"}}
    world, messages = Ready(foreign), list[str]()
    deploy(world, connection)
    provisioner.remove(world.api, connection, messages.append)
    assert set(world.objects) == {"/api/v1/namespaces/ml", path(foreign)}
    assert f"{kind} theirs in it is not ours" in messages[-1]


def test_a_namespace_that_we_made_goes_when_nothing_else_is_in_it() -> None:
    connection = LAB.with_changes({"create_namespace": True})
    root = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": "ml"}}
    world = Ready(root)
    deploy(world, connection)
    assert "Namespace ml" in provisioner.remove(world.api, connection, lambda text: None)
    assert "/api/v1/namespaces/ml" not in world.objects


def test_a_namespace_that_was_there_before_stays() -> None:
    connection = LAB.with_changes({"create_namespace": True})
    before = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ml", "labels": {"team": "vision"}}}
    world = Ready(before)
    deploy(world, connection)
    provisioner.remove(world.api, connection, lambda text: None)
    assert list(world.objects.values()) == [before]
    world = Ready()
    deploy(world, connection)
    world.objects["/api/v1/namespaces/ml"]["metadata"]["labels"] = dict.fromkeys(OWN_LABELS, "somebody")
    provisioner.remove(world.api, connection, lambda text: None)
    assert "/api/v1/namespaces/ml" in world.objects


def test_a_namespace_that_we_made_goes_also_where_nothing_else_was_left_to_tell_of_it() -> None:
    world = Ready(plan.namespace(LAB))
    assert provisioner.present(world.api, "ml") is None
    assert provisioner.remove(world.api, ConnectionSettings("lab", "ml"), lambda text: None) == ["Namespace ml"]
    assert world.objects == {}


class Veiled(Ready):
    """A cluster with a user who may not read namespaces."""

    def get(self, version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        if kind == "Namespace" and self.at is not None:
            raise PermissionMissing("this user may not get namespaces in the whole cluster")
        return super().get(version, kind, name, namespace)


@pytest.mark.parametrize(
    ("creates_namespace", "notes"), [(False, []), (True, ["the namespace ml stays: this user may not read it"])]
)
def test_who_may_not_look_at_the_namespace_removes_all_that_is_in_it(creates_namespace: bool, notes: list[str]) -> None:
    connection = LAB.with_changes({"create_namespace": creates_namespace})
    world, messages = Veiled(), list[str]()
    deploy(world, connection)
    world.at = 1000
    provisioner.remove(world.api, connection, messages.append)
    assert messages == notes and {*world.objects} <= {"/api/v1/namespaces/ml"}


class Guarded(Ready):
    """A cluster with a user who may remove all but the namespace."""

    def delete(self, document: dict[str, Any]) -> bool:
        if document["kind"] == "Namespace":
            raise PermissionMissing("this user may not delete namespaces in the whole cluster")
        return super().delete(document)


def test_who_may_not_remove_the_namespace_removes_all_that_is_in_it_and_is_told() -> None:
    connection = LAB.with_changes({"create_namespace": True})
    world, messages = Guarded(), list[str]()
    deploy(world, connection)
    provisioner.remove(world.api, connection, messages.append)
    assert {*world.objects} == {"/api/v1/namespaces/ml"}
    assert messages == ["the namespace ml stays: this user may not delete namespaces in the whole cluster"]


class Ending(Ready):
    """A Job whose pod has 600 seconds to end in, and takes `seconds` from when the Job is deleted."""

    def __init__(self, seconds: float) -> None:
        labels = {"labels": dict(OWN_LABELS), "namespace": "ml"}
        self.now, self.seconds = 0.0, seconds
        self.job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", **labels}}
        spec = {"terminationGracePeriodSeconds": 600, "nodeName": "n1"}
        self.pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **labels}, "spec": spec}
        super().__init__(self.job, self.pod)

    def delete(self, document: dict[str, Any]) -> bool:
        if document["kind"] != "Job":
            return super().delete(document)
        self.objects[path(self.pod)]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return True

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.seconds:
            self.objects.pop(path(self.job), None)
            self.objects.pop(path(self.pod), None)

    def remove(self, note: Callable[[str], None]) -> list[str]:
        return provisioner.remove(self.api, LAB, note, clock=lambda: self.now, sleep=self.sleep)


def test_workers_have_the_time_to_end_that_they_were_promised() -> None:
    world, messages = Ending(650.0), list[str]()
    assert world.remove(messages.append) == ["Job j"]
    assert messages == ["waiting for Pod p on n1 to terminate"]


def test_what_does_not_end_is_named_with_its_machine() -> None:
    world = Ending(10_000.0)
    with pytest.raises(OrchestuneError, match="deleted a Job: Pod p on n1 is still terminating") as caught:
        world.remove(lambda text: None)
    assert "kubectl -n ml delete pod NAME --force" in caught.value.hint and world.now < 1000


def test_without_a_default_storage_class_somebody_has_to_choose() -> None:
    world = World(storage_class("slow", False))
    with pytest.raises(UsageError, match="no default StorageClass") as caught:
        provisioner.check_storage(world.api, LAB)
    assert "there are slow" in caught.value.hint
    provisioner.check_storage(World(storage_class("slow", True)).api, LAB)
    older = storage_class("slow", True, "storageclass.beta.kubernetes.io/is-default-class")
    provisioner.check_storage(World(older).api, LAB)
    provisioner.check_storage(world.api, LAB.with_changes({"storage_class": "slow"}))
    with pytest.raises(UsageError, match="no StorageClass fast; there are slow"):
        provisioner.check_storage(world.api, LAB.with_changes({"storage_class": "fast"}))
    with pytest.raises(NotFound, match="no claim disk"):
        provisioner.check_storage(world.api, LAB.with_changes({"claim": "disk"}))
    provisioner.check_storage(world.api, LAB.with_changes({"database": True, "files": "s3://lab/files"}))


def test_a_database_alone_does_not_keep_the_files() -> None:
    with pytest.raises(UsageError, match="no persistent storage"):
        provisioner.check_storage(World().api, LAB.with_changes({"database": True}))


def test_every_right_that_is_missing_is_named_before_anything_is_done() -> None:
    world = World()
    world.denied = frozenset({"create deployments", "watch jobs"})
    with pytest.raises(PermissionMissing) as caught:
        provisioner.check_rights(world.api, permissions.to_deploy(LAB), "deploy")
    assert "create deployments.apps" in caught.value.message
    assert "watch jobs.batch" in caught.value.message
    assert not world.objects


def test_who_lacks_rights_is_told_who_has_them() -> None:
    world = World(denied=frozenset({"create deployments"}))
    with pytest.raises(PermissionMissing) as caught:
        provisioner.check_rights(world.api, permissions.to_deploy(LAB), "deploy")
    assert "`kubectl -n ml create rolebinding NAME --clusterrole=admin --user=USER`" in caught.value.hint
    world.denied = frozenset({"create namespaces"})
    with pytest.raises(PermissionMissing) as caught:
        provisioner.check_rights(world.api, permissions.to_deploy(replace(LAB, create_namespace=True)), "deploy")
    assert "ask an administrator of the cluster to create the namespace" in caught.value.hint


def test_a_namespace_that_is_not_there_is_made_only_where_that_is_said() -> None:
    with pytest.raises(NotFound, match="there is no namespace ml in the cluster"):
        provisioner.check_namespace(World().api, LAB)
    provisioner.check_namespace(World().api, replace(LAB, create_namespace=True))
    provisioner.check_namespace(World(plan.namespace(LAB)).api, LAB)


def test_secrets_that_are_named_have_to_be_there() -> None:
    settings = replace(LAB, pull_secrets=("pulling",), env_secret="bucket")
    with pytest.raises(NotFound, match="no Secret pulling in the namespace ml, which --pull-secret names"):
        provisioner.check_secrets(World(secret("bucket")).api, settings)
    with pytest.raises(NotFound, match="no Secret bucket in the namespace ml, which --env-secret names"):
        provisioner.check_secrets(World(secret("pulling")).api, settings)
    provisioner.check_secrets(World(secret("bucket"), secret("pulling")).api, settings)
    provisioner.check_secrets(World().api, replace(LAB, env_secret=""))


def secret(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "ml"}}


def test_what_is_handed_on_to_the_server_must_be_held() -> None:
    rights = permissions.to_deploy(LAB)
    assert ResourcePermission("watch", "pods", "", "ml") in rights
    assert ResourcePermission("create", "serviceaccounts/token", "", "ml", "orchestune-owner") in rights
    assert not [right for right in rights if right.namespace is None], "everything is namespaced"


def test_a_person_needs_the_way_to_the_servers_pods_alone() -> None:
    rights = permissions.to_use(LAB, ["one", "two"])
    forwarding = [right for right in rights if right.resource == FORWARDING]
    assert forwarding == [ResourcePermission("create", FORWARDING, "", "ml", name) for name in ("one", "two")]


def test_the_server_holds_each_right_of_the_roles_that_it_updates() -> None:
    held = permissions.expand_rules(server_rules(LAB), "ml")
    for role in SERVER_ROLES:
        rights = permissions.expand_rules(role_rules(role, ["one"]), "ml")
        assert [right for right in rights if right not in held and replace(right, name="") not in held] == []


def test_roles_that_are_applied_again_lead_to_the_present_pods() -> None:
    spec, labels = {"serviceAccountName": SERVER}, {**SERVERS, "pod-template-hash": "1"}
    metadata = {"name": "one", "namespace": "ml", "labels": labels}
    world = Ready({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}})
    deploy(world)
    for role in SERVER_ROLES:
        applied = world.get("rbac.authorization.k8s.io/v1", "Role", account(role), "ml")
        assert applied is not None and applied["rules"] == role_rules(role, ["one"])


def test_what_the_cluster_says_of_itself_is_taken_up() -> None:
    world = World()
    world.groups = ("security.openshift.io", "kueue.x-k8s.io")
    settings = provisioner.discovered(world.api, LAB)
    assert (settings.user, settings.queues) == (None, True)
    assert provisioner.discovered(World().api, LAB) == LAB
    assert not provisioner.discovered(World().api, settings).queues, "Kueue has been removed"


def test_who_may_not_look_into_queues_connects_without_them() -> None:
    world = World(denied=frozenset({"watch workloads"}))
    world.groups = ("kueue.x-k8s.io",)
    assert not provisioner.discovered(world.api, LAB).queues
    assert provisioner.discovered(world.api, replace(LAB, queues=True)).queues, (
        "the rights are named when they are needed"
    )


def test_a_server_that_came_before_kueue_hears_of_it_from_who_may_deploy_it_and_others_leave_it_as_it_is() -> None:
    for denied, queues in ((frozenset[str](), True), (frozenset({"patch deployments"}), False)):
        world = World(denied=denied)
        assert provisioner.rediscovered(world.api, LAB) == LAB
        world.groups = ("kueue.x-k8s.io",)
        assert provisioner.rediscovered(world.api, LAB) == replace(LAB, queues=queues)


def test_the_key_of_a_server_without_a_disk_stays_when_its_database_moves() -> None:
    connection = LAB.with_changes({"database": True, "files": "s3://lab/files"})
    world = Ready()
    keys, addresses = [], []
    for address in ("postgresql://one/x", "postgresql://two/x"):
        deploy(world, connection, database_url=address)
        secret = world.objects["/api/v1/namespaces/ml/secrets/orchestune-server"]["data"]
        keys.append(secret["key"])
        addresses.append(secret["database-url"])
    assert keys[0] == keys[1] and addresses[0] != addresses[1]


def test_several_servers_share_only_a_claim_that_several_nodes_can_mount() -> None:
    connection = ConnectionSettings("lab", "ml", database=True, files="claim:shared", replicas=2)
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "shared", "namespace": "ml"}}
    with pytest.raises(NotFound, match="no claim shared in the namespace ml"):
        provisioner.check_storage(World().api, connection)
    once, many = ({**claim, "spec": {"accessModes": [mode]}} for mode in ("ReadWriteOnce", "ReadWriteMany"))
    with pytest.raises(UsageError, match=r"the access mode ReadWriteOnce \(expected ReadWriteMany\)"):
        provisioner.check_storage(World(once).api, connection)
    provisioner.check_storage(World(many).api, connection)
    provisioner.check_storage(World(once).api, replace(connection, replicas=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"files": "claim:Shared", "database": True}, "unsupported file storage: 'claim:Shared'"),
        ({"files": "claim:shared"}, "a claim for the files alone needs a PostgreSQL database"),
        ({"files": "claim:shared", "database": True, "allow": ("claim:shared",)}, "cannot allow 'claim:shared'"),
    ],
)
def test_files_on_a_claim_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        checked(replace(ConnectionSettings("lab", "ml"), **settings))

"""What stays of a destroyed cluster for colleagues, and the wait until nothing else is left."""

from __future__ import annotations

from typing import Any

from orchestune.clusters.existing import archive_record, plan, provisioner
from orchestune.clusters.existing.objects import path
from orchestune.clusters.existing.remaining import wait_until_gone
from orchestune.kubeapi.archive_record import ArchiveRecord
from orchestune.kubeapi.errors import PermissionMissing
from orchestune.kubeapi.labels import OWN_LABELS
from tests.unit.clusters.test_provisioner import LAB, Ready, deploy
from tests.unit.clusters.world import World

RECORD = ArchiveRecord("s3://team/lab", "ada", "2026-12-02T01:02:03Z")


def ignore(text: str) -> None:
    """Drop a note."""


def test_the_record_outlives_the_removal_and_goes_when_a_server_is_back() -> None:
    connection = LAB.with_changes({"create_namespace": True})
    world, notes = Ready(), list[str]()
    deploy(world, connection)
    archive_record.write(world.api, connection, RECORD, ignore)
    records = {path(document) for document in archive_record.documents(connection, RECORD)}
    provisioner.remove(world.api, connection, notes.append)
    assert world.objects.keys() == {"/api/v1/namespaces/ml", *records}
    assert notes == ["the namespace ml stays: its ConfigMap orchestune-archive says where the archive is"]
    data = world.objects["/api/v1/namespaces/ml/configmaps/orchestune-archive"]["data"]
    assert ArchiveRecord.from_data(data) == RECORD
    deploy(world, connection)
    assert not records & world.objects.keys()


def test_every_user_of_the_kubernetes_cluster_may_read_the_record_and_nothing_else() -> None:
    _, role, binding = archive_record.documents(LAB, RECORD)
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["orchestune-archive"]}
    ]
    assert [subject["name"] for subject in binding["subjects"]] == ["system:authenticated"]


class Unwilling(World):
    """A cluster whose user may not create Roles."""

    def apply(self, document: dict[str, Any]) -> dict[str, Any]:
        if document["kind"] == "Role":
            raise PermissionMissing("this user may not create roles")
        return super().apply(document)


def test_a_record_that_cannot_be_written_does_not_keep_the_cluster() -> None:
    world, notes = Unwilling(), list[str]()
    archive_record.write(world.api, LAB, RECORD, notes.append)
    assert notes == [
        "colleagues may not see where the archive is: Role orchestune-archive: this user may not create roles"
    ]
    assert len(world.objects) == 2


class Slow(World):
    """A claim and a namespace that are being deleted for some seconds."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds
        metadata = {"deletionTimestamp": "2026-01-01T00:00:00Z", "labels": dict(OWN_LABELS)}
        self.claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "orchestune-data", "namespace": "ml", "finalizers": ["example.org/keep"], **metadata
            },
        }  # fmt: skip
        condition = {"type": "NamespaceContentRemaining", "status": "True", "message": "1 resource is left"}
        self.namespace = plan.namespace(LAB) | {"status": {"conditions": [condition]}}
        self.namespace["metadata"] |= metadata
        super().__init__(self.claim, self.namespace)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.seconds:
            self.objects.clear()

    def wait(self, notes: list[str]) -> list[str]:
        return wait_until_gone(
            self.api, LAB, notes.append, with_namespace=True, clock=lambda: self.now, sleep=self.sleep
        )


def test_a_removal_is_waited_for_until_everything_is_gone() -> None:
    world, notes = Slow(30.0), list[str]()
    assert world.wait(notes) == []
    assert notes == ["waiting until PersistentVolumeClaim orchestune-data, Namespace ml is gone"]


def test_what_still_stands_is_named_with_the_reason() -> None:
    world = Slow(10_000.0)
    assert world.wait([]) == [
        "PersistentVolumeClaim orchestune-data is being deleted: its finalizers example.org/keep are not done",
        "Namespace ml is being deleted: 1 resource is left",
    ]
    assert world.now < 1000


def test_what_nobody_deletes_is_named_without_a_wait() -> None:
    world = World(*plan.administrators_part(LAB))
    assert wait_until_gone(world.api, LAB, ignore, with_namespace=False, sleep=lambda _: None) == [
        "ClusterRole orchestune-server-ml", "ClusterRoleBinding orchestune-server-ml",
    ]  # fmt: skip

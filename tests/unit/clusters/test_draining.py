"""Machines that go are emptied first; and what workloads have made outside a cluster goes before the cluster does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.draining import drain, reopen
from orchestune.clusters.existing.leftovers import clear
from orchestune.errors import NotFound, TemporaryError
from orchestune.kubeapi.labels import COMPONENT, OWN_LABELS

Manifest = dict[str, Any]
LABEL = "orchestune.dev/pool"


def pod(
    name: str, node: str = "", owner: str = "", namespace: str = "ml", phase: str = "Running", **labels: str
) -> Manifest:
    owners = [{"kind": owner}] if owner else []
    metadata = {"name": name, "namespace": namespace, "ownerReferences": owners, "labels": labels}
    return {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase}}


def thing(kind: str, name: str, namespace: str = "ml", **spec: Any) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


class Cluster:
    """An API server of a few objects; `guarded` pods have a disruption budget that lets none go."""

    def __init__(
        self,
        *objects: Manifest,
        guarded: tuple[str, ...] = (),
        undeletable: tuple[str, ...] = (),
        slow: tuple[str, ...] = (),
    ) -> None:
        self.there = list(objects)
        self.slow = slow
        self.guarded, self.kept = guarded, undeletable
        self.cordoned: set[str] = set()
        self.patched = 0
        self.evicted: list[str] = []
        self.deleted: list[str] = []
        self.now = 0.0

    @property
    def api(self) -> ContextClient:
        return cast(ContextClient, self)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def items(
        self, version: str, kind: str, namespace: str | None = None, selector: str | None = None
    ) -> Iterator[Manifest]:
        labels = dict(pair.split("=") for pair in selector.split(",")) if selector else {}
        for item in list(self.there):
            if item["kind"] == kind and labels.items() <= (item["metadata"].get("labels") or {}).items():
                yield {"apiVersion": version, **item}

    def call(
        self, method: str, place: str, body: Any = None, content_type: str = "application/json", **query: Any
    ) -> Manifest:
        name = place.split("/")[-1 if method == "PATCH" else -2]
        if method == "PATCH":
            closes = body["spec"] == {"unschedulable": True}
            assert closes or body["spec"] == {"unschedulable": None}
            (self.cordoned.add if closes else self.cordoned.discard)(name)
            [machine] = [item for item in self.there if item["kind"] == "Node" and item["metadata"]["name"] == name]
            machine["spec"]["unschedulable"] = closes
            machine["metadata"].setdefault("annotations", {}).update(body["metadata"]["annotations"])
            self.patched += 1
            return {}
        assert place.endswith("/eviction") and body["kind"] == "Eviction"
        manifest = next((item for item in self.there if item["metadata"]["name"] == name), None)
        if manifest is None:
            raise NotFound(name)
        if name in self.guarded:
            raise TemporaryError("a disruption budget forbids it")
        self.evicted.append(name)
        if name in self.slow:
            manifest["metadata"]["deletionTimestamp"] = "now"
        else:
            self.there.remove(manifest)
        return {}

    def delete(self, document: Manifest) -> bool:
        name = document["metadata"]["name"]
        self.deleted.append(f"{document['kind']} {name}")
        if name not in self.kept:
            self.there = [item for item in self.there if item["metadata"]["name"] != name]
            if document["kind"] == "PersistentVolumeClaim":
                self.there = [item for item in self.there if item["kind"] != "PersistentVolume"]
        return True


def _silent(text: str) -> None:
    return


def node(name: str, pool: str) -> Manifest:
    return {"kind": "Node", "metadata": {"name": name, "labels": {LABEL: pool}}, "spec": {}}


def test_a_pool_is_empty_once_its_pods_were_evicted_and_nothing_new_starts_there() -> None:
    cluster = Cluster(
        node("a", "old"), node("b", "new"), pod("trial", "a", "Job"), pod("plugin", "a", "DaemonSet"),
        pod("mirror", "a", "Node"), pod("over", "a", "Job", phase="Succeeded"), pod("other", "b", "Job"),
        pod("waiting"),
    )  # fmt: skip
    drain(cluster.api, LABEL, "old", clock=cluster.clock, sleep=cluster.sleep)
    assert cluster.cordoned == {"a"}
    assert cluster.evicted == ["trial"]


def test_workers_go_before_the_server_that_keeps_what_they_publish() -> None:
    worker = pod("trial", "a", "Job", **{**OWN_LABELS, COMPONENT: "worker"})
    cluster = Cluster(node("a", "old"), pod("server", "a", "ReplicaSet", **{**OWN_LABELS, COMPONENT: "server"}), worker,
                    slow=("trial",))  # fmt: skip
    evictions: list[list[str]] = []

    def sleep(seconds: float) -> None:
        evictions.append(list(cluster.evicted))
        if len(evictions) == 3:  # it has said goodbye
            cluster.there.remove(worker)

    drain(cluster.api, LABEL, "old", clock=cluster.clock, sleep=sleep)
    assert evictions[:3] == [["trial"]] * 3 and cluster.evicted == ["trial", "server"]


def test_a_pod_with_a_disruption_budget_is_waited_for_and_named_in_the_end() -> None:
    cluster = Cluster(node("a", "old"), pod("server", "a", "ReplicaSet"), guarded=("server",))
    with pytest.raises(TemporaryError, match="cannot drain the pool 'old': ml/server: a disruption budget forbids it"):
        drain(cluster.api, LABEL, "old", clock=cluster.clock, sleep=cluster.sleep)
    assert cluster.now > 600 and cluster.patched == 1


def test_a_pool_that_stays_after_all_is_opened_again_but_for_what_somebody_else_has_closed() -> None:
    theirs = node("c", "old")
    theirs["spec"]["unschedulable"] = True
    cluster = Cluster(node("a", "old"), theirs, node("d", "gone"), node("e", "new"), pod("server", "a", "ReplicaSet"),
                    guarded=("server",))  # fmt: skip
    with pytest.raises(TemporaryError, match="cannot drain the pool"):
        drain(cluster.api, LABEL, "old", clock=cluster.clock, sleep=cluster.sleep)
    drain(cluster.api, LABEL, "gone", clock=cluster.clock, sleep=cluster.sleep)
    assert cluster.cordoned == {"a", "d"}
    assert reopen(cluster.api, LABEL, {"old", "new"}) == ["a"]
    assert cluster.cordoned == {"d"} and theirs["spec"]["unschedulable"]
    assert reopen(cluster.api, LABEL, {"old", "new"}) == []


def test_a_pool_without_machines_is_empty() -> None:
    cluster = Cluster(node("b", "new"), pod("other", "b"))
    drain(cluster.api, LABEL, "old", clock=cluster.clock, sleep=cluster.sleep)
    assert cluster.evicted == []


VOLUME = thing(
    "PersistentVolume", "pvc-1", "", persistentVolumeReclaimPolicy="Delete", csi={"driver": "ebs.csi.aws.com"}
)


def test_load_balancers_and_disks_go_with_what_uses_them_and_the_cluster_itself_works_on() -> None:
    cluster = Cluster(
        thing("Service", "web", type="LoadBalancer"), thing("Service", "inner", type="ClusterIP"),
        thing("PersistentVolumeClaim", "data"), VOLUME, thing("Deployment", "server"), pod("loose"),
        pod("owned", owner="ReplicaSet"), thing("Deployment", "coredns", "kube-system"),
    )  # fmt: skip
    notes: list[str] = []
    clear(cluster.api, notes.append, clock=cluster.clock, sleep=cluster.sleep)
    remaining = {item["metadata"]["name"] for item in cluster.there}
    assert remaining == {"inner", "owned", "coredns"}
    assert len(notes) == 1 and notes[0].startswith("waiting for the cluster to delete")


def test_a_cluster_that_has_made_nothing_outside_is_left_as_it_is() -> None:
    cluster = Cluster(thing("Service", "inner", type="ClusterIP"), thing("Deployment", "server"), pod("loose"))
    clear(cluster.api, _silent, clock=cluster.clock, sleep=cluster.sleep)
    assert cluster.deleted == []


def test_disks_that_shall_be_kept_are_not_waited_for() -> None:
    volume = {**VOLUME, "spec": {**VOLUME["spec"], "persistentVolumeReclaimPolicy": "Retain"}}
    cluster = Cluster(
        volume, thing("PersistentVolume", "local", "", persistentVolumeReclaimPolicy="Delete", hostPath={})
    )
    clear(cluster.api, _silent, clock=cluster.clock, sleep=cluster.sleep)
    assert cluster.now == 0


def test_what_does_not_go_is_left_to_whoever_removes_the_cluster() -> None:
    cluster = Cluster(thing("Service", "web", type="LoadBalancer"), undeletable=("web",))
    notes: list[str] = []
    clear(cluster.api, notes.append, clock=cluster.clock, sleep=cluster.sleep)
    assert notes[-1] == "the cluster has not deleted: Service web"

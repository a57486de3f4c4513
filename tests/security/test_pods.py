"""An editor cannot become owner of a cluster's server, nor root on its nodes, by the pods that the server creates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestune.backends.kubernetes.backend import KubernetesBackend
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.controllers.policy_check import DRAIN_SECONDS
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import BadInput, PolicyRefused, TemporaryError
from orchestune.ports.backend import WorkerOrder
from orchestune.services.commands.change_experiment import Changes, change_experiment, resume, stop
from orchestune.store import workers
from tests.contract.world import SPACE, CoreWorld, FakeBackend, FakeWorker
from tests.security.pods_fixtures import Cluster, backend_on, replica_on
from tests.testbeds.seed import TOKEN, core_of
from tests.unit.server.harness import Live, live

SPECIFICATION = {
    "name": "attack",
    "run": "id",
    "parameters": SPACE,
    "metrics": [{"name": "loss", "goal": "minimize"}],
    "budget": 1,
    "parallelism": 1,
    "engine": "random",
}
HABANA = {"name": "HABANA_VISIBLE_DEVICES", "value": "all"}
ATTACKS: dict[str, tuple[dict[str, Any], str]] = {
    "server's account": ({"service_account": "orchestune-server"}, "service_account"),
    "server's disk": ({"volumes": [{"claim": "orchestune-data", "mount": "/mnt"}]}, "volumes[0].claim"),
    "root of the node": ({"volumes": [{"path": "/", "mount": "/host"}]}, "volumes[0].path"),
    "kubelet's sockets": ({"volumes": [{"path": "/var/lib/kubelet", "mount": "/k"}]}, "volumes[0].path"),
    "server's key": (
        {"pod": {"spec": {"volumes": [{"name": "k", "secret": {"secretName": "orchestune-server"}}]}}},
        "pod.spec.volumes[k].secret.secretName",
    ),
    "others' secrets": (
        {"pod": {"spec": {"containers": [{"name": "worker", "envFrom": [{"secretRef": {"name": "other"}}]}]}}},
        "pod.spec.containers[worker].envFrom[0].secretRef.name",
    ),
    "owner's token": (
        {"pod": {"spec": {"serviceAccountName": "orchestune-owner", "automountServiceAccountToken": True}}},
        "pod.spec.serviceAccountName",
    ),
    "projected token": (
        {"pod": {"spec": {"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {}}]}}]}}},
        "pod.spec.volumes[t].projected.sources[0].serviceAccountToken",
    ),
    "privileged": (
        {"pod": {"spec": {"containers": [{"name": "worker", "securityContext": {"privileged": True}}]}}},
        "pod.spec.containers[worker].securityContext.privileged",
    ),
    "node's processes": ({"pod": {"spec": {"hostPID": True}}}, "pod.spec.hostPID"),
    "two volumes in one": (
        {"pod": {"spec": {"volumes": [{"name": "orders", "hostPath": {"path": "/"}}]}}},
        "pod.spec.volumes[orders].hostPath",
    ),
    "others' accelerators": (
        {"pod": {"spec": {"containers": [{"name": "worker", "env": [HABANA]}]}}},
        "pod.spec.containers[worker].env[HABANA_VISIBLE_DEVICES]",
    ),
    "node by name": ({"pod": {"spec": {"nodeName": "control-plane"}}}, "pod.spec.nodeName"),
}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.hang_up()


@contextmanager
def serving(folder: Path, backend: KubernetesBackend) -> Iterator[tuple[Live, str]]:
    """A server whose workers run in the cluster, and an editor's token."""
    core = replace(core_of(folder), backends={"lab": backend}, default_cluster="lab")
    with live(core) as server:
        issued = server.ask("POST", "/api/v1/tokens", {"name": "eve", "role": "editor"}, token=TOKEN).json()
        yield server, str(issued["token"])
    backend.close()
    core.store.close()


def create(server: Live, token: str, placement: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    body = {"specification": {**SPECIFICATION, "placement": {"image": "x", **placement}}}
    reply = server.ask("POST", "/api/v1/experiments", body, token=token)
    return reply.status, reply.json()


def test_an_editor_is_refused_with_every_key_before_anything_is_created(tmp_path: Path, cluster: Cluster) -> None:
    with serving(tmp_path, backend_on(cluster)) as (server, token):
        for name, (placement, key) in ATTACKS.items():
            status, answer = create(server, token, placement)
            assert (status, answer["error"]["code"]) == (403, "policy_refused"), name
            assert key in [problem["key"] for problem in answer["error"]["problems"]], name
        assert server.ask("GET", "/api/v1/experiments", token=token).json()["items"] == []
        assert cluster.created == []
        status, answer = create(server, token, {})
        assert status == 201, f"an honest experiment is refused: {answer}"


def test_an_owner_of_the_server_is_no_administrator_of_the_cluster(tmp_path: Path, cluster: Cluster) -> None:
    with serving(tmp_path, backend_on(cluster)) as (server, _):
        for name, (placement, _) in ATTACKS.items():
            assert create(server, TOKEN, placement)[0] == 403, name


def test_what_the_administrator_allows_is_taken_and_nothing_beside_it(tmp_path: Path, cluster: Cluster) -> None:
    allow = ("claim:datasets", "service-account:trainer", "claim:disk")
    with serving(tmp_path, backend_on(cluster, *allow)) as (server, token):
        granted = {"service_account": "trainer", "volumes": [{"claim": "datasets", "mount": "/data"}]}
        assert create(server, token, granted)[0] == 201
        for name, (placement, _) in ATTACKS.items():
            assert create(server, token, placement)[0] == 403, name
        source = {"name": "v", "persistentVolumeClaim": {"claimName": "disk"}}
        for placement, key in (
            ({"volumes": [{"claim": "disk", "mount": "/data"}]}, "volumes[0].claim"),
            ({"pod": {"spec": {"volumes": [source]}}}, "pod.spec.volumes[v]"),
        ):
            status, answer = create(server, token, placement)
            assert status == 403 and "belongs to Orchestune's server" in answer["error"]["message"], key
            assert answer["error"]["problems"][0]["key"] == key


@pytest.mark.parametrize("name", ATTACKS)
def test_no_job_is_created_for_a_record_that_came_past_the_first_check(name: str, cluster: Cluster) -> None:
    backend = backend_on(cluster)
    placement = Placement.from_json({"image": "x", **ATTACKS[name][0]})
    try:
        with pytest.raises(PolicyRefused):
            backend.start(WorkerOrder("w-1", "e-1", "a-token", 1, placement=placement))
    finally:
        backend.close()
    assert cluster.created == []


def test_an_allow_list_that_became_shorter_pauses_that_experiment_alone(tmp_path: Path, cluster: Cluster) -> None:
    generous, strict = backend_on(cluster, "claim:datasets"), backend_on(cluster)
    world = CoreWorld(tmp_path, backend=cast(FakeBackend, generous))
    volumes = [{"claim": "datasets", "mount": "/data"}]
    try:
        reading = world.create(placement={"image": "x", "volumes": volumes})
        honest = world.create(placement={"image": "x"})
        world.close()
        world.backend = cast(FakeBackend, strict)
        world.open()
        for _ in range(3):
            for controller in world.controllers:
                controller.tick()
        paused, running = (world.status(each) for each in (reading, honest))
    finally:
        world.close()
        generous.close()
        strict.close()
    assert paused["desired"] == "paused"
    assert "volumes[0].claim: claim 'datasets' is not allowed" in paused["reason"]["message"]
    assert running["desired"] == "running"
    assert {job["metadata"]["labels"]["orchestune.dev/experiment"] for job in cluster.jobs()} == {honest}


def test_a_permission_that_was_taken_back_counts_for_the_next_job_of_each_running_replica(cluster: Cluster) -> None:
    placement = Placement.from_json({"image": "x", "volumes": [{"claim": "datasets", "mount": "/data"}]})
    first, second = (WorkerOrder(worker, "e-1", "a-token", 1, placement=placement) for worker in ("w-1", "w-2"))
    cluster.store_allow_list("claim:datasets")
    replicas = [replica_on(cluster) for _ in range(2)]
    try:
        for replica in replicas:
            replica.start(first)
        created = len(cluster.created)
        cluster.store_allow_list("capability:SYS_PTRACE")
        for replica in replicas:
            with pytest.raises(PolicyRefused, match="claim 'datasets' is not allowed"):
                replica.start(second)
            with pytest.raises(PolicyRefused):
                replica.refuse(Resources(), placement, {})
        del cluster.objects["/api/v1/namespaces/ml/configmaps/orchestune-config"]
        for replica in replicas:
            with pytest.raises(TemporaryError, match="cannot read the allow-list"):
                replica.start(second)
        assert len(cluster.created) == created
        cluster.store_allow_list("claim:datasets")
        replicas[0].start(second)
    finally:
        for replica in replicas:
            replica.close()
    assert len(cluster.created) > created


class Guarding(FakeBackend):
    """A place whose administrator may take everything back."""

    is_strict = False

    def refuse(self, each: Resources, placement: Placement, launch: Mapping[str, Any]) -> None:
        if self.is_strict:
            raise PolicyRefused.one("experiments may not have it", "pod.spec.hostPID", "leave it out")


def test_workers_that_run_end_when_the_allowance_of_their_experiment_is_taken_back(tmp_path: Path) -> None:
    backend = Guarding()
    world = CoreWorld(tmp_path, backend=backend)
    experiment = world.create(budget=10, parallelism=1)
    [(worker, _)] = world.lease()
    backend.is_strict = True
    world.close()
    world.open()
    world.tick()
    answer = worker.call()
    with pytest.raises(PolicyRefused):
        change_experiment(world.core, experiment, Changes(budget=1000), "ada")
    paused = world.status(experiment)
    world.close()
    assert paused["desired"] == "paused" and "pod.spec.hostPID" in paused["reason"]["message"]
    assert answer["drain"] and [order["state"] for order in answer["orders"]] == ["preempted"]


class Hijacked:
    """A worker that an experiment's code controls: it sends heartbeats, and ignores orders and the request to drain."""

    def __init__(self, world: CoreWorld, worker: FakeWorker, **claims: Any) -> None:
        self.world, self.worker, self.claims = world, worker, claims

    def stay(self, seconds: float) -> bool:
        """Let time pass. Return True if the worker was not terminated."""
        for _ in range(math.ceil(seconds)):
            self.world.clock.pass_time(1.0)
            if self.worker.id in self.world.workers:
                self.worker.call(**self.claims)
            self.world.tick()
        return self.worker.id not in self.world.backend.ended


@pytest.mark.parametrize("sends_files", [False, True])
def test_workers_that_ignore_their_orders_are_terminated_after_the_grace_period(
    tmp_path: Path, sends_files: bool
) -> None:
    """Also those that claim to send files, for which the worker of a stopped experiment gets minutes."""
    backend = Guarding()
    world = CoreWorld(tmp_path, backend=backend)
    experiment = world.create(budget=10, parallelism=1, grace=20)
    [(worker, _)] = world.lease()
    backend.is_strict = True
    world.close()
    world.open()
    world.tick()
    hijacked = Hijacked(world, worker, **({"sending": 1} if sends_files else {}))
    if sends_files:
        hijacked.stay(1)
        stop(world.core, experiment, "eve")
    stays = hijacked.stay(20 + DRAIN_SECONDS - 3)
    ends = not hijacked.stay(6)
    world.tick()
    with world.core.store.reading() as session:
        states = [row.state for row in workers.of_experiment(session, experiment)]
    world.close()
    assert stays and ends and states == ["ended"]


def test_workers_of_an_experiment_that_is_allowed_and_resumed_again_stay(tmp_path: Path) -> None:
    backend = Guarding()
    world = CoreWorld(tmp_path, backend=backend)
    experiment = world.create(budget=10, parallelism=1)
    [(former, _)] = world.lease()
    backend.is_strict = True
    world.close()
    world.open()
    world.tick()
    backend.is_strict = False
    resume(world.core, experiment, "ada")
    world.tick()
    [worker] = [worker for worker in world.workers.values() if worker is not former]
    stays = Hijacked(world, worker).stay(10 + 2 * DRAIN_SECONDS)
    world.close()
    assert stays


def test_a_folder_that_a_trial_could_replace_by_a_link_is_not_mounted(tmp_path: Path, cluster: Cluster) -> None:
    """A user who mounts the outer folder makes the inner one a link to /, and mounts that next."""
    outer, inner = ({"volumes": [{"path": path, "mount": "/d"}]} for path in ("/mnt/data", "/mnt/data/team"))
    with serving(tmp_path, backend_on(cluster, "path:/mnt/data", "path:/mnt/data/team")) as (server, token):
        assert create(server, token, outer)[0] == 201
        status, answer = create(server, token, inner)
        assert status == 403 and "in which a trial could replace it" in answer["error"]["message"]


@pytest.mark.parametrize("allow", [("path:/mnt", "path:/mnt/data/team"), ("path:/", "path:/mnt")])
def test_an_administrator_is_told_of_folders_that_lie_in_each_other(allow: tuple[str, ...]) -> None:
    connection = ConnectionSettings("lab", "ml")
    with pytest.raises(BadInput, match="which contains it"):
        connection.with_changes({"allow": allow})
    settings = connection.with_changes({"allow": ("path:/mnt/a", "path:/mnt/ab")})
    assert settings.allow == ("path:/mnt/a", "path:/mnt/ab")


@pytest.mark.parametrize("name", [{}, [], {"a": 1}])
def test_names_of_the_wrong_type_are_no_mistake_of_the_server(tmp_path: Path, cluster: Cluster, name: object) -> None:
    pods = [{"containers": [{"name": name}]}, {"containers": [{"name": "worker", "env": [{"name": name}]}]}]
    limits = {"limits": {"nvidia.com/gpu": "1e99999999Ki"}}
    with serving(tmp_path, backend_on(cluster)) as (server, token):
        for spec in [*pods, {"containers": [{"name": "worker", "resources": limits}]}]:
            assert create(server, token, {"pod": {"spec": spec}})[0] != 500, spec


@pytest.mark.parametrize("name", ["../secrets/x", "x?watch=true", "x#", "..", "", "A", "a" * 254])
def test_what_the_server_looks_up_by_a_name_is_an_object_also_if_pod_overrides_it(
    tmp_path: Path, cluster: Cluster, name: str
) -> None:
    """The template was harmless, and the server then requested any path of the API, such as an endless watch."""
    overridden: dict[str, dict[str, Any]] = {
        "service_account": {"pod": {"spec": {"serviceAccountName": "orchestune-worker"}}},
        "priority_class": {"pod": {"spec": {"priorityClassName": None}}},
        "queue": {},
    }
    own: list[dict[str, Any]] = [{"name": "volume-0", "persistentVolumeClaim": None, "emptyDir": {}}]
    attacks = {key: {key: name, **pod} for key, pod in overridden.items()}
    attacks["volumes[0].claim"] = {"volumes": [{"claim": name, "mount": "/d"}], "pod": {"spec": {"volumes": own}}}
    with serving(tmp_path, backend_on(cluster)) as (server, token):
        cluster.requested.clear()
        for key, placement in attacks.items():
            status, answer = create(server, token, placement)
            assert (status, answer["error"]["code"]) == (403, "policy_refused"), key
            assert [problem["key"] for problem in answer["error"]["problems"]] == [key]
        assert cluster.requested == []
        fit = {**attacks["volumes[0].claim"], "volumes": [{"claim": "datasets", "mount": "/d"}]}
        assert create(server, token, fit)[0] == 201

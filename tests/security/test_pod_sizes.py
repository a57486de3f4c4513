"""What an experiment adds to its pods occupies little memory and time of the server, however many pods it has."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import Any

import pytest

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects import plan
from orchestune.backends.kubernetes.observation import capacity, views
from orchestune.backends.kubernetes.observation.slim import slim_job, slim_pod
from orchestune.backends.kubernetes.policy.node_admission import admitting
from orchestune.backends.kubernetes.policy.pod import MOST_BYTES
from orchestune.backends.kubernetes.policy.pod_policy import refuse_placement
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import PolicyRefused
from orchestune.ports.backend import WorkerOrder

Document = dict[str, Any]
CONFIG = KubernetesConfig("lab", "ml", "http://o", "server:1")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PAIRS = [{"name": "a"}] * 4000
NAMES = [f"{number:x}" for number in range(7000)]


def side(**keys: Any) -> Document:
    return {"containers": [{"name": "worker"}, {"name": "side", "image": "x", **keys}]}


def affinity(*expressions: Document) -> Document:
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}}}}


LARGE: dict[str, Document] = {
    "variables": {"spec": side(env=PAIRS)},
    "ports": {"spec": side(ports=[{"containerPort": number} for number in range(2500)])},
    "mounts": {"spec": side(volumeMounts=[{"name": "tmp", "mountPath": f"/{number}"} for number in range(1300)])},
    "arguments": {"spec": side(args=["a"] * 12000)},
    "huge pages": {"spec": side(resources={"limits": {f"hugepages-{number}": "1" for number in range(2400)}})},
    "headers": {"spec": side(livenessProbe={"httpGet": {"port": 1, "httpHeaders": [*PAIRS[:3900]]}})},
    "volumes": {"spec": {"volumes": [{"name": f"v{number}", "emptyDir": {}} for number in range(1700)]}},
    "labels": {"metadata": {"labels": {f"user.orchestune.dev/{number}": "" for number in range(2000)}}},
    "annotations": {"metadata": {"annotations": {f"a{number}": "" for number in range(4000)}}},
    "aliases": {"spec": {"hostAliases": [{"ip": "::1"}] * 3900}},
    "nodes": {"spec": affinity(*[{"key": "a", "operator": "Exists"}] * 1500)},
    "pools": {"spec": affinity({"key": "orchestune.dev/pool", "operator": "In", "values": NAMES})},
    "preferences": {"spec": {"affinity": {"podAffinity": {"preferred": [{"weight": 1}] * 4000}}}},
}


def memory(value: object) -> int:
    """The bytes of a document and of all that it contains."""
    below: list[object] = [*value, *value.values()] if isinstance(value, dict) else []
    below += value if isinstance(value, list) else []
    return sys.getsizeof(value) + sum(map(memory, below))


def refuse(pod: Document) -> None:
    refuse_placement(CONFIG, Resources(), Placement(image="x", pod=pod))


@pytest.mark.parametrize("what", LARGE)
def test_a_worker_takes_little_memory_whatever_its_pod_contains(what: str) -> None:
    """A hundred pending pods of a dozen experiments were enough for a server with 2 GiB."""
    order = WorkerOrder("w-1", "e-1", "a-token", 1, placement=Placement(image="x", pod=LARGE[what]))
    job = json.loads(json.dumps(plan.job(CONFIG, order, plan.ClusterRequirements(), ["worker"])))
    template = job["spec"]["template"]
    statuses = [{**each, "state": {}, "volumeMounts": [{}] * 500} for each in template["spec"]["containers"]]
    pod = {**template, "status": {"phase": "Pending", "containerStatuses": statuses}}
    pod["metadata"] = {**pod["metadata"], "name": "p"}
    whole, slim = memory(job) + memory(pod), memory(slim_job(job)) + memory(slim_pod(pod, CONFIG))
    assert whole > 10 * MOST_BYTES and slim < MOST_BYTES / 4, (what, whole, slim)


def test_texts_that_an_experiment_makes_the_kubelet_write_are_shortened() -> None:
    """An image of 60,000 characters that cannot be pulled took 2 MiB of memory per pod, and as much in its events."""
    image = "\U0001f600" + "a" * 60_000
    message = f'failed to pull "{image}": {image}'
    state = {"waiting": {"reason": "ErrImagePull", "message": message}, "terminated": {"message": "x" * 4096}}
    status = {"containerStatuses": [{"name": "worker", "image": image, "state": state}], "message": message}
    pod = {"metadata": {"name": "p"}, "spec": {}, "status": {**status, "conditions": [{"message": message}]}}
    slim = slim_pod(pod, CONFIG)
    assert memory(slim) < 100_000
    (container,) = slim["status"]["containerStatuses"]
    assert container["state"]["waiting"]["message"].startswith('failed to pull "')
    assert container["state"]["terminated"]["message"] == "x" * 4096, "the log tail is whole"
    about = {"involvedObject": {"kind": "Pod", "name": "orchestune-a"}, "metadata": {}, "message": message}
    event = views.event(about)
    assert event is not None and len(event.message) <= 1000


def test_the_number_of_containers_and_tolerations_is_bounded() -> None:
    extra = [{"name": f"c{number}", "image": "x"} for number in range(40)]
    for key, entries in (
        ("containers", extra),
        ("initContainers", extra),
        ("tolerations", [{"operator": "Exists", "key": str(number)} for number in range(200)]),
    ):
        with pytest.raises(PolicyRefused, match=r"entries \(expected at most") as caught:
            refuse({"spec": {key: entries}})
        assert [problem.key for problem in caught.value.problems] == [f"pod.spec.{key}"]
        refuse({"spec": {key: entries[:20]}})


def test_tolerations_are_compared_once_with_the_taint_of_many_nodes() -> None:
    document = {
        "metadata": {"name": "n"},
        "spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]},
        "status": {},
    }
    node = capacity.node(document, CONFIG)
    nodes = [replace(node, name=f"n{number}") for number in range(5000)]
    tolerations = [{"key": "k", "operator": "Exists"}] * 2000
    began = time.perf_counter()
    assert admitting(nodes, {"tolerations": tolerations}) == frozenset()
    assert len(admitting(nodes, {"tolerations": [*tolerations, {"operator": "Exists"}]})) == len(nodes)
    assert time.perf_counter() - began < 5.0, "it took milliseconds for each node"


def test_requests_beyond_all_machines_are_numbers_that_the_scheduler_can_compare() -> None:
    """Their sum had no float: the server answered 500."""
    for key in ("cpu", "memory", "nvidia.com/gpu"):
        amounts = {"requests": {key: "1e308"}, "limits": {key: "1e308"}}
        containers = [{"name": f"c{number}", "image": "x", "resources": amounts} for number in range(4)]
        total = plan.total_request(CONFIG, Resources(), Placement(image="x", pod={"spec": {"containers": containers}}))
        assert str(total) and max(total.cpu or 0, total.memory or 0, total.gpu) / 3 > 2**62

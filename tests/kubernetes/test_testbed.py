"""The testbed keeps what it promises: other tests rely on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.testbeds.images import Image, root_with
from tests.testbeds.kubernetes.access import GPU, Access
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.machine import Broken
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

pytestmark = pytest.mark.timeout(600)
HOST = "kubernetes.io/hostname"


def pod(name: str, image: str, script: str, **spec: Any) -> dict[str, Any]:
    security = {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    container = {"name": "main", "image": image, "command": ["sh", "-c", script], "securityContext": security}
    container |= spec.pop("container", {})
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, **spec, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def run(cluster: Access, namespace: str, *pods: dict[str, Any]) -> list[str]:
    """Run pods to their end; what each said."""
    cluster.apply(*pods, namespace=namespace)
    names = [pod["metadata"]["name"] for pod in pods]
    for name in names:
        over = lambda name=name: cluster.pod_phase(namespace, name) in ("Succeeded", "Failed")
        until(f"pod {name} to end", over, describe=lambda: cluster.kubectl("describe", "pods", "-n", namespace))
    return [cluster.kubectl("logs", "-n", namespace, name).strip() for name in names]


def test_a_pod_runs_on_every_node(kubernetes: Access, namespace: str, shell: str) -> None:
    nodes = [node["metadata"]["name"] for node in kubernetes.json("get", "nodes")["items"]]
    pods = [pod(f"on-{node}", shell, "echo here; id -u", nodeSelector={HOST: node}) for node in nodes]
    assert len(nodes) >= 3
    assert run(kubernetes, namespace, *pods) == ["here\n65534"] * len(nodes)


def test_a_node_has_four_cards_and_gives_them_out(kubernetes: Access, namespace: str, shell: str) -> None:
    nodes = kubernetes.json("get", "nodes")["items"]
    assert [node["status"]["allocatable"].get(GPU) for node in nodes if node["metadata"]["name"] == "gpu1"] == ["4"]
    asking = {"resources": {"limits": {GPU: "3"}}}
    first = pod("first", shell, "sleep 1000", container=asking)
    kubernetes.apply(first, namespace=namespace)
    until("the first pod to run", lambda: kubernetes.pod_phase(namespace, "first") == "Running")
    kubernetes.apply(pod("second", shell, "true", container=asking), namespace=namespace)

    def refused() -> bool:
        events = kubernetes.json("get", "events", "-n", namespace, "--field-selector=involvedObject.name=second")[
            "items"
        ]
        return any("Insufficient nvidia.com/gpu" in event["message"] for event in events)

    until("the second pod to find no card", refused)
    kubernetes.kubectl("delete", "pod", "first", "-n", namespace)
    until("the second pod to end", lambda: kubernetes.pod_phase(namespace, "second") == "Succeeded")


def test_pods_find_a_service_by_its_name_and_reach_it_across_nodes(
    kubernetes: Access, namespace: str, shell: str
) -> None:
    web = pod("web", shell, "mkdir /tmp/w; echo answered > /tmp/w/index.html; httpd -f -p 8080 -h /tmp/w")
    web["metadata"]["labels"] = {"app": "web"}
    web["spec"]["nodeSelector"] = {HOST: "cpu1"}
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }  # fmt: skip
    kubernetes.apply(web, service, namespace=namespace)
    until("the server to run", lambda: kubernetes.pod_phase(namespace, "web") == "Running")
    # nslookup and nc, since Debian's static Busybox has a wget that crashes without glibc's libraries
    find = f"nslookup web.{namespace}.svc.cluster.local | awk '/^Address: / {{print $2}}'"
    ask = f"until printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 $({find}) 80 | grep answered; do sleep 0.2; done"
    asking = [pod(f"ask-{node}", shell, ask, nodeSelector={HOST: node}) for node in ("cpu1", "cpu2")]
    assert run(kubernetes, namespace, *asking) == ["answered", "answered"]


def test_pods_reach_a_database_of_the_host(
    kubernetes: Access, namespace: str, shell: str, kubernetes_postgres_url: str
) -> None:
    url = make_url(kubernetes_postgres_url)
    ask = f"echo | nc -w 9 {url.host} {url.port} >/dev/null && echo reached"
    assert run(kubernetes, namespace, pod("ask", shell, ask)) == ["reached"]
    engine = create_engine(kubernetes_postgres_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_a_claim_is_served_and_moves_with_its_pod(kubernetes: Access, namespace: str, shell: str) -> None:
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    kubernetes.apply(claim, namespace=namespace)
    mounted: dict[str, Any] = {
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
    }
    write = pod("write", shell, "echo kept > /data/file", nodeSelector={HOST: "cpu1"}, **mounted)
    read = pod("read", shell, "cat /data/file", nodeSelector={HOST: "cpu2"}, **mounted)
    run(kubernetes, namespace, write)
    assert run(kubernetes, namespace, read) == ["kept"]


def test_a_restricted_namespace_refuses_what_pod_security_forbids(
    kubernetes: Access, namespace: str, shell: str
) -> None:
    kubernetes.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    fine = pod("fine", shell, "echo fine")
    rude = pod("rude", shell, "true", hostNetwork=True)
    assert run(kubernetes, namespace, fine) == ["fine"]
    with pytest.raises(Broken, match="violates PodSecurity"):
        kubernetes.apply(rude, namespace=namespace)


def test_a_person_may_do_only_what_rbac_says(own_kubernetes: Cluster, namespace: str) -> None:
    person = Access(own_kubernetes.user("anna"), own_kubernetes.programs)
    with pytest.raises(Broken, match='User "anna" cannot list'):
        person.kubectl("get", "pods", "-n", namespace)
    own_kubernetes.kubectl("create", "rolebinding", "anna", "--clusterrole=view", "--user=anna", "-n", namespace)
    until(
        "the binding to count",
        lambda: person.kubectl("auth", "can-i", "list", "pods", "-n", namespace).strip() == "yes",
    )


@pytest.mark.long
def test_a_lost_node_is_gone_at_once_and_comes_back(own_kubernetes: Cluster, namespace: str, shell: str) -> None:
    lasting = pod("lasting", shell, "sleep 1000", nodeSelector={HOST: "cpu2"})
    own_kubernetes.apply(lasting, namespace=namespace)
    until("the pod to run", lambda: own_kubernetes.pod_phase(namespace, "lasting") == "Running")
    own_kubernetes.lose_node("cpu2")
    assert not own_kubernetes.machines["cpu2"].alive
    assert [pid for pid in Path("/proc").glob("[0-9]*") if _mentions(pid, own_kubernetes.nodes["cpu2"].folder)] == []
    until("the cluster to notice", lambda: not own_kubernetes.node_ready("cpu2"))
    own_kubernetes.restart_node("cpu2")
    assert own_kubernetes.node_ready("cpu2")


def _mentions(process: Path, folder: Path) -> bool:
    try:
        return str(folder).encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.long
def test_a_node_that_is_cut_off_runs_on(own_kubernetes: Cluster) -> None:
    own_kubernetes.cut_off("cpu1")
    until("the cluster to notice", lambda: not own_kubernetes.node_ready("cpu1"))
    assert own_kubernetes.machines["cpu1"].running("kubelet")
    own_kubernetes.reconnect("cpu1")
    assert own_kubernetes.node_ready("cpu1")


@pytest.mark.long
def test_a_node_without_its_kubelet_runs_its_pods_on(own_kubernetes: Cluster, namespace: str, shell: str) -> None:
    own_kubernetes.apply(pod("lasting", shell, "sleep 1000", nodeSelector={HOST: "gpu1"}), namespace=namespace)
    until("the pod to run", lambda: own_kubernetes.pod_phase(namespace, "lasting") == "Running")
    own_kubernetes.stop("kubelet", "gpu1")
    until("the cluster to notice", lambda: not own_kubernetes.node_ready("gpu1"))
    assert "sleep 1000" in own_kubernetes.machines["gpu1"].run("ps", "-eo", "args")
    own_kubernetes.heal()
    assert own_kubernetes.json("get", "node", "gpu1")["status"]["allocatable"][GPU] == "4"


@pytest.mark.long
def test_without_the_controllers_no_job_gets_a_pod(own_kubernetes: Cluster, namespace: str, shell: str) -> None:
    own_kubernetes.stop("kube-controller-manager")
    assert not own_kubernetes.control.running("kube-controller-manager")
    own_kubernetes.kubectl("create", "job", "waiting", "-n", namespace, f"--image={shell}", "--", "true")
    assert own_kubernetes.json("get", "pods", "-n", namespace)["items"] == []
    own_kubernetes.start("kube-controller-manager")
    until(
        "the job to end",
        lambda: own_kubernetes.json("get", "job", "waiting", "-n", namespace)["status"].get("succeeded"),
    )


@pytest.mark.long
def test_an_image_is_pulled_again_when_the_registry_is_back(
    own_kubernetes: Cluster, namespace: str, registry: Registry, tmp_path: Path
) -> None:
    new = root_with(tmp_path / "root.tar", {"bin/busybox": Path(shutil.which("busybox") or "")})
    image = registry.push(f"testbed/{namespace}:1", Image(new, command=["/bin/busybox", "true"], user="65534"))
    registry.stop()
    try:
        own_kubernetes.kubectl("run", "pulling", "-n", namespace, f"--image={image}", "--restart=Never")
        until("the pull to fail", lambda: _waits(own_kubernetes, namespace) in ("ErrImagePull", "ImagePullBackOff"))
    finally:
        registry.start()
    until("the pod to end", lambda: own_kubernetes.pod_phase(namespace, "pulling") == "Succeeded")


def _waits(cluster: Access, namespace: str) -> str:
    container_statuses = cluster.json("get", "pod", "pulling", "-n", namespace)["status"].get("containerStatuses", [])
    return "".join(container["state"].get("waiting", {}).get("reason", "") for container in container_statuses)


@pytest.mark.long
def test_the_api_server_goes_and_comes_while_pods_run(own_kubernetes: Cluster, namespace: str, shell: str) -> None:
    own_kubernetes.apply(pod("lasting", shell, "sleep 1000"), namespace=namespace)
    until("the pod to run", lambda: own_kubernetes.pod_phase(namespace, "lasting") == "Running")
    own_kubernetes.stop("kube-apiserver")
    assert not own_kubernetes.answers()
    own_kubernetes.heal()
    assert own_kubernetes.pod_phase(namespace, "lasting") == "Running"


@pytest.mark.long
def test_a_drained_node_has_no_pods(own_kubernetes: Cluster, namespace: str, shell: str) -> None:
    own_kubernetes.apply(pod("lasting", shell, "sleep 1000", nodeSelector={HOST: "cpu1"}), namespace=namespace)
    until("the pod to run", lambda: own_kubernetes.pod_phase(namespace, "lasting") == "Running")
    own_kubernetes.drain("cpu1")
    assert own_kubernetes.json("get", "pods", "-n", namespace)["items"] == []

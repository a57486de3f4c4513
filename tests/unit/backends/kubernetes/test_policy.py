"""Which pods experiments may have: what is refused, with its key, and what is accepted, alone or by an allow-list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from ruamel.yaml import YAML

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects import plan
from orchestune.backends.kubernetes.policy.hardening import DEVICES, hardened
from orchestune.backends.kubernetes.policy.pod_policy import refuse_placement, refuse_template
from orchestune.backends.kubernetes.policy.preflight import check_pod
from orchestune.domain.access.allowances import Allowances
from orchestune.domain.resources.placement import Placement, Volume
from orchestune.domain.resources.resources import Resources
from orchestune.errors import PolicyRefused, UsageError
from orchestune.ports.backend import WorkerOrder

ROOT = Path(__file__).parents[4]
CONFIG = KubernetesConfig("lab", "ml", "http://orchestune.ml.svc:8470", "registry.lab/server:1", pull_secrets=("hub",))
RESOURCES = Resources(1, 2**30, 1)
Pod = dict[str, Any]


def spec(**fields: Any) -> Pod:
    return {"spec": fields}


def worker(**fields: Any) -> Pod:
    return spec(containers=[{"name": "worker", **fields}])


def side(**fields: Any) -> Pod:
    return spec(containers=[{"name": "side", "image": "x", **fields}])


def volume(**source: Any) -> Pod:
    return spec(volumes=[{"name": "v", **source}])


def security(**fields: Any) -> Pod:
    return worker(securityContext=fields)


def refused(placement: Placement, *allow: str) -> dict[str, str]:
    """The refusals by their keys, with their hints."""
    config = replace(CONFIG, allow=Allowances.of(allow))
    try:
        refuse_placement(config, RESOURCES, placement)
    except PolicyRefused as exc:
        return {problem.key: f"{problem.message} ({problem.hint})" for problem in exc.problems}
    return {}


def of(pod: Pod) -> Placement:
    return Placement(image="x", pod=pod)


SPEC = "pod.spec"
WORKER, SIDE = f"{SPEC}.containers[worker]", f"{SPEC}.containers[side]"
REFUSED: list[tuple[Pod, str]] = [
    # the server's own objects, and those of others
    (spec(serviceAccountName="orchestune-server"), f"{SPEC}.serviceAccountName"),
    (spec(serviceAccount="orchestune-owner"), f"{SPEC}.serviceAccount"),
    (spec(serviceAccountName=None), f"{SPEC}.serviceAccountName"),
    (spec(serviceAccountName="trainer"), f"{SPEC}.serviceAccountName"),
    (spec(automountServiceAccountToken=True), f"{SPEC}.automountServiceAccountToken"),
    (spec(automountServiceAccountToken=None), f"{SPEC}.automountServiceAccountToken"),
    (spec(imagePullSecrets=[{"name": "other"}]), f"{SPEC}.imagePullSecrets[other].name"),
    (volume(secret={"secretName": "orchestune-server"}), f"{SPEC}.volumes[v].secret.secretName"),
    (volume(secret={"secretName": "theirs"}), f"{SPEC}.volumes[v].secret.secretName"),
    (volume(configMap={"name": "orchestune-config"}), f"{SPEC}.volumes[v].configMap.name"),
    (volume(persistentVolumeClaim={"claimName": "orchestune-data"}),
     f"{SPEC}.volumes[v].persistentVolumeClaim.claimName"),
    (volume(persistentVolumeClaim={"claimName": "theirs"}), f"{SPEC}.volumes[v].persistentVolumeClaim.claimName"),
    (volume(persistentVolumeClaim={}), f"{SPEC}.volumes[v].persistentVolumeClaim"),
    (spec(volumes=[{"name": "orders", "secret": {"secretName": "orchestune-server"}}]),
     f"{SPEC}.volumes[orders].secret.secretName"),
    (volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
     f"{SPEC}.volumes[v].projected.sources[0].serviceAccountToken"),
    (volume(projected={"sources": [{"secret": {"name": "s"}}]}),
     f"{SPEC}.volumes[v].projected.sources[0].secret.name"),
    (volume(projected={"sources": [{"clusterTrustBundle": {"path": "x"}}]}),
     f"{SPEC}.volumes[v].projected.sources[0].clusterTrustBundle"),
    (worker(env=[{"name": "K", "valueFrom": {"secretKeyRef": {"name": "orchestune-server", "key": "key"}}}]),
     f"{WORKER}.env[K].valueFrom.secretKeyRef.name"),
    (worker(env=[{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]),
     f"{WORKER}.env[K].valueFrom.configMapKeyRef.name"),
    (side(envFrom=[{"secretRef": {"name": "orchestune-secrets-e1"}}]), f"{SIDE}.envFrom[0].secretRef.name"),
    (side(envFrom=[{"configMapRef": {"name": "c"}}]), f"{SIDE}.envFrom[0].configMapRef.name"),
    # the node
    (volume(hostPath={"path": "/"}), f"{SPEC}.volumes[v].hostPath"),
    (spec(volumes=[{"hostPath": {"path": "/"}}]), f"{SPEC}.volumes[0].hostPath"),
    (spec(volumes=[{"name": "tmp", "hostPath": {"path": "/var/run"}}]), f"{SPEC}.volumes[tmp].hostPath"),
    (spec(hostPID=True), f"{SPEC}.hostPID"),
    (spec(hostIPC=True), f"{SPEC}.hostIPC"),
    (spec(hostNetwork=True), f"{SPEC}.hostNetwork"),
    (spec(hostNetwork="true"), f"{SPEC}.hostNetwork"),
    (security(privileged=True), f"{WORKER}.securityContext.privileged"),
    (side(securityContext={"privileged": True}), f"{SIDE}.securityContext.privileged"),
    (spec(initContainers=[{"name": "i", "securityContext": {"privileged": True}}]),
     f"{SPEC}.initContainers[i].securityContext.privileged"),
    (spec(ephemeralContainers=[{"name": "e"}]), f"{SPEC}.ephemeralContainers"),
    (security(capabilities={"add": ["SYS_ADMIN"]}), f"{WORKER}.securityContext.capabilities.add"),
    (security(capabilities={"add": "ALL"}), f"{WORKER}.securityContext.capabilities.add"),
    (security(capabilities={"drop": []}), f"{WORKER}.securityContext.capabilities.drop"),
    (security(allowPrivilegeEscalation=True), f"{WORKER}.securityContext.allowPrivilegeEscalation"),
    (security(procMount="Unmasked"), f"{WORKER}.securityContext.procMount"),
    (security(seccompProfile={"type": "Unconfined"}), f"{WORKER}.securityContext.seccompProfile"),
    (security(seccompProfile={"type": "Localhost", "localhostProfile": "x"}),
     f"{WORKER}.securityContext.seccompProfile"),
    (security(appArmorProfile={"type": "Unconfined"}), f"{WORKER}.securityContext.appArmorProfile"),
    (security(seLinuxOptions={"type": "spc_t"}), f"{WORKER}.securityContext.seLinuxOptions"),
    (security(windowsOptions={"hostProcess": True}), f"{WORKER}.securityContext.windowsOptions"),
    (spec(securityContext={"seccompProfile": {"type": "Unconfined"}}), f"{SPEC}.securityContext.seccompProfile"),
    (spec(securityContext={"seccompProfile": None}), f"{SPEC}.securityContext.seccompProfile"),
    (spec(securityContext=None), f"{SPEC}.securityContext.seccompProfile"),
    (spec(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
     f"{SPEC}.securityContext.sysctls[kernel.msgmax].name"),
    (worker(ports=[{"containerPort": 80, "hostPort": 80}]), f"{WORKER}.ports[0].hostPort"),
    (side(livenessProbe={"httpGet": {"host": "169.254.169.254", "port": 80}}), f"{SIDE}.livenessProbe.httpGet.host"),
    (side(lifecycle={"preStop": {"tcpSocket": {"host": "127.0.0.1", "port": 10250}}}),
     f"{SIDE}.lifecycle.preStop.tcpSocket.host"),
    # other volumes
    (volume(csi={"driver": "secrets-store.csi.k8s.io"}), f"{SPEC}.volumes[v].csi.driver"),
    (volume(image={"reference": "x"}), f"{SPEC}.volumes[v].image"),
    (volume(nfs={"server": "x", "path": "/"}), f"{SPEC}.volumes[v].nfs"),
    (volume(cephfs={"monitors": ["x"], "secretRef": {"name": "orchestune-server"}}), f"{SPEC}.volumes[v].cephfs"),
    (volume(ephemeral={"volumeClaimTemplate": {"spec": {"dataSource": {"name": "orchestune-data"}}}}),
     f"{SPEC}.volumes[v].ephemeral.volumeClaimTemplate.spec.dataSource"),
    (volume(emptyDir={}, hostPath={"path": "/"}), f"{SPEC}.volumes[v].hostPath"),
    (volume(invented={}), f"{SPEC}.volumes[v].invented"),
    # places of mounts
    (worker(volumeMounts=[{"name": "tmp", "mountPath": "/orchestune"}]), f"{WORKER}.volumeMounts[tmp].mountPath"),
    (worker(volumeMounts=[{"name": "tmp", "mountPath": "/x/../orchestune-worker"}]),
     f"{WORKER}.volumeMounts[tmp].mountPath"),
    (worker(volumeMounts=[{"name": "tmp", "mountPath": "//var/run/secrets/x"}]),
     f"{WORKER}.volumeMounts[tmp].mountPath"),
    (worker(volumeMounts=[{"name": "tmp", "mountPath": "/orchestune-state/sub"}]),
     f"{WORKER}.volumeMounts[tmp].mountPath"),
    (worker(volumeMounts=[{"name": "tmp", "mountPath": "/data", "subPath": "../x"}]),
     f"{WORKER}.volumeMounts[tmp].subPath"),
    (worker(volumeMounts=[{"name": "tmp", "mountPath": "/d", "mountPropagation": "Bidirectional"}]),
     f"{WORKER}.volumeMounts[tmp].mountPropagation"),
    (worker(terminationMessagePath="/proc/self/x"), f"{WORKER}.terminationMessagePath"),
    # scheduling
    (spec(nodeName="control-plane"), f"{SPEC}.nodeName"),
    (spec(priorityClassName="system-node-critical"), f"{SPEC}.priorityClassName"),
    (spec(priority=2000001000), f"{SPEC}.priority"),
    (spec(schedulerName="other"), f"{SPEC}.schedulerName"),
    (spec(runtimeClassName="runc-privileged"), f"{SPEC}.runtimeClassName"),
    (spec(schedulingGates=[{"name": "x"}]), f"{SPEC}.schedulingGates"),
    (spec(overhead={"cpu": "1"}), f"{SPEC}.overhead"),
    (spec(terminationGracePeriodSeconds=10**9), f"{SPEC}.terminationGracePeriodSeconds"),
    (spec(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"namespaceSelector": {}, "topologyKey": "kubernetes.io/os"}]}}),
     f"{SPEC}.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution"),
    (spec(terminationGracePeriodSeconds=-1), f"{SPEC}.terminationGracePeriodSeconds"),
    (worker(livenessProbe={"exec": {}, "terminationGracePeriodSeconds": 3601}),
     f"{WORKER}.livenessProbe.terminationGracePeriodSeconds"),
    (worker(resources={"requests": {"cpu": "-5"}}), f"{WORKER}.resources.requests.cpu"),
    (side(resources={"limits": {"memory": -1}}), f"{SIDE}.resources.limits.memory"),
    # devices that are not counted
    (side(resources={"limits": {"nvidia.com/mig-1g.5gb": 1}}), f"{SIDE}.resources.limits.nvidia.com/mig-1g.5gb"),
    (side(resources={"claims": [{"name": "gpu"}]}), f"{SIDE}.resources.claims"),
    (spec(resourceClaims=[{"name": "gpu"}]), f"{SPEC}.resourceClaims"),
    (side(env=[{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]), f"{SIDE}.env[NVIDIA_VISIBLE_DEVICES]"),
    # metadata by which others act on a pod
    ({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/worker": "unconfined"}}},
     "pod.metadata.annotations.container.apparmor.security.beta.kubernetes.io/worker"),
    ({"metadata": {"annotations": {"io.kubernetes.cri-o.Devices": "/dev/fuse"}}},
     "pod.metadata.annotations.io.kubernetes.cri-o.Devices"),
    ({"metadata": {"annotations": {"iam.amazonaws.com/role": "admin"}}},
     "pod.metadata.annotations.iam.amazonaws.com/role"),
    ({"metadata": {"annotations": {"cdi.k8s.io/x": "nvidia.com/gpu=all"}}}, "pod.metadata.annotations.cdi.k8s.io/x"),
    ({"metadata": {"labels": {"app": "payments"}}}, "pod.metadata.labels.app"),
    ({"metadata": {"labels": {"project": "payments"}}}, "pod.metadata.labels.project"),
    ({"metadata": {"labels": {"orchestune.dev/user": "x"}}}, "pod.metadata.labels.orchestune.dev/user"),
    ({"metadata": {"labels": {"azure.workload.identity/use": "true"}}},
     "pod.metadata.labels.azure.workload.identity/use"),
    ({"metadata": {"labels": {"sidecar.istio.io/inject": "true"}}}, "pod.metadata.labels.sidecar.istio.io/inject"),
    ({"metadata": {"finalizers": ["lab/never"]}}, "pod.metadata.finalizers"),
    ({"metadata": {"ownerReferences": [{"name": "x"}]}}, "pod.metadata.ownerReferences"),
    # what is no template
    (spec(containers=[7]), f"{SPEC}.containers[0]"),
    (spec(volumes="x"), f"{SPEC}.volumes"),
    (spec(unheardOf=1), f"{SPEC}.unheardOf"),
    (worker(securityContext="x"), f"{WORKER}.securityContext"),
    (worker(volumeMounts={"name": "x"}), f"{WORKER}.volumeMounts"),
    ({"metadata": {"annotations": {"long": "x" * 70_000}}}, "pod"),
]  # fmt: skip


@pytest.mark.parametrize(("pod", "key"), REFUSED, ids=[f"{index}-{key}" for index, (_, key) in enumerate(REFUSED)])
def test_what_is_not_known_to_be_harmless_is_refused_with_its_key(pod: Pod, key: str) -> None:
    assert key in refused(of(pod))


@pytest.mark.parametrize(
    ("placement", "key"),
    [
        (Placement(image="x", service_account="orchestune-server"), "service_account"),
        (Placement(image="x", service_account="trainer"), "service_account"),
        (Placement(image="x", service_account="../../secrets/x"), "service_account"),
        (Placement(image="x", volumes=(Volume("/d", claim="orchestune-data"),)), "volumes[0].claim"),
        (Placement(image="x", volumes=(Volume("/d", claim="a"), Volume("/e", path="/"))), "volumes[1].path"),
        (Placement(image="x", volumes=(Volume("/orchestune/x", claim="a"),)), "volumes[0].mount"),
        (Placement(image="x", volumes=(Volume("/", claim="a"),)), "volumes[0].mount"),
        (Placement(image="x", priority_class="system-cluster-critical"), "priority_class"),
        (Placement(image="x", queue="../../../secrets/x"), "queue"),
        (Placement(image="x", queue="A"), "queue"),
    ],
)
def test_keys_beside_pod_are_refused_by_their_own_names(placement: Placement, key: str) -> None:
    assert key in refused(placement)


ACCEPTED: list[Pod] = [
    {},
    spec(tolerations=[{"key": "team", "operator": "Equal", "value": "vision", "effect": "NoSchedule"}]),
    worker(env=[{"name": "NCCL_DEBUG", "value": "INFO"}]),
    worker(env=[{"name": "LD_PRELOAD", "value": ""}]),
    worker(env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]),
    spec(nodeSelector={"kubernetes.io/arch": "arm64"}),
    security(readOnlyRootFilesystem=True),
    security(runAsUser=0, runAsNonRoot=False),
    security(capabilities=None),
    worker(terminationMessagePath="/dev/termination-log"),
    spec(securityContext={"runAsUser": 1000, "fsGroup": 1000, "supplementalGroups": [5]}),
    spec(hostNetwork=False, hostPID=None, hostUsers=False),
    spec(imagePullSecrets=[{"name": "hub"}]),
    side(livenessProbe={"httpGet": {"path": "/", "port": 80}}, ports=[{"containerPort": 80}], command=["x"]),
    side(lifecycle={"preStop": {"exec": {"command": ["x"]}}}, restartPolicy="Always"),
    side(resources={"requests": {"cpu": 1, "memory": "1Gi", "ephemeral-storage": "1Gi", "nvidia.com/gpu": 1}}),
    spec(initContainers=[{"name": "i", "image": "x", "restartPolicy": "Always"}]),
    spec(volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}, {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]),
    spec(
        volumes=[{"name": "v", "downwardAPI": {"items": []}}],
        containers=[{"name": "worker", "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a/b"}]}],
    ),
    worker(volumeMounts=[{"name": "tmp", "mountPath": "/scratch"}, {"name": "tmp", "mountPath": "/dev/shm"}]),
    volume(projected={"sources": [{"downwardAPI": {"items": []}}]}),
    spec(topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname"}]),
    spec(affinity={"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}),
    spec(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}),
    spec(activeDeadlineSeconds=60, terminationGracePeriodSeconds=3600, dnsPolicy="Default", schedulerName=None),
    {"metadata": {"annotations": {"team": "vision", "prometheus.io/scrape": "true"}}},
    {"metadata": {"labels": {"user.orchestune.dev/project": "x"}}},
    {"metadata": {"labels": {"orchestune.dev/worker": "another"}}},  # ours is put in its place
    {"metadata": {"labels": None}},
]


@pytest.mark.parametrize("pod", ACCEPTED, ids=str)
def test_what_is_known_to_be_harmless_is_accepted(pod: Pod) -> None:
    assert refused(of(pod)) == {}


@pytest.mark.parametrize(
    "setting",
    [plan.ClusterRequirements(), plan.ClusterRequirements(True), plan.ClusterRequirements(image_volume=True)],
    ids=str,
)
@pytest.mark.parametrize("each", [Resources(1, 2**30), Resources(1, 2**30, 4)], ids=str)
def test_orchestunes_own_pods_are_accepted_whatever_the_cluster_asks_for(
    setting: plan.ClusterRequirements, each: Resources
) -> None:
    order = WorkerOrder("w-1", "e", "t", 1, each=each, placement=Placement(image="x", shm=2**20, pool="p"), grace=3600)
    refuse_template(CONFIG, order, setting)


ALLOWED: list[tuple[Placement, list[str]]] = [
    (Placement(image="x", service_account="trainer"), ["service-account:trainer"]),
    (of(spec(serviceAccountName="trainer", automountServiceAccountToken=True)), ["service-account:trainer"]),
    (of(spec(serviceAccountName=None)), ["service-account:default"]),
    (Placement(image="x", volumes=(Volume("/data", claim="datasets"),)), ["claim:datasets"]),
    (Placement(image="x", volumes=(Volume("/tmp", path="/mnt/scratch/"),)), ["path:/mnt/scratch"]),
    (Placement(image="x", priority_class="high"), ["priority-class:high"]),
    (of(volume(secret={"secretName": "hf", "items": []})), ["secret:hf"]),
    (of(worker(envFrom=[{"secretRef": {"name": "hf"}}, {"configMapRef": {"name": "c"}}])),
     ["secret:hf", "configmap:c"]),
    (of(spec(hostNetwork=True, hostPID=True, hostIPC=True)), ["host-network", "host-pid", "host-ipc"]),
    (of(worker(ports=[{"containerPort": 80, "hostPort": 80}])), ["host-port"]),
    (of(security(privileged=True)), ["privileged"]),
    (of(security(capabilities={"add": ["SYS_PTRACE"]})), ["capability:cap_sys_ptrace"]),
    (of(security(capabilities={"add": ["CAP_SYS_ADMIN"]})), ["capability:SYS_ADMIN"]),
    (of(security(allowPrivilegeEscalation=True)), ["privilege-escalation"]),
    (of(spec(securityContext={"seccompProfile": {"type": "Unconfined"}})), ["unconfined"]),
    (of(spec(runtimeClassName="gvisor", schedulerName="volcano")), ["runtime-class:gvisor", "scheduler:volcano"]),
    (of(spec(securityContext={"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]})),
     ["sysctl:net.core.somaxconn"]),
    (of(side(resources={"limits": {"rdma/hca": 1}})), ["resource:rdma/hca"]),
    (of(volume(nfs={"server": "x", "path": "/"})), ["volume:nfs"]),
    (of(volume(csi={"driver": "d", "volumeAttributes": {}})), ["csi-driver:d"]),
    (of(volume(ephemeral={"volumeClaimTemplate": {"spec": {
        "storageClassName": "fast", "accessModes": [], "resources": {"requests": {"storage": "1Gi"}}}}})),
     ["storage-class:fast"]),
    (of(spec(nodeName="n1")), ["node-name"]),
    (of({"metadata": {"labels": {"app": "x"}, "annotations": {"a.b/c": "d"}}}), ["label:app", "annotation:a.b/c"]),
]  # fmt: skip


@pytest.mark.parametrize(("placement", "allow"), ALLOWED, ids=[" ".join(allow) for _, allow in ALLOWED])
def test_an_administrators_allow_list_accepts_exactly_what_it_names(placement: Placement, allow: list[str]) -> None:
    assert refused(placement, *allow) == {}
    assert refused(placement)
    for left_out in allow:
        problems = refused(placement, *(each for each in allow if each != left_out))
        assert problems
        assert any("cluster connect -n lab --allow " in text for text in problems.values())


@pytest.mark.parametrize(
    ("placement", "allow"),
    [
        (Placement(image="x", volumes=(Volume("/d", path="/mnt/data/link"),)), "path:/mnt/data"),
        (Placement(image="x", volumes=(Volume("/d", path="/mnt/data/../.."),)), "path:/mnt/data"),
        (Placement(image="x", volumes=(Volume("/d", path="/mnt//data"),)), "path:/mnt/data"),
        (Placement(image="x", volumes=(Volume("/orchestune-state", claim="d"),)), "claim:d"),
        (of(volume(csi={"driver": "d", "nodePublishSecretRef": {"name": "orchestune-server"}})), "csi-driver:d"),
        (of(volume(projected={"sources": [{"serviceAccountToken": {"audience": "vault", "path": "t"}}]})),
         "service-account:default"),
        (of(spec(serviceAccountName="a", serviceAccount="orchestune-server")), "service-account:a"),
        (of(security(privileged=True, capabilities={"add": ["ALL"]})), "privileged"),
    ],
)  # fmt: skip
def test_an_allowance_reaches_no_further_than_its_name(placement: Placement, allow: str) -> None:
    assert refused(placement, allow)


@pytest.mark.parametrize("text", ["service-account:orchestune-server", "claim:orchestune-data", "secret:orchestune"])
def test_the_servers_own_objects_cannot_be_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="belong to the server"):
        Allowances.of([text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clam:x", "unknown kind of access: 'clam' .*did you mean claim"),
        ("claim", "'claim' needs a name"),
        ("privileged:x", "'privileged' takes no name"),
        ("path:mnt", "invalid path"),
        ("path:/mnt/../etc", "invalid path"),
        ("volume:cephfs", "unknown kind of volume"),
        ("claim:a b", "invalid name"),
    ],
)
def test_an_allowance_that_cannot_be_parsed_is_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Allowances.of([text])


def test_a_pod_nested_beyond_all_measure_is_refused_without_recursion() -> None:
    pod: Pod = {}
    for _ in range(50_000):
        pod = {"spec": pod}
    with pytest.raises(UsageError, match="more than 32 levels deep"):
        check_pod(pod)


def test_containers_that_an_experiment_adds_are_hardened_and_its_own_settings_stay() -> None:
    pod = side(securityContext={"runAsUser": 5}, env=[{"name": "A", "value": "1"}])
    order = WorkerOrder("w-1", "e", "t", 1, each=RESOURCES, placement=of(pod))
    [_, added] = plan.template(CONFIG, order, plan.ClusterRequirements(), [])["spec"]["containers"]
    dropped = {"drop": ["MKNOD", "NET_RAW"]}
    assert added["securityContext"] == {"runAsUser": 5, "allowPrivilegeEscalation": False, "capabilities": dropped}
    assert added["env"][0] == {"name": "A", "value": "1"}
    assert {item["name"]: item["value"] for item in added["env"][1:]} == {
        "AMD_VISIBLE_DEVICES": "", "ASCEND_VISIBLE_DEVICES": "", "HABANA_VISIBLE_DEVICES": "",
        "MTHREADS_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void",
    }  # fmt: skip
    [_, added] = plan.template(CONFIG, order, plan.ClusterRequirements(restricted=True), [])["spec"]["containers"]
    assert added["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    ("resources", "void"),
    [
        ({}, True),
        ({"limits": {"nvidia.com/gpu": "0"}}, True),
        ({"requests": {"rdma/hca": 1}}, True),
        ({"limits": {"nvidia.com/gpu": 1}}, False),
        ({"limits": {"nvidia.com/mig-1g.5gb": "1"}}, False),
    ],
)
@pytest.mark.parametrize("name", ["worker", "side"])
def test_a_container_without_a_gpu_sees_none_whatever_its_image_says(
    name: str, resources: dict[str, Any], void: bool
) -> None:
    cleared = {"requests": {"nvidia.com/gpu": None}, "limits": {"nvidia.com/gpu": None}}
    pod = spec(containers=[{"name": name, "resources": {key: {**cleared[key], **resources.get(key, {})}
                                                         for key in cleared}}])  # fmt: skip
    order = WorkerOrder("w-1", "e", "t", 1, each=RESOURCES, placement=of(pod))
    containers = plan.template(CONFIG, order, plan.ClusterRequirements(), [])["spec"]["containers"]
    [container] = [each for each in containers if each["name"] == name]
    variables = {item["name"]: item.get("value") for item in container.get("env", [])}
    assert ("NVIDIA_VISIBLE_DEVICES" in variables) is void


@pytest.mark.parametrize(
    ("resource", "counted", "open_to"),
    [
        ("amd.com/gpu", "amd.com/gpu", {"AMD_VISIBLE_DEVICES"}),
        ("amd.com/cpx_nps4", "nvidia.com/gpu", {"AMD_VISIBLE_DEVICES"}),
        ("huawei.com/Ascend910", "nvidia.com/gpu", {"ASCEND_VISIBLE_DEVICES"}),
        ("nvidia.com/gpu.shared", "nvidia.com/gpu", {"NVIDIA_VISIBLE_DEVICES"}),
        ("nvidia.com/mig-1g.5gb", "nvidia.com/gpu", {"NVIDIA_VISIBLE_DEVICES"}),
        ("nvidia.com/a100", "nvidia.com/a100", {"NVIDIA_VISIBLE_DEVICES"}),
        ("nvidia.com/hostdev", "nvidia.com/gpu", set()),
        ("nvidia.com/mlnxnics", "lab/slices", set()),
        ("amd.com/nic", "amd.com/gpu", set()),
        ("habana.ai/gaudi", "nvidia.com/gpu", {"HABANA_VISIBLE_DEVICES"}),
        ("lab/slices", "lab/slices", set(DEVICES)),
        ("lab/slices", "nvidia.com/gpu", set()),
        ("cpu", "nvidia.com/gpu", set()),
    ],
)
def test_a_container_has_the_devices_of_a_vendor_only_if_it_requests_some(
    resource: str, counted: str, open_to: set[str]
) -> None:
    sidecar = {"name": "side", "resources": {"limits": {resource: 1}}}
    [container] = cast(list[dict[str, Any]], hardened([sidecar], frozenset(), counted, restricted=False))
    assert set(DEVICES) - {item["name"] for item in container["env"]} == open_to


def _documented() -> Mapping[str, Pod]:
    """The `pod:` of every example and every block of YAML in the documentation."""
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "examples").rglob("*.y*ml")}
    for path in (ROOT / "docs").rglob("*.md"):
        for number, block in enumerate(path.read_text().split("```yaml\n")[1:]):
            texts[f"{path.relative_to(ROOT)}-{number}"] = block.partition("```")[0]
    pods: dict[str, Pod] = {}
    for name, text in texts.items():
        if "pod:" in text:
            document = YAML(typ="safe").load(text)
            pods[name] = document["pod"]
    return pods


@pytest.mark.parametrize("name", sorted(_documented()))
def test_every_pod_of_the_examples_and_the_documentation_is_accepted(name: str) -> None:
    assert refused(of(_documented()[name])) == {}

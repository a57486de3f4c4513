"""Any image works as it is, in whichever way the worker's Python comes into its pod."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.testbeds import docker_images
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.machine import Broken
from tests.testbeds.registry import Registry
from tests.testbeds.server import Lab
from tests.testbeds.waiting import until
from tests.testbeds.workers import Images

pytestmark = pytest.mark.timeout(900)
READ_ONLY = {"spec": {"containers": [{"name": "worker", "securityContext": {"readOnlyRootFilesystem": True}}]}}
PRINT_IMAGE = """
import errno, os
try:
    open("/orchestune/mine", "w")
except OSError as exc:
    print("writing:", errno.errorcode[exc.errno])
print("mounted whole:", os.path.isdir("/orchestune/opt/orchestune/runtime"))
print("home:", os.access(os.environ["HOME"], os.W_OK), "of ours:", sorted({"PYTHONPATH", "PYTHONHOME"} & {*os.environ}))
print("loss=1")
"""


def experiments(images: Images, registry: Registry) -> dict[str, dict[str, Any]]:
    """One for each way in which an image may lack what a program expects."""
    musl = registry.push("tests/musl:1", docker_images.musl())
    static = registry.push("tests/static:1", docker_images.static())
    shell = "echo user $(id -u); echo loss=$ORCHESTUNE_PARAM_X"
    return {
        "python": {"image": images.python, "model": PRINT_IMAGE},
        "nobody": {
            "image": images.python,
            "model": PRINT_IMAGE,
            "pod": {"spec": {"securityContext": {"runAsUser": 65534}}},
        },
        "busybox": {"image": images.busybox, "run": shell, "pod": READ_ONLY},
        "musl": {"image": musl, "run": "program {x}", "pod": READ_ONLY},
        "static": {"image": static, "run": ["/program", "{x}"], "pod": READ_ONLY},
    }


@pytest.mark.parametrize("volumes", [None, False], ids=["image volume", "copy"])
def test_any_image_works_as_it_is_in_both_ways(
    kubernetes: Access, namespace: str, worker_images: Images, registry: Registry, tmp_path: Path, volumes: bool | None
) -> None:
    with Lab(kubernetes, namespace, worker_images, tmp_path, image_volumes=volumes) as lab:
        [note] = lab.home.json("cluster", "status")["notes"]
        by_volume = note.endswith("an image volume")
        if volumes is False:
            assert note.endswith("a copy by an init container: image volumes are switched off by a setting")
        handles = {name: lab.run(budget=1, **keys) for name, keys in experiments(worker_images, registry).items()}
        for name, handle in handles.items():
            assert lab.wait(handle)["counts"]["completed"] == 1, name
        for name in ("python", "nobody"):
            log = lab.home.run("logs", handles[name]).stdout
            assert ("writing: EROFS" in log, f"mounted whole: {by_volume}" in log) == (True, True), log
            assert "home: True of ours: []" in log, log
        for name, user in (("busybox", 65534), ("static", 1234), ("musl", 0)):
            assert f"user {user}" in lab.home.run("logs", handles[name]).stdout, name
        until("everything to be gone", lambda: not lab.leftovers(), describe=lab.leftovers)


@pytest.mark.long
def test_where_a_rule_of_the_cluster_takes_no_image_volume_pods_get_a_copy(
    kubernetes: Access, namespace: str, worker_images: Images, tmp_path: Path
) -> None:
    group, name = "admissionregistration.k8s.io", f"no-image-volumes-{namespace}"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    match = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}, "resourceRules": rules}
    allowed = "!has(object.spec.volumes) || object.spec.volumes.all(v, has(v.emptyDir) || has(v.secret))"
    validation = {"expression": allowed, "message": "allowed volumes: emptyDir, secret"}
    policy = {"matchConstraints": match, "failurePolicy": "Fail", "validations": [validation]}
    binding = {"policyName": name, "validationActions": ["Deny"]}
    kinds = {"ValidatingAdmissionPolicy": policy, "ValidatingAdmissionPolicyBinding": binding}
    documents = [
        {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, spec in kinds.items()
    ]
    kubernetes.apply(*documents)
    try:
        until("the rule to count", lambda: forbidden(kubernetes, namespace))
        with Lab(kubernetes, namespace, worker_images, tmp_path) as lab:
            handle = lab.run(budget=2)
            assert lab.wait(handle)["counts"]["completed"] == 2
            [note] = lab.home.json("cluster", "status")["notes"]
            assert note.endswith("an image volume"), "the words of a rule count for that experiment alone"
    finally:
        kubernetes.kubectl("delete", ",".join(kinds), name, "--ignore-not-found")


def forbidden(cluster: Access, namespace: str) -> bool:
    """Return True if a pod with an image volume is refused now."""
    spec = {"containers": [{"name": "a", "image": "a"}], "volumes": [{"name": "v", "image": {"reference": "b"}}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}
    try:
        cluster.kubectl("create", "-n", namespace, "--dry-run=server", "-f", "-", text=json.dumps(pod))
    except Broken:
        return True
    return False

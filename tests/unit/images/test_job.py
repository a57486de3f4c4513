"""The build inside a cluster, as it is applied."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from orchestune.errors import TooLarge
from orchestune.images.builds.build import Plan
from orchestune.images.builds.job import LIMIT, build_job, script
from orchestune.images.registries.manifests import Platform
from orchestune.images.registries.reference import Reference

TARGET = Reference("registry.lab:5000", "team/orchestune", "abc")
SCRIPT = """\
mkdir -p /tmp/context
cp -rL /orchestune/context/files/. /tmp/context/
buildah build --platform linux/arm64 --tag registry.lab:5000/team/orchestune:abc --tls-verify=false \
--file /orchestune/context/Dockerfile /tmp/context
buildah push --tls-verify=false registry.lab:5000/team/orchestune:abc docker://registry.lab:5000/team/orchestune:abc"""


def planned(folder: Path, *, plain: bool = False) -> Plan:
    requirements, script = folder / "requirements.txt", folder / "setup.sh"
    requirements.write_text("numpy\n")
    script.write_text("true\n")
    script.chmod(0o755)
    files = {"requirements.txt": requirements, "bin/setup.sh": script}
    return Plan("FROM x\n", files, Platform("arm64"), TARGET, plain=plain)


def test_the_builder_sees_the_files_of_the_plan_and_nothing_else(tmp_path: Path) -> None:
    settings, job = build_job(planned(tmp_path, plain=True), "build-1", "ml", labels={"app": "orchestune"})
    metadata = {"name": "build-1", "namespace": "ml", "labels": {"app": "orchestune"}}
    assert settings == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": {"Dockerfile": "FROM x\n"},
        "binaryData": {
            "file-0": base64.b64encode(b"numpy\n").decode(),
            "file-1": base64.b64encode(b"true\n").decode(),
        },
    }
    assert job == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 3600,
            "ttlSecondsAfterFinished": 600,
            "template": {
                "metadata": {"labels": {"app": "orchestune"}},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "nodeSelector": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"},
                    "containers": [
                        {
                            "name": "build",
                            "image": "quay.io/buildah/stable:latest",
                            "command": ["/bin/sh", "-ec", SCRIPT],
                            "env": [
                                {"name": "BUILDAH_ISOLATION", "value": "chroot"},
                                {"name": "STORAGE_DRIVER", "value": "vfs"},
                            ],
                            "resources": {
                                "requests": {"cpu": "500m", "memory": str(2**30)},
                                "limits": {"cpu": "2", "memory": str(4 * 2**30)},
                            },
                            "securityContext": {"runAsUser": 0},
                            "volumeMounts": [
                                {"name": "context", "mountPath": "/orchestune/context", "readOnly": True},
                                {"name": "storage", "mountPath": "/var/lib/containers"},
                            ],
                        }
                    ],
                    "volumes": [
                        {
                            "name": "context",
                            "configMap": {
                                "name": "build-1",
                                "items": [
                                    {"key": "Dockerfile", "path": "Dockerfile"},
                                    {"key": "file-0", "path": "files/requirements.txt", "mode": 0o644},
                                    {"key": "file-1", "path": "files/bin/setup.sh", "mode": 0o755},
                                ],
                            },
                        },
                        {"name": "storage", "emptyDir": {}},
                    ],
                },
            },
        },
    }


def test_a_build_that_may_take_little_requests_no_more(tmp_path: Path) -> None:
    [_, job] = build_job(planned(tmp_path), "build-1", "ml", memory=512 << 20)
    amounts = job["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert {kind: amount["memory"] for kind, amount in amounts.items()} == dict.fromkeys(
        ("requests", "limits"), str(512 << 20)
    )


def test_logins_are_named_and_never_written(tmp_path: Path) -> None:
    [_, job] = build_job(
        planned(tmp_path),
        "build-1",
        "ml",
        builder="registry.lab:5000/buildah:1",
        login_secret="login",
        pull_secrets=["pull"],
    )
    pod = job["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    [container] = pod["containers"]
    assert container["image"] == "registry.lab:5000/buildah:1"
    assert {"name": "REGISTRY_AUTH_FILE", "value": "/orchestune/login/config.json"} in container["env"]
    item = {"key": ".dockerconfigjson", "path": "config.json"}
    assert {"name": "login", "secret": {"secretName": "login", "items": [item]}} in pod["volumes"]


def test_whom_the_cluster_trusts_the_builder_trusts_beside_those_that_its_image_knows(tmp_path: Path) -> None:
    [_, job] = build_job(planned(tmp_path), "build-1", "ml", authorities=("settings", "bundle.pem"))
    pod = job["spec"]["template"]["spec"]
    item = {"key": "bundle.pem", "path": "ca.crt"}
    assert {"name": "authorities", "configMap": {"name": "settings", "items": [item]}} in pod["volumes"]
    [container] = pod["containers"]
    mount = {"name": "authorities", "mountPath": "/orchestune/authorities", "readOnly": True}
    assert mount in container["volumeMounts"]
    folders = "/orchestune/authorities:/etc/ssl/certs:/etc/pki/tls/certs"
    assert {"name": "SSL_CERT_DIR", "value": folders} in container["env"]


def test_without_files_nothing_is_copied_and_with_tls_it_is_verified() -> None:
    text = script(Plan("FROM x\n", {}, Platform("amd64"), TARGET))
    assert "cp " not in text and "tls" not in text


def test_files_that_a_config_map_cannot_hold_are_refused(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"\0" * (LIMIT + 1024))
    with pytest.raises(TooLarge, match=r"701 KiB \(at most 700 KiB\)") as caught:
        build_job(Plan("FROM x\n", {"large": large}, Platform("amd64"), TARGET), "build-1", "ml")
    assert "on this machine" in caught.value.hint

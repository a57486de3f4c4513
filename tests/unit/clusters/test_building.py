"""A build in the cluster: what is made there, what is said, what is left."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from orchestune.clusters.existing import plan
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.image_build import ClusterBuilder
from orchestune.errors import Denied, OrchestuneError, Unreachable
from orchestune.images.builds.build import Plan
from orchestune.images.registries.credentials import Credentials
from orchestune.images.registries.manifests import Platform
from orchestune.images.registries.reference import Reference
from orchestune.kubeapi.errors import PermissionMissing
from orchestune.kubeapi.labels import NO_MESH_ANNOTATIONS, NO_MESH_LABELS

PLAN = Plan("FROM x\n", {}, Platform("amd64"), Reference("registry.lab:5000", "orchestune", "0123456789abcdef"))
NO_LOG = "(no answer)"
"""a log that cannot be had"""
Look = tuple[dict[str, Any] | None, str]
"""what the API server shows at one moment: the pod, and its log"""


def pod(phase: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "build-pod"}, "status": {"phase": phase, **status}}


class Cluster:
    """An API server that goes from one look to the next."""

    def __init__(
        self, looks: Sequence[Look], refusal: str = "", connection: ConnectionSettings | None = None, lacking: str = ""
    ) -> None:
        self._lacking = lacking
        self._looks, self._refusal = list(looks), refusal
        self._settings = plan.settings(connection or ConnectionSettings("lab", "ml"))
        self.created: list[dict[str, Any]] = []
        self.deleted: list[dict[str, Any]] = []
        self.given = 0
        """lines of the log"""

    def create(self, document: dict[str, Any]) -> dict[str, Any]:
        self.created.append(document)
        return {**document, "metadata": {**document["metadata"], "uid": "uid-1"}}

    def get(self, version: str, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        assert (version, kind, name, namespace) == ("v1", "ConfigMap", "orchestune-config", "ml")
        return self._settings

    def call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert (method, body["kind"]) == ("POST", "SelfSubjectAccessReview"), path
        attributes = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": f"{attributes['verb']} {attributes['resource']}" != self._lacking}}

    def delete(self, document: dict[str, Any]) -> bool:
        self.deleted.append(document)
        return True

    def items(self, version: str, kind: str, namespace: str, selector: str | None = None) -> Iterator[dict[str, Any]]:
        if kind == "Event":
            about = {"kind": "Job", "name": self.created[0]["metadata"]["name"]}
            event = {"involvedObject": about, "reason": "FailedCreate", "message": self._refusal}
            return iter([event] if self._refusal else [])
        return iter([pod_shown] if (pod_shown := self._looks[0][0]) else [])

    def text(self, method: str, place: str, *, query: Mapping[str, str | None]) -> str:
        if self._looks[0][1] == NO_LOG:
            raise Unreachable("the cluster's API server cannot be reached")
        assert (place, query["timestamps"]) == ("/api/v1/namespaces/ml/pods/build-pod/log", "true")
        since = (query["sinceTime"] or "")[:19]
        from_then = [line for line in self._looks[0][1].splitlines(True) if line[:19] >= since]
        self.given += len(from_then)
        return "".join(from_then)

    def later(self, _: float) -> None:
        if len(self._looks) > 1:
            self._looks.pop(0)


def build(cluster: Cluster, login: Credentials | None = None, clock: Sequence[float] = ()) -> list[str]:
    messages: list[str] = []
    times = iter(clock)
    builder = ClusterBuilder(
        cluster,  # type: ignore[arg-type]
        "ml",
        "lab",
        find=lambda _: login,
        public=lambda _: True,
        clock=lambda: next(times, 0.0),
        sleep=cluster.later,
    )
    builder.build(PLAN, messages.append)
    return messages


def test_the_output_is_passed_on_line_by_line_and_nothing_is_left() -> None:
    looks = [
        (None, ""),
        (pod("Pending"), ""),
        (pod("Running"), "STEP 1\nSTE"),
        (pod("Running"), "STEP 1\nSTEP 2\n"),
        (pod("Succeeded"), "STEP 1\nSTEP 2\nSuccessfully tagged x\n"),
    ]
    cluster = Cluster(looks)
    assert build(cluster) == ["STEP 1", "STEP 2", "Successfully tagged x"]
    assert [document["kind"] for document in cluster.created] == ["Job", "ConfigMap"]
    assert cluster.deleted == [cluster.created[0]]
    [owner] = cluster.created[1]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", "uid-1")


def test_of_a_long_output_only_what_is_new_is_asked_for() -> None:
    lines = [f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.{part}00000000Z STEP {second}.{part}\n"
             for second in range(300) for part in range(3)]  # fmt: skip
    log_lines = [line.partition(" ")[2].rstrip() for line in lines]
    half = "2026-01-01T00:05:00.000000000Z STE"
    looks = [(pod("Running"), "".join(lines[:count]) + half * (count < 900)) for count in range(0, 901, 2)]
    cluster = Cluster([*looks, (pod("Succeeded"), "".join([*lines, lines[-1]]))])
    assert build(cluster) == [*log_lines, log_lines[-1]]
    assert cluster.given < 4 * len(lines)


def test_a_build_outlives_an_api_server_that_is_away_for_a_while() -> None:
    looks = [
        (pod("Running"), "STEP 1\n"),
        (pod("Running"), NO_LOG),
        (pod("Running"), NO_LOG),
        (pod("Succeeded"), "STEP 1\nSTEP 2\n"),
    ]
    assert build(Cluster(looks)) == ["STEP 1", "STEP 2"]
    cluster = Cluster([(pod("Running"), NO_LOG)])
    with pytest.raises(Unreachable):
        build(cluster, clock=range(0, 10_000, 100))
    assert cluster.deleted == [cluster.created[0]]


def test_a_login_goes_along_as_a_secret_that_goes_with_the_job() -> None:
    cluster = Cluster([(pod("Succeeded"), "")])
    build(cluster, Credentials("ada", "sesame"))
    job, _, secret = cluster.created
    [entry] = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"].values()
    assert base64.b64decode(entry["auth"]) == b"ada:sesame"
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert "sesame" not in json.dumps(job) and secret["metadata"]["name"] in json.dumps(job)


def test_logins_for_what_it_builds_on_go_along_where_not_everybody_may_have_it() -> None:
    text = (
        f"FROM hub.lab/private/x@sha256:{64 * '0'} AS made\n"
        f"FROM python@sha256:{64 * '1'}\nCOPY --from=made /x /x\nCOPY --from=other.lab/public@sha256:{64 * '2'} /y /y\n"
    )
    logins = {name: Credentials("ada", name) for name in ("registry.lab:5000", "hub.lab", "docker.io", "third.lab")}
    builder = ClusterBuilder(
        Cluster([]),  # type: ignore[arg-type]
        "ml",
        "lab",
        find=logins.get,
        public=lambda image: not image.repository.startswith("private/"),
    )
    *_, secret = builder.documents(replace(PLAN, dockerfile=text), ConnectionSettings("lab", "ml"), "00")
    docker_auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
    passwords = {name: base64.b64decode(entry["auth"]).decode() for name, entry in docker_auths.items()}
    assert passwords == {"registry.lab:5000": "ada:registry.lab:5000", "hub.lab": "ada:hub.lab"}


def test_no_mesh_puts_a_container_into_the_build_that_would_keep_it_from_ending() -> None:
    cluster = Cluster([(pod("Succeeded"), "")])
    build(cluster)
    job = cluster.created[0]
    metadata = job["spec"]["template"]["metadata"]
    assert metadata["labels"] == {**job["metadata"]["labels"], **NO_MESH_LABELS}
    assert metadata["annotations"] == NO_MESH_ANNOTATIONS


def test_who_may_not_build_is_told_before_anything_is_made() -> None:
    for lacking, login in (("create jobs", None), ("create secrets", Credentials("ada", "sesame"))):
        cluster = Cluster([(pod("Succeeded"), "")], lacking=lacking)
        with pytest.raises(
            PermissionMissing, match=f"lacks rights to build an image in the cluster: {lacking}"
        ) as caught:
            build(cluster, login)
        assert "docs/how-to/permissions.md" in caught.value.hint and "podman" in caught.value.hint
        assert cluster.created == []
    build(Cluster([(pod("Succeeded"), "")], lacking="create secrets"))


def test_a_build_pulls_with_the_secrets_of_the_cluster_and_trusts_whom_it_was_told() -> None:
    lab = ConnectionSettings("lab", "ml", pull_secrets=("pull",), certificates=True)
    for connection, secrets, settings in ((lab, [{"name": "pull"}], ["orchestune-config"]), (None, [], [])):
        cluster = Cluster([(pod("Succeeded"), "")], connection=connection)
        build(cluster)
        pod_spec = cluster.created[0]["spec"]["template"]["spec"]
        assert pod_spec.get("imagePullSecrets", []) == secrets
        assert [v["configMap"]["name"] for v in pod_spec["volumes"] if v["name"] == "authorities"] == settings


def test_a_build_goes_out_through_the_proxy_of_the_cluster() -> None:
    for proxy, expected in (("http://proxy.lab:3128", 2), (None, 0)):
        cluster = Cluster(
            [(pod("Succeeded"), "")], connection=ConnectionSettings("lab", "ml", proxy=proxy, no_proxy="hub.lab")
        )
        build(cluster)
        [container] = cluster.created[0]["spec"]["template"]["spec"]["containers"]
        environment = {item["name"]: item["value"] for item in container["env"]}
        assert [environment.get("HTTPS_PROXY"), environment.get("https_proxy")].count(
            "http://proxy.lab:3128"
        ) == expected
        assert ("hub.lab" in environment.get("NO_PROXY", "").split(",")) is bool(proxy)


@pytest.mark.parametrize("certificates", [False, True])
def test_a_registry_of_an_unknown_authority_is_told_with_how_the_cluster_gets_to_know_it(certificates: bool) -> None:
    log = "Successfully tagged x\nx509: certificate signed by unknown authority\n"
    connection = ConnectionSettings("lab", "ml", certificates=certificates)
    with pytest.raises(OrchestuneError, match="does not trust a registry") as caught:
        build(Cluster([(pod("Failed"), log)], connection=connection))
    assert "`orchestune cluster connect -n lab --ca FILE`" in caught.value.hint
    assert ("replacing its present certificates" in caught.value.hint) is certificates


@pytest.mark.parametrize(
    ("log", "kind", "why"),
    [
        ("STEP 1\nno such program\n", OrchestuneError, "a Job in the cluster lab could not build the image"),
        ("Successfully tagged x\ndenied: no\n", Denied, "the registry registry.lab:5000 refuses"),
        (
            "STEP 1: FROM hub.lab/x\nError: initializing source docker://hub.lab/x: unauthorized: who?\n",
            Denied,
            "may not pull a base image",
        ),
    ],
)
def test_a_failure_shows_the_output_and_leaves_nothing(log: str, kind: type[OrchestuneError], why: str) -> None:
    cluster = Cluster([(pod("Failed"), log)])
    with pytest.raises(kind, match=why) as caught:
        build(cluster)
    assert log.strip() in caught.value.message
    assert cluster.deleted == [cluster.created[0]]


def test_a_build_that_takes_too_much_memory_is_told_how_it_gets_more() -> None:
    killed = [{"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]
    cluster = Cluster([(pod("Failed", containerStatuses=killed), "STEP 1\n")])
    with pytest.raises(OrchestuneError, match=r"out of memory \(limit 4 GiB\)") as caught:
        build(cluster)
    assert "ORCHESTUNE_BUILDER_MEMORY" in caught.value.hint
    assert cluster.deleted == [cluster.created[0]]


def test_a_namespace_that_forbids_it_says_so_at_once() -> None:
    cluster = Cluster([(None, "")], refusal="violates PodSecurity")
    with pytest.raises(OrchestuneError, match="does not start: violates PodSecurity") as caught:
        build(cluster)
    assert "baseline" in caught.value.hint
    assert cluster.deleted == [cluster.created[0]]


def test_an_image_that_cannot_be_pulled_and_a_pod_that_finds_no_machine_are_told() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    pulled = pod("Pending", containerStatuses=[{"image": "buildah", "state": waiting}])
    with pytest.raises(OrchestuneError, match="buildah cannot be pulled: not found") as caught:
        build(Cluster([(pulled, "")]))
    assert "ORCHESTUNE_BUILDER" in caught.value.hint
    full = pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}])
    with pytest.raises(OrchestuneError, match="no node can take the pod: 0/3 nodes") as caught:
        build(Cluster([(full, "")]), clock=[0.0, 1.0, 1000.0])
    assert "half a core and 1 GiB" in caught.value.hint and "ORCHESTUNE_BUILDER" not in caught.value.hint


EVICTED = "The node was low on resource: ephemeral-storage. "


@pytest.mark.parametrize(
    ("final_pod", "why"),
    [
        (pod("Failed", reason="Evicted", message=EVICTED), "Evicted: The node was low on resource: ephemeral-storage"),
        (pod("Failed") | {"metadata": {"name": "build-pod", "deletionTimestamp": "now"}}, "its pod was deleted"),
        (None, "its pod was deleted"),
    ],
    ids=["evicted", "being deleted", "gone"],
)
def test_a_build_that_the_cluster_has_ended_is_not_taken_for_one_that_failed(
    final_pod: dict[str, Any] | None, why: str
) -> None:
    cluster = Cluster([(pod("Running"), "STEP 1\n"), (final_pod, "")])
    with pytest.raises(OrchestuneError, match=f"the cluster terminated the build: {why}") as caught:
        build(cluster)
    assert "repeat the command" in caught.value.hint and "install" not in caught.value.hint
    assert cluster.deleted == [cluster.created[0]]


def test_a_build_that_takes_longer_than_it_may_is_told() -> None:
    cluster = Cluster([(pod("Running"), "STEP 1\n"), (None, "")])
    with pytest.raises(OrchestuneError, match="it took longer than 60 minutes"):
        build(cluster, clock=[0.0, 1.0, 3601.0])

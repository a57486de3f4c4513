"""Objects in a cluster, compared with golden files. `ORCHESTUNE_WRITE_GOLDEN=1` rewrites them."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from orchestune.clusters.existing import plan, probe
from orchestune.clusters.existing.config import SETTINGS, ConnectionSettings, checked, read, refuse_moves
from orchestune.clusters.existing.text import as_yaml
from orchestune.errors import BadInput, OrchestuneError, UsageError
from orchestune.kubeapi.labels import OWN_LABELS

GOLDEN = Path(__file__).parent / "golden"
IMAGE = "registry.lab:5000/orchestune/server@sha256:" + "ab" * 32
LAB = ConnectionSettings("lab", "ml", server_image=IMAGE, version="0.2.0", registry="registry.lab:5000")
CASES = {
    "usual": (LAB, None, ""),
    "everything": (
        ConnectionSettings(
            "lab",
            "ml",
            server_image=IMAGE,
            version="0.2.0",
            default_image="python:3.12",
            storage_class="fast",
            size="50Gi",
            retention="90d",
            gpu_resource="amd.com/gpu",
            elastic=True,
            create_namespace=True,
            pull_secrets=("hub",),
            proxy="http://proxy.lab:3128",
            no_proxy="lab",
            certificates=True,
            database=True,
            queues=True,
        ),
        "postgresql://orchestune:geheim@db/orchestune",
        "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n",
    ),
    "openshift_with_own_claim": (
        ConnectionSettings("lab", "ml", server_image=IMAGE, claim="disk", user=None),
        None,
        "",
    ),
    "database_two_replicas": (
        ConnectionSettings(
            "lab", "ml", server_image=IMAGE, database=True, files="s3://lab/files", replicas=2, env_secret="aws"
        ),
        "postgresql://orchestune:geheim@db/orchestune",
        "",
    ),
    "database_and_shared_claim": (
        ConnectionSettings("lab", "ml", server_image=IMAGE, database=True, files="claim:shared", replicas=2),
        "postgresql://orchestune:geheim@db/orchestune",
        "",
    ),
}


def documents(case: str) -> list[dict[str, Any]]:
    connection, database, certificates = CASES[case]
    manifests = plan.foundation(connection, certificates=certificates)
    manifests += [plan.database_secret(connection, database, b"a key")] if database else []
    manifests += plan.server(connection, certificates=certificates, secret="7")
    return manifests + plan.administrators_part(connection)


@pytest.mark.parametrize("case", CASES)
def test_the_manifests_are_those_of_the_golden_file(case: str) -> None:
    text, file = as_yaml(documents(case)), GOLDEN / f"{case}.yaml"
    if os.environ.get("ORCHESTUNE_WRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("case", CASES)
def test_what_is_printed_reads_back_as_what_is_applied(case: str) -> None:
    applied = [document for document in documents(case) if document["kind"] != "Secret"]
    printed = [item for item in YAML(typ="safe").load_all(as_yaml(documents(case))) if item["kind"] != "Secret"]
    assert printed == applied


@pytest.mark.parametrize("case", CASES)
def test_everything_carries_our_labels_and_a_name(case: str) -> None:
    for document in documents(case):
        assert OWN_LABELS.items() <= document["metadata"]["labels"].items(), document


def test_a_printed_secret_tells_nothing() -> None:
    text = as_yaml(documents("database_two_replicas"))
    assert "geheim" not in text and base64.b64encode(b"a key").decode() not in text


def test_a_namespace_is_made_only_where_that_was_asked_for() -> None:
    kinds = {case: {document["kind"] for document in documents(case)} for case in CASES}
    assert [case for case in CASES if "Namespace" in kinds[case]] == ["everything"]


def test_a_disruption_budget_is_there_with_several_replicas_only() -> None:
    kinds = {case: {document["kind"] for document in documents(case)} for case in CASES}
    assert [case for case in CASES if "PodDisruptionBudget" in kinds[case]] == [
        "database_two_replicas", "database_and_shared_claim",
    ]  # fmt: skip


def test_the_state_lies_on_a_claim_unless_it_lies_elsewhere_altogether() -> None:
    for case, (connection, _, _) in CASES.items():
        pod = next(item for item in documents(case) if item["kind"] == "Deployment")["spec"]["template"]["spec"]
        data = next(volume for volume in pod["volumes"] if volume["name"] == "data")
        assert ("emptyDir" in data) == connection.stateless


def test_another_setting_restarts_the_server_and_the_same_ones_do_not() -> None:
    def mark(connection: ConnectionSettings, secret: str = "") -> str:
        manifests = plan.server(connection, secret=secret)
        template = next(item for item in manifests if item["kind"] == "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["orchestune.dev/configuration"])

    assert mark(LAB) == mark(ConnectionSettings.from_json(LAB.to_json()))
    assert mark(LAB) != mark(LAB.with_changes({"gpu_resource": "amd.com/gpu"}))
    assert mark(LAB) != mark(LAB, secret="another")


def test_settings_come_back_from_the_cluster_as_they_were() -> None:
    for connection, _, _ in CASES.values():
        assert read(plan.settings(connection)["data"]) == connection


def test_what_a_later_version_wrote_beside_them_is_left_out() -> None:
    assert ConnectionSettings.from_json(LAB.to_json() | {"colour": "blue"}) == LAB


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"claim": "other"}, "claim is mine"),
        ({"size": "90Gi"}, "size is "),
        ({"files": "s3://bucket/files"}, "files is not set"),
        ({"database": True}, "database is not set"),
    ],
)
def test_a_server_is_not_sent_away_from_its_data(changes: dict[str, Any], message: str) -> None:
    now = replace(LAB, claim="mine")
    with pytest.raises(UsageError, match=message):
        refuse_moves(now, changes)
    refuse_moves(now, {"claim": "mine", "size": now.size, "files": None, "database": None, "replicas": 2})


def test_another_kind_of_storage_takes_the_place_of_the_first() -> None:
    fast = LAB.with_changes({"storage_class": "fast"})
    assert fast.with_changes({"claim": "disk"}).storage_class is None
    assert LAB.with_changes({"claim": "disk"}).with_changes({"storage_class": "fast"}).claim is None


@pytest.mark.parametrize("size", ["20Gi", "1.5Ti", "1Pi", "2P", "500M", "100k", "21474836480"])
def test_a_disk_has_a_size_as_kubernetes_writes_it(size: str) -> None:
    assert checked(ConnectionSettings("lab", "ml", size=size)).size == size


@pytest.mark.parametrize(
    ("connection", "key"),
    [
        (ConnectionSettings("My Lab", "ml"), "name"),
        (ConnectionSettings("local", "ml"), "name"),
        (ConnectionSettings("lab", "ML"), "namespace"),
        (ConnectionSettings("lab", "ml", size="much"), "size"),
        (ConnectionSettings("lab", "ml", size="20GB"), "size"),
        (ConnectionSettings("lab", "ml", size="20 Gi"), "size"),
        (ConnectionSettings("lab", "ml", size="20K"), "size"),
        (ConnectionSettings("lab", "ml", size="0Gi"), "size"),
        (ConnectionSettings("lab", "ml", files="/data"), "files"),
        (ConnectionSettings("lab", "ml", replicas=2), "replicas"),
    ],
)
def test_a_wrong_setting_is_named(connection: ConnectionSettings, key: str) -> None:
    with pytest.raises(BadInput) as caught:
        checked(connection)
    assert [problem.key for problem in caught.value.problems] == [key]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gpu_resource", ""),
        ("gpu_resource", "nvidia gpu"),
        ("pool_label", "my pool"),
        ("pool_label", "/pool"),
        ("default_image", "Not An Image"),
        ("proxy", "http://ada:sesame@proxy.lab:3128"),
        ("proxy", "ada:sesame@proxy.lab:3128"),
    ],
)
def test_what_a_cluster_would_refuse_or_everybody_could_read_is_told_before_anything_is_made(
    key: str, value: str
) -> None:
    with pytest.raises(BadInput) as caught:
        LAB.with_changes({key: value})
    assert [problem.key for problem in caught.value.problems] == [key]
    assert "sesame" not in str(caught.value)
    had = ConnectionSettings.from_json(LAB.to_json() | {key: value})
    assert had.with_changes({"size": None}) == had, "a value left out is not a change"


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "1", '"x"', '{"replicas": 1}'])
def test_settings_that_were_broken_by_hand_are_told(text: str) -> None:
    with pytest.raises(OrchestuneError, match=r"has no entry connection.json|cannot parse connection.json"):
        read({SETTINGS: text})


@pytest.mark.parametrize("proxy", ["proxy.lab:3128", "http://[fd00::1]:3128", "http://ada@proxy.lab", "socks5://p:1"])
def test_a_proxy_is_handed_on_as_it_was_written(proxy: str) -> None:
    assert LAB.with_changes({"proxy": proxy}).way_out["HTTPS_PROXY"] == proxy


def test_a_setting_is_taken_away_by_nothing_in_its_place() -> None:
    had = LAB.with_changes({"registry": "registry.lab:5000", "default_image": "x:1", "proxy": "http://p:1"})
    names = ("registry", "default_image", "claim", "files", "retention", "env_secret", "proxy", "no_proxy")
    without = had.with_changes(dict.fromkeys(names, ""))
    assert [getattr(without, name) for name in names] == [None] * len(names)
    assert without.makes_claim and LAB.with_changes({"storage_class": ""}).storage_class == ""
    refuse_moves(LAB, {"claim": "", "files": ""})
    with pytest.raises(UsageError, match="cannot move the server's data"):
        refuse_moves(LAB.with_changes({"claim": "disk"}), {"claim": ""})


def test_pods_keep_to_the_nodes_that_the_image_is_for() -> None:
    for architecture, more in (("arm64", {"kubernetes.io/arch": "arm64"}), ("", {})):
        connection = replace(LAB, architecture=architecture)
        documents = plan.server(connection)
        [deployment] = [document for document in documents if document["kind"] == "Deployment"]
        look = probe.pod(connection, probe.ProbeTarget("cpu"), "0-cpu")
        for spec in (deployment["spec"]["template"]["spec"], look["spec"]):
            assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", **more}
        settings = json.loads(plan.settings(connection)["data"]["kubernetes.json"])
        assert settings.get("architecture", "") == architecture


def test_what_experiments_may_use_is_added_and_taken_back_one_by_one() -> None:
    allowed = LAB.with_changes({"allow": ["privileged", "claim:datasets", "capability:cap_sys_ptrace"]})
    assert allowed.allow == ("capability:SYS_PTRACE", "claim:datasets", "privileged")
    assert allowed.with_changes({}).allow == allowed.allow
    assert ConnectionSettings.from_json(json.loads(json.dumps(allowed.to_json()))) == allowed
    fewer = allowed.with_changes({"allow": ["claim:b"], "disallow": ["privileged", "claim:datasets", "host-pid"]})
    assert fewer.allow == ("capability:SYS_PTRACE", "claim:b")
    assert json.loads(plan.settings(fewer)["data"]["kubernetes.json"])["allow"] == list(fewer.allow)
    assert "allow" not in json.loads(plan.settings(LAB)["data"]["kubernetes.json"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"allow": ["clam:x"]}, "allow: unknown kind of access: 'clam'"),
        ({"disallow": ["claim"]}, "disallow: 'claim' needs a name"),
        ({"allow": ["service-account:orchestune-server"]}, "belong to the server"),
        ({"claim": "disk", "allow": ["claim:disk"]}, "cannot allow 'claim:disk' to experiments: the server itself"),
        ({"env_secret": "aws", "allow": ["secret:aws"]}, "cannot allow 'secret:aws' to experiments"),
    ],
)
def test_what_is_the_servers_or_misspelled_cannot_be_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        LAB.with_changes(changes)

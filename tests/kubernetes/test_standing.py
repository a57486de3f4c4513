"""The ways in which a server may stand in a cluster, and the ways in which it goes."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import make_url

from orchestune.archives.archive_store import ArchiveStore
from orchestune.client.tunnels.server_pod import ready
from orchestune.files.open import open_files
from tests.kubernetes.lab import Lab, bind, kubeconfig_of, wait_until_gone
from tests.kubernetes.test_forwarding import assert_reached, names, reachable
from tests.kubernetes.test_promises import assert_exact, client, launch, pods, running, status
from tests.testbeds.gateways import proxy, tls_front
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.kubernetes.pki import Authority
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

pytestmark = pytest.mark.timeout(1200)
SERVER = "app.kubernetes.io/component=server"
SMALL = {"cpu": "100m", "memory": "64Mi"}
ASSIGNED = 1_000_660_000
ADMISSION = "admissionregistration.k8s.io/v1"


@pytest.fixture
def lab(kubernetes: Access, namespace: str, registry: Registry) -> Iterator[Lab]:
    """One user, and a namespace with nothing in it."""
    with Lab(kubernetes, namespace, registry) as new_lab:
        yield new_lab
        client(new_lab).close()
        new_lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)


def use(lab: Lab, *options: str) -> None:
    lab.connect(*options)
    lab.home.run("cluster", "use", lab.name)


def archived(folder: Path) -> list[str]:
    """The handles of the experiments in an archive."""
    return sorted(archived_record.head.handle for archived_record in ArchiveStore(open_files(str(folder))).records())


def test_a_claim_of_ones_own_stays_and_what_was_run_goes_where_it_is_told(
    lab: Lab, server_image: str, shell: str, tmp_path: Path
) -> None:
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "mine"},
        "spec": {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    lab.cluster.apply(claim, namespace=lab.namespace)
    use(lab, "--server-image", server_image, "--claim", "mine")
    first = launch(lab, shell, budget=2, resources=SMALL)
    assert_exact(lab, first, 2, 2)
    lab.home.run("rerun", f"{first}/1", "--cluster", lab.name)
    again = lab.home.json("status")[0]
    assert (again["origin"], again["counts"]["completed"]) == (f"{first}/1", 1)
    same = [lab.home.json("trials", f"{handle}/1")["parameters"] for handle in (first, again["handle"])]
    assert same[0] == same[1]

    lab.run("disconnect", "--archive", "--to", str(tmp_path / "archive"))
    assert "deployment.apps/orchestune-server" in lab.ours(), "nothing changed there"
    assert archived(tmp_path / "archive") == sorted([first, again["handle"]])
    lab.connect()
    lab.run("destroy", "--yes", "--to", str(tmp_path / "other"))
    wait_until_gone(lab)
    assert archived(tmp_path / "other") == sorted([first, again["handle"]])
    assert lab.cluster.exists("persistentvolumeclaim/mine", "-n", lab.namespace)
    lab.home.run("import", str(tmp_path / "other"), "--trust-unverified")
    assert lab.home.json("best", first)


@pytest.mark.long
def test_a_cluster_goes_into_the_server_of_another_one(
    lab: Lab, kubernetes: Access, registry: Registry, server_image: str, shell: str
) -> None:
    use(lab, "--server-image", server_image)
    handle = launch(lab, shell, budget=2, resources=SMALL)
    assert_exact(lab, handle, 2, 2)
    space = f"test-{secrets.token_hex(4)}"
    kubernetes.create_namespace(space)
    try:
        other = ("cluster", "connect", "-n", "other", "--namespace", space, "--server-image", server_image)
        lab.home.run(*other)
        lab.run("destroy", "--yes", "--to", "other")
        wait_until_gone(lab)
        assert lab.home.json("status", handle, "--cluster", "other")["counts"]["completed"] == 2
        lab.home.run("cluster", "destroy", "-n", "other", "--yes", "--abandon")
    finally:
        kubernetes.kubectl("delete", "namespace", space, "--wait=false")


@pytest.mark.long
def test_a_test_that_was_killed_in_the_middle_leaves_no_experiment(lab: Lab, server_image: str, shell: str) -> None:
    use(lab, "--server-image", server_image)
    folder = lab.experiment(shell, run="echo begun; sleep 600; echo score={x}", resources=SMALL)
    with lab.home.start("test", "--cluster", lab.name, cwd=folder) as process:
        until("the trial to run", lambda: any(item["counts"]["running"] for item in everything(lab)))
        process.kill()
        process.communicate()
    until("the experiment to be gone", lambda: not everything(lab), 300)
    until("its pods to be gone", lambda: not pods(lab, "app.kubernetes.io/component=worker"))


def everything(lab: Lab) -> list[Any]:
    """Every experiment there is, hidden ones too."""
    return list(client(lab).experiments(limit=None, hidden=True))


@pytest.fixture
def like_openshift(kubernetes: Access, namespace: str) -> Iterator[str]:
    """The namespace assigns a user to each pod, and takes none that names another; the API looks like OpenShift's."""
    name = f"orchestune-{namespace}"
    names = {"plural": "securitycontextconstraints", "singular": "scc", "kind": "SecurityContextConstraints"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    group = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "securitycontextconstraints.security.openshift.io"},
        "spec": {
            "group": "security.openshift.io", "scope": "Cluster", "names": names,
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }  # fmt: skip
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    match = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}, "resourceRules": rules}
    assign = f"Object{{spec: Object.spec{{securityContext: Object.spec.securityContext{{runAsUser: {ASSIGNED}}}}}}}"
    free = "has(object.spec.securityContext) && has(object.spec.securityContext.runAsUser)"
    policies = [
        {
            "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "matchConstraints": match, "failurePolicy": "Fail", "reinvocationPolicy": "Never",
                "matchConditions": [{"name": "free", "expression": f"!({free})"}],
                "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": assign}}],
            },
        },
        {
            "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "matchConstraints": match, "failurePolicy": "Fail",
                "validations": [{
                    "expression": f"object.spec.securityContext.runAsUser == {ASSIGNED}",
                    "message": "unable to validate against any security context constraint",
                }],
            },
        },
        {
            "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name},
        },
        {
            "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]  # fmt: skip
    kubernetes.apply(group, *({"apiVersion": ADMISSION, **policy} for policy in policies))
    kinds = ",".join(str(policy["kind"]) for policy in policies)
    try:
        until("the API to show the group", lambda: "security.openshift.io" in kubernetes.kubectl("api-versions"))
        until("the policy to count", lambda: _assigned(kubernetes, namespace))
        yield namespace
    finally:
        kubernetes.kubectl("delete", kinds, name, "--ignore-not-found")
        kubernetes.kubectl("delete", "crd", "securitycontextconstraints.security.openshift.io", "--wait=false")


def _assigned(cluster: Access, namespace: str) -> bool:
    """Return True if a pod would get its user."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}  # fmt: skip  # noqa: E501
    pod_document = cluster.kubectl(
        "create", "-n", namespace, "--dry-run=server", "-o", "json", "-f", "-", text=json.dumps(pod)
    )
    return bool(json.loads(pod_document)["spec"].get("securityContext", {}).get("runAsUser") == ASSIGNED)


@pytest.mark.long
@pytest.mark.parametrize("restricted", [False, True], ids=["any pod", "restricted"])
def test_where_the_cluster_says_who_pods_run_as_everything_works(
    lab: Lab, like_openshift: str, server_image: str, shell: str, *, restricted: bool
) -> None:
    if restricted:
        lab.cluster.kubectl("label", "namespace", like_openshift, "pod-security.kubernetes.io/enforce=restricted")
    use(lab, "--server-image", server_image)
    run = "echo user $(id -u) home ${HOME:-none}; echo score={x}; echo kept > note.txt"
    handle = launch(lab, shell, run=run, budget=2, resources=SMALL)
    assert_exact(lab, handle, 2, 2)
    assert f"user {ASSIGNED} home" in lab.home.run("logs", handle).stdout
    assert [finding for finding in lab.json("test") if finding["state"] == "error"] == []
    server = pods(lab, SERVER)[0]
    assert server["spec"]["securityContext"]["runAsUser"] == ASSIGNED


@pytest.fixture
def database(kubernetes_postgres_url: str) -> Iterator[str]:
    """A new database that pods and this host reach: `postgresql://…`."""
    name = f"test_{secrets.token_hex(6)}"
    url = make_url(kubernetes_postgres_url).set(drivername="postgresql")
    plain = url.render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    yield url.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


class Bucket:
    """`s3://lab/files` on this host, and the variables that open it."""

    def __init__(self, address: tuple[str, int], keys: dict[str, str]) -> None:
        self.address, self.keys = address, keys

    def secret(self, cluster: Access, namespace: str, endpoint: str) -> None:
        """A Secret `bucket` in the namespace with everything."""
        variables = {**self.keys, "AWS_ENDPOINT_URL_S3": endpoint}
        literals = [f"--from-literal={key}={value}" for key, value in variables.items()]
        cluster.kubectl("create", "secret", "generic", "bucket", "-n", namespace, *literals)


@pytest.fixture
def bucket(own_kubernetes: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket that pods reach, without TLS."""
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    for key, value in {**keys, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(key, value)
    server = ThreadedMotoServer(ip_address=own_kubernetes.host_address, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    store = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    store.create_bucket(Bucket="lab")
    store.close()
    yield Bucket((host, port), keys)
    server.stop()


@pytest.mark.long
@pytest.mark.parametrize(
    ("replicas", "files"),
    [(1, "s3://lab/files"), (2, "s3://lab/files"), (2, "claim:shared")],
    ids=["the only server", "one of two servers", "one of two servers that share a claim"],
)
def test_on_a_database_a_server_may_vanish_with_its_node(
    lab: Lab,
    own_kubernetes: Cluster,
    server_image: str,
    shell: str,
    database: str,
    bucket: Bucket,
    tmp_path: Path,
    *,
    replicas: int,
    files: str,
) -> None:
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "shared"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    lab.cluster.apply(claim, namespace=lab.namespace)
    bucket.secret(own_kubernetes, lab.namespace, "http://{}:{}".format(*bucket.address))
    use(
        lab, "--server-image", server_image, "--database-url", database, "--files", files,
        "--env-secret", "bucket", "--replicas", str(replicas),
    )  # fmt: skip
    assert ("poddisruptionbudget.policy/orchestune-server" in lab.ours()) == (replicas > 1)
    assert not [name for name in lab.ours() if "persistentvolumeclaim" in name]
    assert len({pod["spec"]["nodeName"] for pod in running(lab, SERVER)}) == replicas, "each on a node of its own"
    viewer = kubeconfig_of(own_kubernetes, "vera", lab.namespace, tmp_path / "vera")
    bind(own_kubernetes, lab.namespace, "vera", "viewer")
    assert reachable(lab, "viewer") == [names(lab)]
    nap = "for i in 1 2 3 4 5 6; do echo step $i; sleep 0.5; done; echo score={x}; echo kept > note.txt"
    handle = launch(lab, shell, run=nap, budget=30, parallelism=3, resources=SMALL)
    until("trials to end", lambda: status(lab, handle)["counts"]["completed"] >= 3)
    servers = [pod["spec"]["nodeName"] for pod in running(lab, SERVER)]
    lost = next((node for node in servers if node != "gpu1"), servers[0])
    began = time.monotonic()
    own_kubernetes.lose_node(lost)
    lab.home.json("status", handle)
    print(f"status after {time.monotonic() - began:.1f} s")
    before = status(lab, handle)["counts"]["completed"]
    until("trials to end again", lambda: status(lab, handle)["counts"]["completed"] > before + 3)
    print(f"four more trials {time.monotonic() - began:.1f} s after a node with one of the servers was lost")
    assert_reached(lab, viewer)
    assert set(names(lab, only=ready)) <= set(reachable(lab, "viewer")[0]), "also the new pod"
    assert_exact(lab, handle, 30, 3)
    unheard = [worker for worker in status(lab, handle)["workers"] if "no heartbeat from" in (worker["reason"] or "")]
    assert {worker["node"] for worker in unheard} <= {lost}, "workers elsewhere found the other server, or waited"
    lab.home.run("get", f"{handle}/30", "-o", str(lab.home.folder / "got"))
    assert [file.read_text() for file in (lab.home.folder / "got").rglob("note.txt")] == ["kept\n"]


@pytest.mark.long
def test_a_bucket_that_is_not_there_is_found_by_the_test_of_a_cluster(
    lab: Lab, own_kubernetes: Cluster, server_image: str, bucket: Bucket
) -> None:
    bucket.secret(own_kubernetes, lab.namespace, "http://{}:{}".format(*bucket.address))
    use(lab, "--server-image", server_image, "--files", "s3://elsewhere/files", "--env-secret", "bucket")
    wrong = [one for one in json.loads(lab.run("test", "--json", expect=1).stdout) if one["state"] == "error"]
    assert [one["name"] for one in wrong] == ["store"] and "s3://elsewhere/files" in wrong[0]["detail"]


@pytest.mark.long
def test_a_server_goes_out_by_the_proxy_and_trusts_the_authority_that_it_was_told(
    lab: Lab, own_kubernetes: Cluster, server_image: str, shell: str, bucket: Bucket, tmp_path: Path
) -> None:
    host, authority = own_kubernetes.host_address, Authority.create(tmp_path / "authority")
    authority.issue("bucket", "bucket", hosts=[host])
    pair = authority.folder / "bucket.crt", authority.folder / "bucket.key"
    with proxy(host) as way_out, tls_front(host, *pair, bucket.address) as front:
        bucket.secret(own_kubernetes, lab.namespace, f"https://{host}:{front.port}")
        use(
            lab, "--server-image", server_image, "--files", "s3://lab/files", "--env-secret", "bucket",
            "--proxy", f"http://{host}:{way_out.port}", "--ca", str(authority.folder / "ca.crt"),
        )  # fmt: skip
        handle = launch(lab, shell, budget=2, resources=SMALL)
        assert_exact(lab, handle, 2, 2)
        lab.home.run("get", f"{handle}/1", "-o", str(tmp_path / "got"))
        assert [file.read_text() for file in (tmp_path / "got").rglob("note.txt")] == ["kept\n"]
        assert set(way_out.went) == {f"{host}:{front.port}"}, "and nothing of the cluster itself"
        lab.run("destroy", "--yes")
    assert lab.home.json("status", handle)["counts"]["completed"] == 2, "the bucket's files came along"

"""Clusters at a provider from the command line: what is asked, shown and remembered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from orchestune.cli.clusters import apply as making
from orchestune.cli.clusters import cloud, remove
from orchestune.cli.clusters.cloud import ProgressPrinter
from orchestune.cli.terminal.console import Console
from orchestune.client.clusters import Clusters, ConnectedCluster
from orchestune.domain.clusters.cluster import (  # fmt: skip
    CloudStatus,
    ClusterAddresses,
    ClusterSpec,
    CompletedStep,
    CostCenter,
    Planned,
    PlanProblem,
    PoolState,
    ProvisioningEvent,
    RemainingResource,
    RemovalCheck,
)
from orchestune.errors import Conflict, Denied, OrchestuneError, Unreachable
from orchestune.ports.provisioner import Drain, Provisioner, Say
from tests.unit.cli.conftest import Result
from tests.unit.clusters.world import World

FILE = """\
cloud_provider: aws
cluster_name: vision
cpu: {instance_type: c4.xlarge, min_nodes: 1, max_nodes: 2}
"""
CLUSTER_STATUS = CloudStatus(
    "vision", "eu-central-1", "ACTIVE", "1.33", (PoolState("cpu", "ACTIVE", ("c4.xlarge",), 1, 1, 2),)
)
Cli = Callable[..., Result]


@dataclass
class Provider:
    """Fulfils `Provisioner`; remembers what was done."""

    complaints: list[PlanProblem] = field(default_factory=list)
    standing: CloudStatus | None = None
    left: tuple[RemainingResource, ...] = ()
    fails: BaseException | None = None
    without: OrchestuneError | None = None
    """why it cannot be said what has to run in the cluster"""
    made: tuple[str, ...] = ("one",)
    """the roles that come to be before it fails"""
    removes: tuple[str, ...] = ()
    """kinds of what goes when it is destroyed"""
    done: list[str] = field(default_factory=list)

    def payer(self) -> CostCenter:
        return CostCenter("aws", "123456789012", "eu-central-1", "arn:aws:iam::123456789012:user/ada")

    def check(self, spec: ClusterSpec) -> tuple[list[PlanProblem], list[str]]:
        return self.complaints, ["cpu: a remark"]

    def plan(self, spec: ClusterSpec) -> list[Planned]:
        return [Planned("role", "one", "of all"), Planned("network", "two")]

    def apply(self, spec: ClusterSpec, say: Say) -> ClusterAddresses:
        self.done.append("apply")
        for name in self.made:
            say(ProvisioningEvent(CompletedStep.MADE, Planned("role", name)))
        if self.fails is not None:
            raise self.fails
        raise AssertionError("not expected to be called")

    def reach(self, name: str) -> ClusterAddresses | None:
        return None

    def login(self, name: str) -> dict[str, Any]:
        return {"eks": {"cluster": name, "region": "eu-central-1"}}

    def manifests(self, spec: ClusterSpec) -> list[dict[str, Any]]:
        if self.without is not None:
            raise self.without
        pod = {"containers": [{"name": "autoscaler", "image": "example.org/autoscaler:v1"}]}
        scaler = {"kind": "Deployment", "metadata": {"name": "autoscaler"}, "spec": {"template": {"spec": pod}}}
        return [{"kind": "StorageClass", "metadata": {"name": "gp3"}}, scaler]

    def retirement(self, spec: ClusterSpec) -> dict[str, Any]:
        return {}

    def changes(self, spec: ClusterSpec) -> list[Planned]:
        return []

    def update(self, spec: ClusterSpec, say: Say, drain: Drain) -> None:
        self.done.append("update")

    def status(self, name: str) -> CloudStatus | None:
        return self.standing

    def clusters(self) -> Sequence[CloudStatus]:
        return [CLUSTER_STATUS]

    def destroy(self, name: str, say: Say, *, keep_registry: bool = False) -> None:
        self.done.append(f"destroy {name}{' but images' if keep_registry else ''}")
        for kind in self.removes:
            say(ProvisioningEvent(CompletedStep.REMOVED, Planned(kind, name)))
        if self.fails is not None:
            raise self.fails

    def prove(self, name: str, *, keep_registry: bool = False) -> RemovalCheck:
        return RemovalCheck(("EKS", "IAM"), self.left)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ORCHESTUNE_SERVER", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.yml").write_text(FILE)
    return tmp_path


@pytest.fixture
def provider(home: Path, monkeypatch: pytest.MonkeyPatch) -> Provider:
    fake = Provider()
    checked: Provisioner = fake
    monkeypatch.setattr(cloud, "open_provisioner", lambda provider, region="", profile="": checked)
    return fake


def connected_clusters(home: Path) -> tuple[ConnectedCluster, ...]:
    return Clusters(home / "home").connected()


def test_a_dry_run_shows_every_resource_and_where_and_makes_nothing(provider: Provider, cli: Cli, home: Path) -> None:
    output = cli("cluster", "create", "--dry-run")
    assert output.code == 0
    assert "in account 123456789012 of AWS, eu-central-1, as arn:aws:iam::123456789012:user/ada:" in output.out
    assert [line.split()[:2] for line in output.out.splitlines()[2:]] == [
        ["role", "one"], ["network", "two"], ["StorageClass", "gp3"], ["Deployment", "autoscaler"],
        ["server", "orchestune"],
    ]  # fmt: skip
    assert "in the cluster, example.org/autoscaler:v1" in output.out
    document = json.loads(cli("cluster", "create", "--dry-run", "--json").out)
    assert document["account"] == "123456789012"
    assert [item["kind"] for item in document["resources"]][:3] == ["role", "network", "StorageClass"]
    assert "The cluster costs money: control plane, NAT gateway, 1 to 2 x c4.xlarge." in output.err
    assert "there already" not in output.err
    assert provider.done == [] and connected_clusters(home) == ()


def test_who_creates_what_is_there_is_told_what_changes_it(provider: Provider, cli: Cli) -> None:
    provider.standing = CLUSTER_STATUS
    output = cli("cluster", "create", "--dry-run")
    assert "completing it; `orchestune cluster update -f cluster.yml` also applies changes" in output.err


def test_what_the_provider_refuses_is_told_at_its_place_in_the_file(provider: Provider, cli: Cli) -> None:
    provider.complaints = [PlanProblem("cpu.instance_type", "there are none", "did you mean c5.xlarge?")]
    refused = cli("cluster", "create", "--yes")
    assert refused.code == 2
    assert "cluster.yml:3:22: cpu.instance_type: there are none (did you mean c5.xlarge?)" in refused.err
    assert provider.done == []


def test_releases_that_cannot_be_looked_up_are_told_before_anything_is_made(
    provider: Provider, cli: Cli, home: Path
) -> None:
    provider.without = OrchestuneError("the releases of the autoscaler cannot be looked up", "write an image of it")
    failed = cli("cluster", "create", "--yes")
    assert failed.code == 1
    assert "the releases of the autoscaler cannot be looked up" in failed.err
    assert provider.done == [] and connected_clusters(home) == ()


@pytest.mark.parametrize("words", [("create",), ("destroy", "-n", "vision", "--cloud", "aws")])
def test_nothing_is_spent_or_destroyed_unasked(provider: Provider, cli: Cli, words: tuple[str, ...]) -> None:
    refused = cli("cluster", *words)
    assert refused.code == 2
    assert "add --yes" in refused.err
    assert provider.done == []


def test_what_fails_says_how_to_go_on_and_how_to_remove_the_rest_and_is_known(
    provider: Provider, cli: Cli, home: Path
) -> None:
    provider.fails = OrchestuneError("network two: no", "mend it")
    failed = cli("cluster", "create", "--yes")
    assert failed.code == 1
    assert "network two: no" in failed.err
    for words in (
        "mend it",
        "`orchestune cluster create -f cluster.yml` continues",
        "`orchestune cluster destroy -n vision`",
    ):
        assert words in failed.err
    provider.made, provider.fails = (), OrchestuneError("role one: no")
    assert "cluster destroy" not in cli("cluster", "create", "--yes").err
    assert [(item.name, item.cloud, item.region) for item in connected_clusters(home)] == [
        ("vision", "aws", "eu-central-1")
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("create",),
            "`orchestune cluster create -f cluster.yml` continues from here, `orchestune cluster destroy -n v",
        ),
        (("destroy", "-n", "vision"), "repeat the command to continue"),
    ],
)
def test_who_interrupts_is_told_how_it_goes_on(
    provider: Provider, cli: Cli, home: Path, words: tuple[str, ...], message: str
) -> None:
    cli("cluster", "list")  # makes the folder
    Clusters(home / "home").add(ConnectedCluster("vision", "kubernetes", cloud="aws", region="eu-central-1"))
    provider.fails = KeyboardInterrupt()
    stopped = cli("cluster", *words, "--yes")
    assert stopped.code == 130 and f"interrupted: {message}" in stopped.err
    assert [item.name for item in connected_clusters(home)] == ["vision"]


def test_what_is_left_though_nothing_refused_to_go_keeps_the_cluster_known(
    provider: Provider, cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remove, "_CHECK_SECONDS", 0.0)
    cli("cluster", "list")  # makes the folder
    Clusters(home / "home").add(ConnectedCluster("vision", "kubernetes", cloud="aws", region="eu-central-1"))
    provider.left = (RemainingResource("IAM", "role", "one", ""),)
    assert cli("cluster", "destroy", "-n", "vision", "--yes").code == 1
    assert [item.name for item in connected_clusters(home)] == ["vision"]
    provider.left = ()
    assert cli("cluster", "destroy", "-n", "vision", "--yes").code == 0
    assert connected_clusters(home) == ()


def test_a_cluster_of_that_name_from_elsewhere_is_not_overwritten(provider: Provider, cli: Cli, home: Path) -> None:
    cli("cluster", "list")
    other = ConnectedCluster("vision", "kubernetes", context="lab")
    Clusters(home / "home").add(other)
    refused = cli("cluster", "create", "--yes")
    assert refused.code == 2
    assert "another cluster is already connected as 'vision'" in refused.err
    assert connected_clusters(home) == (other,) and provider.done == []


def test_destroying_ends_with_what_was_looked_at_and_forgets_the_cluster(
    provider: Provider, cli: Cli, home: Path
) -> None:
    provider.fails = OrchestuneError("no")
    cli("cluster", "create", "--yes")
    provider.fails, provider.done = None, []
    way = home / "home/kubeconfigs/vision.json"
    way.parent.mkdir()
    way.write_text("{}")
    Clusters(home / "home").add(replace(connected_clusters(home)[0], kubeconfig=str(way)))
    result = cli("cluster", "destroy", "-n", "vision", "--yes", "--keep-registry")
    assert result.code == 0
    assert provider.done == ["destroy vision but images"]
    assert "remove it with `orchestune cluster destroy -n vision --cloud aws --region eu-central-1`" in result.out
    assert "EKS                    nothing left" in result.out
    assert connected_clusters(home) == () and not way.exists()


def test_a_kubeconfig_of_the_users_own_is_never_removed(provider: Provider, cli: Cli, home: Path) -> None:
    cli("cluster", "list")
    own = home / "config"
    own.write_text("{}")
    Clusters(home / "home").add(
        ConnectedCluster("vision", "kubernetes", str(own), "lab", "ml", cloud="aws", region="eu-west-1")
    )
    assert cli("cluster", "destroy", "-n", "vision", "--yes").code == 0
    assert connected_clusters(home) == () and own.exists()


@pytest.mark.parametrize("words", [("destroy", "--context", "lab"), ("connect", "--namespace", "ml"),
                                   ("connect", "--cloud", "aws", "--kubeconfig", "config")])  # fmt: skip
def test_of_a_cluster_that_was_made_there_the_provider_alone_says_where_it_is(
    words: tuple[str, ...], provider: Provider, cli: Cli, home: Path
) -> None:
    cli("cluster", "list")
    Clusters(home / "home").add(ConnectedCluster("vision", "kubernetes", cloud="aws", region="eu-central-1"))
    refused = cli("cluster", *words, "-n", "vision", "--yes")
    assert refused.code == 2
    assert "'vision', a cluster at a cloud provider" in refused.err and provider.done == []


@pytest.mark.parametrize("word", ["connect", "destroy"])
def test_a_cluster_of_that_name_in_another_region_is_another_one(
    word: str, provider: Provider, cli: Cli, home: Path
) -> None:
    cli("cluster", "list")
    cluster = ConnectedCluster("vision", "kubernetes", cloud="aws", region="eu-central-1")
    Clusters(home / "home").add(cluster)
    refused = cli("cluster", word, "-n", "vision", "--cloud", "aws", "--region", "us-east-1", "--yes")
    assert refused.code == 2
    assert "'vision' is a cluster at aws in eu-central-1, not in that region" in refused.err
    assert connected_clusters(home) == (cluster,) and provider.done == []


def test_what_cannot_be_removed_is_listed_with_its_reason_and_the_cluster_stays_known(
    provider: Provider, cli: Cli, home: Path
) -> None:
    provider.fails = OrchestuneError("no")
    cli("cluster", "create", "--yes")
    provider.fails = Conflict("not all of 'vision' could be removed")
    provider.left = (RemainingResource("EKS", "pool", "cpu", "in use by somebody"),)
    refused = cli("cluster", "destroy", "-n", "vision", "--yes")
    assert refused.code == 2
    assert [line for line in refused.out.splitlines() if "cpu" in line] == [
        "EKS                    pool cpu: in use by somebody"
    ]
    assert [item.name for item in connected_clusters(home)] == ["vision"]


def test_what_is_destroyed_and_what_was_not_there_are_told_apart(provider: Provider, cli: Cli) -> None:
    words = ("cluster", "destroy", "-n", "vision", "--cloud", "aws", "--yes")
    assert cli(*words).out.splitlines()[-1] == "vision: already destroyed"
    provider.removes = ("role",)  # the rest of one whose control plane had gone before
    assert cli(*words).out.splitlines()[-1] == "vision: destroyed"


def test_destroying_what_nobody_knows_here_says_where_it_may_have_been_made(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(home / "none"))
    result = cli("cluster", "destroy", "-n", "vision", "--yes")
    assert result.code == 2
    assert "error: no cluster 'vision' is connected on this machine, and there is no kubeconfig at" in result.err
    assert "hint:  add --cloud aws for one created there" in result.err


def test_clusters_of_a_provider_are_listed_whoever_made_them(provider: Provider, cli: Cli) -> None:
    listed = cli("cluster", "list", "--cloud", "aws")
    assert listed.out.splitlines()[1].split() == ["vision", "eu-central-1", "ACTIVE", "1.33", "cpu", "1"]
    assert json.loads(cli("cluster", "list", "--cloud", "aws", "--json").out)[0]["pools"][0]["now"] == 1


def test_where_a_provider_has_no_cluster_of_ours_that_is_said(
    provider: Provider, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "clusters", list)
    listed = cli("cluster", "list", "--cloud", "aws")
    assert (listed.code, listed.out) == (0, "")
    assert "no Orchestune clusters in account 123456789012 of AWS, eu-central-1" in listed.err
    assert json.loads(cli("cluster", "list", "--cloud", "aws", "--json").out) == []


def test_the_status_of_a_cluster_that_is_being_made_is_that_of_its_provider(
    provider: Provider, cli: Cli, home: Path
) -> None:
    cli("cluster", "list")
    cli("cluster", "list")  # makes the folder
    Clusters(home / "home").add(ConnectedCluster("vision", "kubernetes", cloud="aws", region="eu-central-1"))
    provider.standing = replace(CLUSTER_STATUS, state="CREATING", up=False, trouble="it takes long")
    output = cli("cluster", "status", "-n", "vision")
    assert output.code == 0
    assert "vision: CREATING, Kubernetes 1.33, account 123456789012, eu-central-1" in output.out
    assert "it takes long" in output.out
    provider.standing = None
    missing = cli("cluster", "status", "-n", "vision")
    assert missing.code == 2
    assert "no cluster 'vision' in eu-central-1" in missing.err


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "team"),
        ({"AWS_PROFILE": "other"}, "other"),
        ({"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}, ""),  # keys in the environment take precedence
    ],
)
def test_a_cluster_is_asked_for_as_whom_it_was_made_unless_the_environment_says_otherwise(
    provider: Provider, cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str
) -> None:
    profiles: list[str] = []
    provisioner: Provisioner = provider

    def opened(cloud: str, region: str = "", profile: str = "") -> Provisioner:
        profiles.append(profile)
        return provisioner

    monkeypatch.setattr(cloud, "open_provisioner", opened)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_PROFILE", "team")
    provider.fails = OrchestuneError("no")
    cli("cluster", "create", "--yes")
    assert [item.profile for item in connected_clusters(home)] == ["team"]
    monkeypatch.delenv("AWS_PROFILE")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    profiles.clear()
    for words in (("status", "-n", "vision"), ("update", "--dry-run"), ("destroy", "-n", "vision", "--yes")):
        cli("cluster", *words)
    assert profiles == [expected] * 3


def test_an_update_without_a_difference_asks_nothing_and_changes_no_pool(provider: Provider, cli: Cli) -> None:
    output = cli("cluster", "update", "--dry-run")
    assert output.code == 0
    assert "nothing to change" in output.out
    missing = cli("cluster", "update")
    assert "no such cluster: 'vision'" in missing.err
    assert provider.done == []


class Young:
    """The API of a cluster that answers with these errors first."""

    host = "https://young"

    def __init__(self, *errors: OrchestuneError) -> None:
        self.errors = list(errors)

    def call(self, method: str, place: str, **query: object) -> None:
        if self.errors:
            raise self.errors.pop(0)


def waited(*errors: OrchestuneError, access_timeout: float) -> float:
    """The seconds until a young cluster is used."""
    now = [0.0]
    sleep = lambda seconds: now.__setitem__(0, now[0] + seconds)
    console = Console(err=StringIO(), out=StringIO(), environ={})
    api: Any = Young(*errors)
    making.answering(api, console, access_timeout=access_timeout, clock=lambda: now[0], sleep=sleep)
    return now[0]


def test_a_new_cluster_that_does_not_know_yet_who_made_it_is_waited_for() -> None:
    assert waited(Unreachable("no such name"), Denied("who?"), Denied("who?"), access_timeout=60) == 6
    with pytest.raises(Denied):  # of one that is there for long he is no user
        waited(Denied("who?"), access_timeout=0)
    with pytest.raises(Denied):
        waited(*[Denied("who?")] * 100, access_timeout=60)


def test_progress_is_one_line_for_each_resource_and_one_a_minute_while_it_lasts() -> None:
    err, now = StringIO(), [0.0]
    cluster = Planned("control plane", "vision", "EKS")
    with ProgressPrinter(Console(err=err, out=StringIO(), environ={}), clock=lambda: now[0]) as telling:
        for second in range(0, 150, 10):
            now[0] = second
            telling(ProvisioningEvent(CompletedStep.WAITING, cluster, second))
        telling(ProvisioningEvent(CompletedStep.MADE, cluster, 150))
    assert err.getvalue().splitlines() == [
        "waiting  control plane vision  1m 00s",
        "waiting  control plane vision  2m 00s",
        "made     control plane vision  EKS  2m 30s",
    ]


def test_progress_on_a_terminal_is_painted_over() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    err = Terminal()
    telling = ProgressPrinter(Console(err=err, out=StringIO(), environ={}))
    telling(ProvisioningEvent(CompletedStep.WAITING, Planned("role", "one"), 3))
    telling(ProvisioningEvent(CompletedStep.FAILED, Planned("role", "one"), 4))
    assert err.getvalue() == "…        role one  3.0s\r\x1b[Kfailed   role one  4.0s\n"


def test_an_update_opens_machines_again_whose_pool_stays_after_all(
    provider: Provider, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = {"labels": {"orchestune.dev/pool": "cpu"}, "annotations": {"orchestune.dev/draining": "yes"}}
    world = World({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", **marks}, "spec": {}})
    monkeypatch.setattr(making, "api", lambda cluster: world.api)
    monkeypatch.setattr(provider, "reach", lambda name: ClusterAddresses("https://vision", "Y2E=", "", ""))
    monkeypatch.setattr(provider, "manifests", lambda spec: [])
    result = cli("cluster", "update", "--yes", "--json")
    assert json.loads(result.out) == {"name": "vision", "changed": True}
    assert "uncordoned, since their pools are kept: n1" in result.err
    assert world.patched == ["/api/v1/nodes/n1"]
    assert json.loads(cli("cluster", "update", "--yes", "--json").out)["changed"] is False

"""A cluster that destroys itself when it is idle, seen from AWS: its function, what that may, and what it leaves."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial

import pytest

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.errors import RequestRejected
from orchestune.clusters.aws.lambda_handler import LambdaTeardown, tear_down
from orchestune.clusters.aws.names import Names
from orchestune.domain.clusters.cluster import ClusterSpec, TeardownSettings
from orchestune.errors import Conflict, Denied
from tests.integration.aws import life, plain, stage
from tests.testbeds.aws.fake import REGION, Fake
from tests.testbeds.aws.fixtures import Died
from tests.testbeds.aws.identities import ACCOUNT, Identity

pytestmark = pytest.mark.timeout(900)
NAMES = Names(stage.NAME, REGION, ACCOUNT)
ROLE = "orchestune-orchestrate-cluster-us-west-2-retirement"
As = Callable[[Identity], None]
EMPTY_POLICY: dict[str, object] = {"Version": "2012-10-17", "Statement": []}


@pytest.fixture
def acting(aws: Fake, monkeypatch: pytest.MonkeyPatch) -> As:
    """A function that puts the credentials of an identity into the environment."""

    def become(who: Identity) -> None:
        for name, value in aws.environment(who).items():
            monkeypatch.setenv(name, value)
        if not who.token:
            monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)

    return become


def part(aws: Fake, name: str) -> Identity:
    """One of the cluster's own roles, with what its policies say."""
    return aws.world.take_on(NAMES.role_arn(name), name)


def run(seconds_left: Callable[[], float] = lambda: 900.0, clock: stage.Clock | None = None) -> str:
    clock = clock or stage.Clock()
    return tear_down(Aws(REGION, clock=clock, sleep=clock.sleep), NAMES, seconds_left)


def create_retiring_cluster(aws: Fake, spec: ClusterSpec = stage.RETIRING) -> object:
    """The cluster, after all that was there before it."""
    life.archive(aws)
    aws.behaviour.runs = False
    before = aws.inventory()
    assert stage.provisioner().check(spec)[0] == []
    stage.create(spec)
    return before


def test_its_function_removes_all_of_it_with_its_own_rights_and_its_own_role_last(aws: Fake, acting: As) -> None:
    before = create_retiring_cluster(aws)
    life.left_by_kubernetes()
    life.left_by_guardduty()
    acting(part(aws, "retirement"))
    assert run() == "removed"
    assert aws.inventory() == before
    changed = [call for call in aws.journal if stage.changes(call)][-3:]
    assert [call.name for call in changed] == ["lambda:DeleteFunction", "iam:DeleteRolePolicy", "iam:DeleteRole"]
    acting(aws.user)
    assert stage.provisioner().prove(stage.NAME).left == ()


def test_where_rights_end_at_once_a_role_without_any_stays_that_destroy_finds(aws: Fake, acting: As) -> None:
    before = create_retiring_cluster(aws)
    aws.behaviour.policy_lag = 0
    acting(part(aws, "retirement"))
    assert run() == f"removed, except for the role {ROLE}, which has no permissions any more"
    acting(aws.user)
    assert aws.inventory()["role"] == {ROLE} and part(aws, "retirement").policy == EMPTY_POLICY
    proof = stage.provisioner().prove(stage.NAME)
    assert [(item.kind, item.name) for item in proof.left] == [("role", ROLE)]
    stage.destroy()
    assert aws.inventory() == before


def test_a_run_that_dies_before_its_role_is_gone_leaves_what_destroy_finds(aws: Fake, acting: As) -> None:
    before = create_retiring_cluster(aws)
    acting(part(aws, "retirement"))
    aws.faults.die_where(lambda call: call.name == "iam:DeleteRolePolicy" and call.parameters["RoleName"] == ROLE)
    with pytest.raises(Died):
        run()
    aws.faults.clear()
    acting(aws.user)
    assert aws.inventory()["role"] == {ROLE} and "function" not in aws.inventory()
    stage.destroy()
    assert aws.inventory() == before


def _until(clock: stage.Clock) -> Callable[[], float]:
    """A run whose time is over after two seconds."""
    return lambda: 62.0 - clock.now


def test_runs_that_have_no_time_left_call_the_next_one_until_all_is_gone(aws: Fake, acting: As) -> None:
    before = create_retiring_cluster(aws)
    acting(part(aws, "retirement"))
    outcome = ""
    for count in range(1, 60):
        clock = stage.Clock()
        outcome = run(_until(clock), clock)
        if outcome == "removed":
            break
        assert outcome == "continues in the next run" and len(aws.functions.invoked) == count
    assert outcome == "removed" and len(aws.functions.invoked) > 2
    acting(aws.user)
    assert aws.inventory() == before


def test_runs_that_die_at_any_change_leave_what_the_next_one_removes(aws: Fake, acting: As) -> None:
    before = create_retiring_cluster(aws)
    acting(part(aws, "retirement"))
    deaths = stage.die_again_and_again(aws, lambda: run() if "function" in aws.inventory() else "not called")
    acting(aws.user)
    stage.destroy()
    assert aws.inventory() == before and deaths > 30


def test_what_somebody_else_put_into_its_network_stops_it_and_a_later_run_goes_on(aws: Fake, acting: As) -> None:
    create_retiring_cluster(aws)
    ec2 = plain.client("ec2")
    filters = [{"Name": "tag:orchestune.dev/cluster", "Values": [stage.NAME]}]
    subnet = ec2.describe_subnets(Filters=filters)["Subnets"][0]["SubnetId"]
    strange = ec2.create_network_interface(SubnetId=subnet, Description="a database")["NetworkInterface"]
    acting(part(aws, "retirement"))
    with pytest.raises(Conflict, match="a database"):
        run()
    assert "function" in aws.inventory()
    acting(aws.user)
    ec2.delete_network_interface(NetworkInterfaceId=strange["NetworkInterfaceId"])
    acting(part(aws, "retirement"))
    assert run() == "removed"


@pytest.mark.parametrize(
    ("service", "operation", "request_"),
    [
        ("eks", "DeleteCluster", {"name": "demo"}),
        ("ecr", "DeleteRepository", {"repositoryName": "somebody/else"}),
        ("iam", "DeleteRole", {"RoleName": "orchestune-demo-us-west-2-node"}),
        ("lambda", "Invoke", {"FunctionName": "orchestune-demo-retirement", "InvocationType": "Event"}),
        ("s3", "DeleteBucket", {"Bucket": "team-archive"}),
        ("iam", "CreateRole", {"RoleName": "orchestune-mine", "AssumeRolePolicyDocument": "{}"}),
    ],
)
def test_its_function_may_nothing_to_other_things(
    aws: Fake, acting: As, service: str, operation: str, request_: dict[str, str]
) -> None:
    create_retiring_cluster(aws)
    plain.cluster("demo")
    plain.client("ecr").create_repository(repositoryName="somebody/else")
    before = aws.inventory()
    acting(part(aws, "retirement"))
    with pytest.raises(Denied):
        Aws(REGION).call(service, operation, request_)
    assert aws.inventory() == before


def test_the_server_may_call_the_function_and_keep_records_and_destroy_nothing(aws: Fake, acting: As) -> None:
    create_retiring_cluster(aws)
    acting(part(aws, "server"))
    LambdaTeardown(stage.NAME, REGION).begin()
    assert aws.functions.invoked == [NAMES.function]
    s3 = plain.client("s3")
    s3.put_object(Bucket="team-archive", Key="vision/experiments/one", Body=b"x")
    for key in ("other/one", "one"):
        elsewhere = partial(s3.put_object, Bucket="team-archive", Key=key, Body=b"x")
        assert plain.refused(elsewhere)[0] == "AccessDenied"
    for operation, request in (
        ("DeleteCluster", {"name": stage.NAME}),
        ("ListNodegroups", {"clusterName": stage.NAME}),
    ):
        with pytest.raises(Denied):
            Aws(REGION).call("eks", operation, request)


def test_an_update_brings_it_changes_it_and_calls_it_off(aws: Fake) -> None:
    life.archive(aws)
    plainly = dataclasses.replace(stage.SPEC, bucket=False)
    stage.create(plainly)
    before = aws.inventory()
    changed_spec = dataclasses.replace(stage.RETIRING, bucket=False)
    *needed, change = stage.provisioner().changes(changed_spec)
    assert [(one.kind, one.detail.partition(":")[0]) for one in needed] == [
        ("role", "new"), ("role", "new"), ("pod identity", "new"),
    ]  # fmt: skip
    assert (
        change.title == f"function {NAMES.function}"
        and "new: removes the cluster after 8h without work" in change.detail
    )
    stage.provisioner().update(changed_spec, stage.RecordedEvents(), lambda pool, beat: None)
    assert aws.inventory()["function"] == {NAMES.function} and ROLE in aws.inventory()["role"]
    assert stage.provisioner().changes(changed_spec) == []

    sooner = dataclasses.replace(changed_spec, retirement=TeardownSettings(3600.0, "s3://team-archive/elsewhere"))
    may, change = stage.provisioner().changes(sooner)
    assert (may.kind, may.detail) == ("role", "repaired: inline policy")
    assert change.detail.startswith(
        "removes the cluster after 1h without work, once its records are in s3://team-archive/e"
    )
    stage.provisioner().update(sooner, stage.RecordedEvents(), lambda pool, beat: None)
    assert stage.provisioner().changes(sooner) == []
    assert "elsewhere" in json.dumps(part(aws, "server").policy)

    [change] = stage.provisioner().changes(plainly)
    assert change.detail == "removed: an idle cluster is kept"
    stage.provisioner().update(plainly, stage.RecordedEvents(), lambda pool, beat: None)
    assert stage.provisioner().changes(plainly) == []
    inventory = dict(aws.inventory())
    assert "function" not in inventory and ROLE not in inventory["role"]
    assert part(aws, "server").policy == EMPTY_POLICY
    stage.destroy()
    assert set(before) - set(aws.inventory())


def test_code_of_another_version_is_replaced_by_this_one(aws: Fake) -> None:
    create_retiring_cluster(aws)
    function = aws.functions.known[REGION, NAMES.function]
    good = function.code
    function.code, function.document["CodeSha256"] = b"old", "old"
    [change] = stage.provisioner().changes(stage.RETIRING)
    assert (change.title, change.detail) == (f"function {NAMES.function}", "updated to the code of this version")
    stage.create(stage.RETIRING)
    assert (function.code, stage.provisioner().changes(stage.RETIRING)) == (good, [])


def test_an_archive_that_is_not_there_or_goes_with_the_cluster_is_told(aws: Fake) -> None:
    [problem], _ = stage.provisioner().check(stage.RETIRING)
    assert problem.key == "idle.archive" and "no such bucket: 'team-archive'" in problem.message
    own = TeardownSettings(3600.0, f"s3://{NAMES.bucket}/archive")
    [problem], _ = stage.provisioner().check(dataclasses.replace(stage.SPEC, retirement=own))
    assert "the cluster's own bucket" in problem.message


def test_what_is_uploaded_runs_by_itself_in_lambda_and_destroys_the_cluster(aws: Fake, acting: As) -> None:
    before = create_retiring_cluster(aws)
    aws.behaviour.runs, aws.behaviour.polls = True, 1
    acting(part(aws, "server"))
    LambdaTeardown(stage.NAME, REGION).begin()
    runs = aws.functions.join()
    acting(aws.user)
    assert [one.code for one in runs] == [0], runs
    assert runs[0].said.splitlines()[0] == "removed", runs[0].said
    assert aws.inventory() == before


def test_it_runs_in_the_newest_python_that_the_sdk_knows_and_lambda_has(aws: Fake) -> None:
    create_retiring_cluster(aws)
    tried = [call.parameters["Runtime"] for call in aws.journal if call.name == "lambda:CreateFunction"]
    runtimes = [name for name in Aws(REGION).enum_values("lambda", "Runtime") if name.startswith("python3.")]
    assert tried[0] == max(runtimes, key=lambda name: int(name.partition(".")[2]))
    assert tried[-1] == aws.functions.known[REGION, NAMES.function].document["Runtime"] == aws.behaviour.runtimes[-1]


def test_a_lambda_that_has_none_of_them_says_which_it_has(aws: Fake) -> None:
    aws.behaviour.runtimes = ("python9.1",)
    life.archive(aws)
    with pytest.raises(RequestRejected, match=r"function .*enum value set: \[python9.1\]"):
        stage.create(stage.RETIRING)

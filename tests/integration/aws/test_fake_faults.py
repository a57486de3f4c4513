"""Faults of the fake that tests plan, and requests that it never accepts."""

from __future__ import annotations

import base64

import pytest
from botocore import xform_name
from botocore.signers import RequestSigner

from tests.integration.aws import plain
from tests.testbeds.aws.fake import REGION, Fake
from tests.testbeds.aws.fixtures import Died


def test_what_a_policy_does_not_allow_is_denied_as_each_service_says_it(aws: Fake) -> None:
    aws.user.policy = {"Statement": [{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}]}
    calls = {
        "ec2": lambda: plain.client("ec2").create_vpc(CidrBlock="10.0.0.0/16"),
        "iam": lambda: plain.client("iam").get_role(RoleName="x"),
        "eks": lambda: plain.client("eks").list_clusters(),
        "s3": lambda: plain.client("s3").list_buckets(),
        "ecr": lambda: plain.client("ecr").describe_repositories(),
        "service-quotas": lambda: plain.client("service-quotas").list_service_quotas(ServiceCode="ec2"),
    }
    refusals = {service: plain.refused(call) for service, call in calls.items()}
    assert {service: code for service, (code, _) in refusals.items()} == {
        "ec2": "UnauthorizedOperation", "iam": "AccessDenied", "eks": "AccessDeniedException", "s3": "AccessDenied",
        "ecr": "AccessDeniedException", "service-quotas": "AccessDeniedException",
    }  # fmt: skip
    actions = ("ec2:CreateVpc", "iam:GetRole", "eks:ListClusters", "s3:ListAllMyBuckets", "ecr:DescribeRepositories",
               "servicequotas:ListServiceQuotas")  # fmt: skip
    for action, (_, text) in zip(actions, refusals.values(), strict=True):
        assert f"not authorized to perform: {action}" in text and aws.user.arn in text
    assert plain.client("ec2").describe_vpcs() and plain.client("sts").get_caller_identity()["Arn"] == aws.user.arn
    aws.behaviour.terse = True
    assert plain.refused(calls["ec2"])[1] == "You are not authorized to perform this operation."


def test_roles_are_passed_only_by_those_who_may(aws: Fake) -> None:
    aws.world.service_roles.add("AWSServiceRoleForAmazonEKS")
    _, subnets = plain.network()
    arn = plain.role("control", "eks.amazonaws.com")
    aws.user.policy = {"Statement": [{"Effect": "Allow", "Action": "eks:*", "Resource": "*"}]}
    request = {"name": "demo", "roleArn": arn, "resourcesVpcConfig": {"subnetIds": subnets}}
    code, text = plain.refused(lambda: plain.client("eks").create_cluster(**request))
    assert code == "AccessDeniedException" and f"iam:PassRole on resource: {arn}" in text
    to_eks = {"StringEquals": {"iam:PassedToService": "eks.amazonaws.com"}}
    passing = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": arn, "Condition": to_eks}
    aws.user.policy["Statement"].append(passing)
    plain.patiently(lambda: plain.client("eks").create_cluster(**request), "InvalidParameterException")


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("ec2:DescribeVpcs", "RequestLimitExceeded"), ("iam:ListRoles", "Throttling"),
        ("eks:ListClusters", "ThrottlingException"), ("ecr:DescribeRepositories", "ThrottlingException"),
        ("s3:ListBuckets", "SlowDown"),
    ],
)  # fmt: skip
def test_throttling_is_named_as_each_service_names_it_and_botocore_waits_it_out(
    aws: Fake, operation: str, code: str
) -> None:
    service, _, name = operation.partition(":")
    client = plain.client(service)
    aws.faults.throttle(operation, times=2)
    getattr(client, xform_name(name))()
    assert [call.outcome for call in aws.journal] == [code, code, ""]


def test_a_connection_that_breaks_after_the_effect_leaves_the_effect(aws: Fake) -> None:
    iam = plain.client("iam")
    aws.faults.die_at(1, after=True)
    with pytest.raises(Died):
        plain.role("node", "ec2.amazonaws.com")
    assert aws.inventory()["role"] == {"node"}
    aws.faults.clear()
    aws.faults.die_at(len(aws.journal) + 1)
    with pytest.raises(Died):
        plain.role("other", "ec2.amazonaws.com")
    aws.faults.clear()
    assert aws.inventory()["role"] == {"node"} and iam.get_role(RoleName="node")


def test_credentials_expire_when_a_test_says_so(aws: Fake) -> None:
    aws.user.expired = True
    codes = {
        "ec2": plain.refused(lambda: plain.client("ec2").describe_vpcs())[0],
        "iam": plain.refused(lambda: plain.client("iam").list_roles())[0],
        "eks": plain.refused(lambda: plain.client("eks").list_clusters())[0],
    }
    assert codes == {"ec2": "RequestExpired", "iam": "ExpiredToken", "eks": "ExpiredTokenException"}


def test_a_request_that_the_model_does_not_allow_is_noted_with_its_name(aws: Fake) -> None:
    plain.refused(lambda: plain.client("eks").create_addon(clusterName="demo", addonName="x", resolveConflicts="MAYBE"))
    [problem] = aws.broken
    assert problem.startswith("eks:CreateAddon") and "MAYBE" in problem and "OVERWRITE" in problem
    aws.broken.clear()


def test_a_token_of_eks_is_reviewed_by_its_signature_and_the_access_entries(aws: Fake) -> None:
    plain.cluster()
    review = aws.front.review
    assert review is not None
    review_status = review({"spec": {"token": _token("demo")}})["status"]
    assert review_status["authenticated"] and review_status["user"]["groups"] == ["system:masters"]
    assert review_status["user"]["extra"]["canonicalArn"] == [aws.user.arn]
    forged = "k8s-aws-v1." + base64.urlsafe_b64encode(_signed("demo").replace("60", "61").encode()).decode().rstrip("=")
    for wrong in (_token("another"), forged, "bearer"):
        assert not review({"spec": {"token": wrong}})["status"]["authenticated"]
    plain.client("eks").delete_access_entry(clusterName="demo", principalArn=aws.user.arn)
    assert "no access entry" in review({"spec": {"token": _token("demo")}})["status"]["error"]


def _token(cluster: str) -> str:
    return "k8s-aws-v1." + base64.urlsafe_b64encode(_signed(cluster).encode()).decode().rstrip("=")


def _signed(cluster: str) -> str:
    sts = plain.client("sts")
    signer = RequestSigner(
        sts.meta.service_model.service_id, REGION, "sts", "v4", sts._request_signer._credentials, sts.meta.events
    )
    request = {
        "method": "GET", "url": f"https://sts.{REGION}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {}, "headers": {"x-k8s-aws-id": cluster}, "context": {},
    }  # fmt: skip
    url: str = signer.generate_presigned_url(request, operation_name="", expires_in=60, region_name=REGION)
    return url

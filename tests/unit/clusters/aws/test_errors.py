"""Every error of AWS is reported with the resource, the reason, and a hint."""

from __future__ import annotations

import pytest
from botocore import exceptions

from orchestune.clusters.aws.errors import (
    CredentialsExpired,
    OverQuota,
    RequestRejected,
    error_code,
    ignoring,
    translate,
)
from orchestune.errors import Conflict, Denied, NotFound, OrchestuneError, TemporaryError, Unreachable, UsageError
from tests.unit.clusters.aws.answers import refusal

ENCODED = " Encoded authorization failure message: SAh2nDlM"


@pytest.mark.parametrize(
    ("code", "message", "kind", "words"),
    [
        ("AccessDenied", "User: x is not authorized to perform: iam:CreateRole on resource: y", Denied,
         "missing permission iam:CreateRole"),
        ("UnauthorizedOperation", "You are not authorized to perform this operation." + ENCODED, Denied,
         "missing permission ec2:CreateVpc"),
        ("InvalidRequestException", "You are not authorized to launch instances with this launch template.", Denied,
         "missing permission ec2:RunInstances"),
        ("ExpiredToken", "expired", CredentialsExpired, "the AWS credentials have expired"),
        ("InvalidClientTokenId", "x", Denied, "AWS rejects the credentials"),
        ("ThrottlingException", "Rate exceeded", TemporaryError, "is busy: Rate exceeded"),
        ("VpcLimitExceeded", "The maximum number of VPCs has been reached.", OverQuota, "a quota of the account"),
        ("ResourceLimitExceededException", "Cluster limit exceeded", OverQuota, "Cluster limit exceeded"),
        ("InvalidSubnetID.NotFound", "The subnet ID 'x' does not exist", NotFound, "does not exist"),
        ("NoSuchEntity", "The role with name x cannot be found.", NotFound, "cannot be found"),
        ("DependencyViolation", "has a dependent object", Conflict, "has a dependent object"),
        ("ResourceInUseException", "Cluster has nodegroups attached", Conflict, "nodegroups attached"),
        ("InvalidParameterException", "unsupported Kubernetes version", RequestRejected, "unsupported Kubernetes"),
    ],
)  # fmt: skip
def test_an_answer_becomes_an_error_of_ours(code: str, message: str, kind: type[OrchestuneError], words: str) -> None:
    error = translate(refusal("CreateVpc", code, message), "ec2", "CreateVpc", "network lab", "ec2:CreateVpc")
    assert type(error) is kind
    assert words in error.message
    assert "SAh2" not in error.message
    assert error.message.startswith("network lab: ") or kind is Denied


def test_an_address_that_something_uses_is_in_use_and_not_forbidden() -> None:
    response = refusal("ReleaseAddress", "AuthFailure", "You do not have permission to access the specified resource.")
    assert type(translate(response, "ec2", "ReleaseAddress", "eipalloc-1", "ec2:ReleaseAddress")) is Conflict


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "AuthFailure"])
def test_credentials_that_a_region_does_not_know_may_be_those_of_an_account_that_has_not_enabled_it(code: str) -> None:
    response = refusal("DescribeVpcs", code, "AWS was not able to validate the provided access credentials")
    error = translate(response, "ec2", "DescribeVpcs", "", "ec2:DescribeVpcs")
    assert type(error) is Denied and "AWS rejects the credentials" in error.message
    assert "must be enabled in the account first" in error.hint


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.NoCredentialsError(), Denied),
        (exceptions.ProfileNotFound(profile="x"), UsageError),
        (exceptions.NoRegionError(), UsageError),
        (exceptions.UnauthorizedSSOTokenError(), CredentialsExpired),
        (exceptions.EndpointConnectionError(endpoint_url="https://x"), Unreachable),
        (exceptions.ReadTimeoutError(endpoint_url="https://x"), Unreachable),
        (ConnectionResetError("gone"), Unreachable),
    ],
)
def test_what_botocore_itself_fails_at_becomes_an_error_of_ours(error: Exception, kind: type[OrchestuneError]) -> None:
    own_error = translate(error, "ec2", "CreateVpc", "network lab", "ec2:CreateVpc")
    assert type(own_error) is kind
    assert own_error.hint


def test_no_error_of_botocore_is_left_as_it_is() -> None:
    kinds = [
        kind for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, exceptions.ClientError)
    ]  # fmt: skip
    ours = [translate(kind.__new__(kind), "ec2", "X", "", "ec2:X") for kind in kinds]
    assert len(ours) > 50
    assert all(isinstance(error, OrchestuneError) for error in ours)


def test_what_was_done_before_is_no_mistake_and_anything_else_is() -> None:
    def fail(code: str) -> None:
        cause = refusal("AttachInternetGateway", code)
        raise translate(cause, "ec2", "AttachInternetGateway", "gateway", "") from cause

    with ignoring("Resource.AlreadyAssociated"):
        fail("Resource.AlreadyAssociated")
    with pytest.raises(OrchestuneError) as caught, ignoring("Resource.AlreadyAssociated"):
        fail("VpcLimitExceeded")
    assert error_code(caught.value) == "VpcLimitExceeded"

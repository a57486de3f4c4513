"""Mapping from AWS errors to Orchestune's, with resource, reason and hint. No other module does that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as vendor

from orchestune.errors import (
    Conflict,
    Denied,
    NotFound,
    OrchestuneError,
    TemporaryError,
    Unreachable,
    UsageError,
)

_LOGIN = "log in again ({}, or new keys in the environment), then repeat the command: it goes on from there"
_CREDENTIALS = (
    "set AWS_PROFILE, run `aws sso login` or `aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
_OPT_IN = "a region that is not there by default has to be enabled in the account first"
_GRANT = "whoever administers the account can allow it; docs/how-to/aws.md has the whole policy"
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "AuthorizationError", "403")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_UNKNOWN = (
    "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch",
    "InvalidSignatureException", "IncompleteSignature",
)  # fmt: skip
_BUSY = (
    "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException",
    "RequestThrottled", "SlowDown", "PriorRequestNotComplete", "InternalError", "InternalFailure", "ServiceUnavailable",
    "ServiceUnavailableException", "ServerException", "InternalServerError", "Unavailable", "ServiceFailure",
)  # fmt: skip
_QUOTA = re.compile(
    r"LimitExceeded|QuotaExceeded|TooMany(Buckets|Repositories)|AddressLimitExceeded|InstanceLimit", re.IGNORECASE
)
_MISSING = re.compile(r"NotFound$|^NoSuch|NotFoundException$|^ResourceNotFound|^404$|\.Unknown$|NotFoundFault$")
_TAKEN = re.compile(r"AlreadyExists|\.Duplicate|^EntityAlreadyExists|^BucketAlready|ResourceInUseException|\.Conflict$")
IN_USE = re.compile(r"DependencyViolation|DeleteConflict|ResourceInUse|\.InUse$|VolumeInUse|InvalidIPAddress\.InUse")
"""error codes of resources that are still in use and cannot be deleted yet"""
_ACTION = re.compile(r"perform:? (?P<action>[a-z0-9\-]+:\w+)")
_ENCODED = re.compile(r"\s*Encoded authorization failure message: \S+")
_RETIRED = re.compile(r"\s*\(Service: [^)]*\)")


class RequestRejected(OrchestuneError):
    """AWS rejected the request for the given reason; a retry would fail too."""

    code = "refused_by_provider"


class OverQuota(RequestRejected):
    """A quota of the account is exceeded."""

    code = "over_quota"


class CredentialsExpired(Denied):
    """The credentials have expired during the operation; it can be resumed with new ones."""


def code_of(exc: BaseException) -> str:
    """Return the AWS error code; empty if the error is not from AWS."""
    cause: Any = exc.__cause__ if isinstance(exc, OrchestuneError) else exc
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, vendor.ClientError) else ""


@contextmanager
def already(*codes: str) -> Iterator[None]:
    """Ignore errors with these codes, which mean that an earlier run has done the work; the block ends there."""
    try:
        yield
    except OrchestuneError as exc:
        if code_of(exc) not in codes:
            raise


def translated(
    exc: Exception, service: str, operation: str, resource: str, action: str, profile: str = ""
) -> OrchestuneError:
    """Return the Orchestune error for a botocore exception.

    `resource` is the subject of the call, `action` the required IAM action, `profile` the AWS profile in use.
    """
    login = _LOGIN.format(f"`aws sso login{f' --profile {profile}' if profile else ''}`")
    if isinstance(exc, vendor.ClientError):
        return _answered(exc, service, operation, resource, action, login)
    if isinstance(exc, vendor.NoCredentialsError | vendor.PartialCredentialsError | vendor.CredentialRetrievalError):
        return Denied("there are no credentials for AWS", _CREDENTIALS)
    if isinstance(exc, vendor.ProfileNotFound):
        return UsageError(str(exc), "`aws configure list-profiles` lists them")
    if isinstance(exc, vendor.SSOError | vendor.TokenRetrievalError | vendor.UnauthorizedSSOTokenError):
        return CredentialsExpired(f"the login at AWS has run out: {exc}", login)
    if isinstance(exc, vendor.NoRegionError):
        return UsageError("no region is named", "write `region:` in the file, or set AWS_REGION")
    if isinstance(exc, vendor.ParamValidationError):
        return RequestRejected(f"{resource or service}: {exc}")
    if isinstance(exc, vendor.EndpointConnectionError | vendor.ConnectionError | vendor.HTTPClientError):
        return Unreachable(
            f"{f'{resource}: ' if resource else ''}AWS ({service}) cannot be reached: {exc}",
            "is the network up, and is there such a region? the same command goes on from there",
        )
    return Unreachable(f"{resource or service}: {exc}", "repeat the command: it goes on from there")


def _answered(
    exc: vendor.ClientError, service: str, operation: str, resource: str, action: str, login: str
) -> OrchestuneError:
    code = str(exc.response.get("Error", {}).get("Code", ""))
    said = _clean(str(exc.response.get("Error", {}).get("Message", "")) or code)
    about = f"{resource}: " if resource else ""
    if code in _EXPIRED:
        return CredentialsExpired(f"{about}the credentials for AWS have run out", login)
    if code == "AuthFailure" and operation == "ReleaseAddress":  # the address is still in use
        return Conflict(f"{about}{said}")
    if code in _UNKNOWN or (code == "AuthFailure" and "validate" in said):
        return Denied(f"AWS does not know these credentials ({code})", f"{_CREDENTIALS}; {_OPT_IN}")
    if code in _DENIED or (code == "InvalidRequestException" and "not authorized" in said.lower()):
        named = _ACTION.search(said)
        lacks = named["action"] if named else "ec2:RunInstances" if "launch instances" in said else action
        return Denied(f"{about}you may not {lacks}: {said}", _GRANT)
    if code in _BUSY or code.startswith("5"):
        return TemporaryError(f"{about}AWS ({service}) is busy: {said}", "repeat the command: it goes on from there")
    if _QUOTA.search(code):
        return OverQuota(
            f"{about}a quota of the account is reached: {said}",
            "remove what nobody needs, or ask for more in the console under Service Quotas",
        )
    if _MISSING.search(code):
        return NotFound(f"{about}{said}")
    if _TAKEN.search(code) or IN_USE.search(code):
        return Conflict(f"{about}{said}")
    return RequestRejected(f"{about}AWS refuses {service}:{operation}: {said} ({code})")


def _clean(said: str) -> str:
    return _RETIRED.sub("", _ENCODED.sub("", said)).strip()

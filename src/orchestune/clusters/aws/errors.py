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

_LOGIN_HINT = (
    "log in again ({}, or new keys in the environment), then repeat the command: it continues where it stopped"
)
_CREDENTIALS_HINT = (
    "set AWS_PROFILE, run `aws sso login` or `aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
_OPT_IN_HINT = "opt-in regions must be enabled in the account first"
_GRANT_HINT = "ask an administrator of the account to allow it; docs/how-to/aws.md has the whole policy"
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "AuthorizationError", "403")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_INVALID_CREDENTIALS = (
    "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch",
    "InvalidSignatureException", "IncompleteSignature",
)  # fmt: skip
_THROTTLED = (
    "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException",
    "RequestThrottled", "SlowDown", "PriorRequestNotComplete", "InternalError", "InternalFailure", "ServiceUnavailable",
    "ServiceUnavailableException", "ServerException", "InternalServerError", "Unavailable", "ServiceFailure",
)  # fmt: skip
_QUOTA = re.compile(
    r"LimitExceeded|QuotaExceeded|TooMany(Buckets|Repositories)|AddressLimitExceeded|InstanceLimit", re.IGNORECASE
)
_MISSING = re.compile(r"NotFound$|^NoSuch|NotFoundException$|^ResourceNotFound|^404$|\.Unknown$|NotFoundFault$")
_EXISTS = re.compile(
    r"AlreadyExists|\.Duplicate|^EntityAlreadyExists|^BucketAlready|ResourceInUseException|\.Conflict$"
)
IN_USE = re.compile(r"DependencyViolation|DeleteConflict|ResourceInUse|\.InUse$|VolumeInUse|InvalidIPAddress\.InUse")
"""error codes of resources that are still in use and cannot be deleted yet"""
_ACTION = re.compile(r"perform:? (?P<action>[a-z0-9\-]+:\w+)")
_ENCODED_MESSAGE = re.compile(r"\s*Encoded authorization failure message: \S+")
_SERVICE_SUFFIX = re.compile(r"\s*\(Service: [^)]*\)")


class RequestRejected(OrchestuneError):
    """AWS rejected the request for the given reason; a retry would fail too."""

    code = "refused_by_provider"


class OverQuota(RequestRejected):
    """A quota of the account is exceeded."""

    code = "over_quota"


class CredentialsExpired(Denied):
    """The credentials have expired during the operation; it can be resumed with new ones."""


def error_code(exc: BaseException) -> str:
    """Return the AWS error code; empty if the error is not from AWS."""
    cause: Any = exc.__cause__ if isinstance(exc, OrchestuneError) else exc
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, vendor.ClientError) else ""


@contextmanager
def ignoring(*codes: str) -> Iterator[None]:
    """Ignore errors with these codes, which mean that an earlier run has done the work; the block ends at the error."""
    try:
        yield
    except OrchestuneError as exc:
        if error_code(exc) not in codes:
            raise


def translate(
    exc: Exception, service: str, operation: str, resource: str, action: str, profile: str = ""
) -> OrchestuneError:
    """Return the Orchestune error for a botocore exception.

    `resource` is the subject of the call, `action` the required IAM action, `profile` the AWS profile in use. The type
    tells callers what to do: TemporaryError and Unreachable may be retried, CredentialsExpired ends the command in a
    state from which it can be repeated, Conflict may mean "still in use" (`IN_USE`), and the others are final.
    """
    login = _LOGIN_HINT.format(f"`aws sso login{f' --profile {profile}' if profile else ''}`")
    if isinstance(exc, vendor.ClientError):
        return _translate_response(exc, service, operation, resource, action, login)
    if isinstance(exc, vendor.NoCredentialsError | vendor.PartialCredentialsError | vendor.CredentialRetrievalError):
        return Denied("no AWS credentials found", _CREDENTIALS_HINT)
    if isinstance(exc, vendor.ProfileNotFound):
        return UsageError(str(exc), "list the profiles with `aws configure list-profiles`")
    if isinstance(exc, vendor.SSOError | vendor.TokenRetrievalError | vendor.UnauthorizedSSOTokenError):
        return CredentialsExpired(f"the AWS login has expired: {exc}", login)
    if isinstance(exc, vendor.NoRegionError):
        return UsageError("no AWS region is set", "write `region:` in the file, or set AWS_REGION")
    if isinstance(exc, vendor.ParamValidationError):
        return RequestRejected(f"{resource or service}: {exc}")
    if isinstance(exc, vendor.EndpointConnectionError | vendor.ConnectionError | vendor.HTTPClientError):
        return Unreachable(
            f"{f'{resource}: ' if resource else ''}cannot reach AWS ({service}): {exc}",
            "check the network and the region, then repeat the command: it continues where it stopped",
        )
    return Unreachable(f"{resource or service}: {exc}", "repeat the command: it continues where it stopped")


def _translate_response(
    exc: vendor.ClientError, service: str, operation: str, resource: str, action: str, login: str
) -> OrchestuneError:
    code = str(exc.response.get("Error", {}).get("Code", ""))
    message = _clean_message(str(exc.response.get("Error", {}).get("Message", "")) or code)
    prefix = f"{resource}: " if resource else ""
    if code in _EXPIRED:
        return CredentialsExpired(f"{prefix}the AWS credentials have expired", login)
    if code == "AuthFailure" and operation == "ReleaseAddress":  # the address is still in use
        return Conflict(f"{prefix}{message}")
    if code in _INVALID_CREDENTIALS or (code == "AuthFailure" and "validate" in message):
        return Denied(f"AWS rejects the credentials ({code})", f"{_CREDENTIALS_HINT}; {_OPT_IN_HINT}")
    if code in _DENIED or (code == "InvalidRequestException" and "not authorized" in message.lower()):
        match = _ACTION.search(message)
        missing = match["action"] if match else "ec2:RunInstances" if "launch instances" in message else action
        return Denied(f"{prefix}missing permission {missing}: {message}", _GRANT_HINT)
    if code in _THROTTLED or code.startswith("5"):
        return TemporaryError(
            f"{prefix}AWS ({service}) is busy: {message}", "repeat the command: it continues where it stopped"
        )
    if _QUOTA.search(code):
        return OverQuota(
            f"{prefix}a quota of the account is exhausted: {message}",
            "remove unused resources, or request a larger quota in the console under Service Quotas",
        )
    if _MISSING.search(code):
        return NotFound(f"{prefix}{message}")
    if _EXISTS.search(code) or IN_USE.search(code):
        return Conflict(f"{prefix}{message}")
    return RequestRejected(f"{prefix}AWS rejects {service}:{operation}: {message} ({code})")


def _clean_message(message: str) -> str:
    return _SERVICE_SUFFIX.sub("", _ENCODED_MESSAGE.sub("", message)).strip()

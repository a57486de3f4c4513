"""Translation of boto3's errors to our own. Vendor messages are not passed on, because some contain URLs and keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError, SSLError

from orchestune.errors import NotFound, OrchestuneError, StoreUnavailable
from orchestune.ports.files import FileStoreUnreachable

_RETRIED_STATUSES = (500, 502, 503, 504)
"""HTTP statuses after which boto3 retries several times with backoff"""
_MISSING = ("404", "NoSuchKey", "NotFound")
_CREDENTIALS_HINT = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the role of the machine;"
    " a server reads keys when it starts"
)
_AUTHORITY_HINT = (
    "if its certificate is from a private authority, name that authority's file in AWS_CA_BUNDLE;"
    " for a server in a cluster: `orchestune cluster connect -n NAME --ca FILE`"
)
_HINTS = {
    "NoSuchBucket": "create the bucket, or correct its name in the server's settings",
    "AccessDenied": "allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket on it",
    "403": "allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket on it",
    "InvalidAccessKeyId": _CREDENTIALS_HINT,
    "SignatureDoesNotMatch": _CREDENTIALS_HINT,
    "ExpiredToken": _CREDENTIALS_HINT,
    "RequestTimeTooSkewed": "set the clock of this machine",
    "QuotaExceeded": "free space in the bucket or raise its quota",
    "XMinioStorageFull": "free space in the object store",
}


@contextmanager
def object_errors(place: str, key: str = "") -> Iterator[None]:
    """Raise errors of the object store at `place` (`s3://bucket`) as NotFound for `key` or as StoreUnavailable."""
    try:
        yield
    except ClientError as exc:
        raise _translate(exc, place, key) from exc
    except (NoCredentialsError, PartialCredentialsError) as exc:
        raise StoreUnavailable(f"no credentials found for {place}", _CREDENTIALS_HINT) from exc
    except SSLError as exc:
        raise StoreUnavailable(f"{place} cannot be reached: TLS failed", _AUTHORITY_HINT) from exc
    except (BotoCoreError, OSError) as exc:
        raise FileStoreUnreachable(
            f"{place} cannot be reached: {type(exc).__name__}",
            "check the network and AWS_ENDPOINT_URL_S3, if it is set",
        ) from exc


def _translate(exc: ClientError, place: str, key: str) -> OrchestuneError:
    code = str(exc.response.get("Error", {}).get("Code", "unknown"))
    if code in _MISSING:
        return NotFound(f"there is no file {key!r}")
    status = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    kind = FileStoreUnreachable if status in _RETRIED_STATUSES else StoreUnavailable
    return kind(f"{place} refused {exc.operation_name}: {code}", _HINTS.get(code, "retry later"))

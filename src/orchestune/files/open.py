"""Opening the file store at a configured URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestune.errors import BadInput, UsageError
from orchestune.files.folder import FolderFiles
from orchestune.ports.files import FileStore

_ALLOWED = "a folder, file:///folder or s3://bucket/prefix"


def open_files(url: str) -> FileStore:
    """Open the store at `url`: a folder (a path or `file:///…`), or `s3://bucket/prefix`.

    Creates and contacts nothing. boto3's own settings select an endpoint other than AWS (`AWS_ENDPOINT_URL_S3`). Raises
    BadInput for an unsupported URL, and UsageError if boto3 is not installed.
    """
    if "://" not in url:
        if not url:
            raise BadInput.one("the URL of the file store is empty", hint=f"use {_ALLOWED}")
        try:
            return FolderFiles(Path(url).expanduser())
        except RuntimeError as exc:
            hint = "write the full path"
            raise BadInput.one(f"cannot expand '{url}': no such user", hint=hint) from exc
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.strip("/"):
        return FolderFiles(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.hostname and not (parts.query or parts.fragment or "@" in parts.netloc):
        return _open_bucket(parts.netloc, parts.path)
    raise BadInput.one(f"unsupported {parts.scheme}:// URL of a file store", hint=f"use {_ALLOWED}")


def _open_bucket(bucket: str, prefix: str) -> FileStore:
    try:
        from orchestune.files.object_store import ObjectFiles  # boto3 is optional, and slow to import
    except ModuleNotFoundError as exc:
        if (exc.name or "").split(".")[0] not in ("boto3", "botocore"):
            raise
        raise UsageError(
            "cannot use files in s3://: the package boto3 is not installed", hint="pip install 'orchestune[s3]'"
        ) from exc
    return ObjectFiles(bucket, prefix)

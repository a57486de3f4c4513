"""A file store in a bucket of an object store that speaks the S3 protocol."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import Any, BinaryIO

import boto3.session
from botocore.config import Config
from botocore.exceptions import ClientError

from orchestune.errors import BadInput, NotFound, StoreUnavailable
from orchestune.files.keys import (
    EMPTY_DIGEST,
    UPLOADS,
    check_part,
    checked_digest,
    checked_key,
    checked_prefix,
    upload_name,
)
from orchestune.files.object_errors import object_errors
from orchestune.files.object_streams import BLOCK, ObjectBody, blocks, verified


@dataclass(frozen=True)
class _Part:
    """An object that holds a piece of an unfinished upload."""

    name: str
    offset: int
    size: int


class ObjectFiles:
    """A `FileStore` with its objects in `bucket` under `prefix`. boto3 finds credentials and region itself.

    Objects appear atomically: by one request, or when a multipart upload completes. If two calls store the same key
    concurrently, either may win. Parts of unfinished uploads are objects under `uploads/`, of any size; `commit` reads
    them back. To clean up after crashes, give the bucket a lifecycle rule that aborts incomplete multipart uploads
    after a day.
    """

    def __init__(self, bucket: str, prefix: str = "", endpoint_url: str | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._place = f"s3://{bucket}/{self._prefix}".rstrip("/")
        with object_errors(self._place):
            self._client: Any = boto3.session.Session().client(
                "s3",
                endpoint_url=endpoint_url,
                config=Config(
                    connect_timeout=10,
                    read_timeout=60,
                    retries={"mode": "standard", "max_attempts": 5},
                    max_pool_connections=32,
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )

    def put(self, key: str, data: BinaryIO) -> int:
        if (existing := self.size(key)) is not None:
            return existing
        return self._store(key, blocks(iter(lambda: data.read(1 << 20), b"")))

    def open(self, key: str, start: int = 0) -> BinaryIO:
        return io.BufferedReader(ObjectBody(self._get(checked_key(key), start), self._place), 1 << 18)

    def size(self, key: str) -> int | None:
        name = self._prefix + checked_key(key)
        try:
            with object_errors(self._place, key):
                return int(self._client.head_object(Bucket=self._bucket, Key=name)["ContentLength"])
        except NotFound:
            return None

    def delete(self, key: str) -> None:
        self._delete(self._prefix + checked_key(key))

    def keys(self, prefix: str) -> Iterator[str]:
        for name, _ in self._list(checked_prefix(prefix)):
            key = name[len(self._prefix) :]
            if not key.startswith(f"{UPLOADS}/"):
                yield key

    def append(self, upload: str, offset: int, data: bytes) -> int:
        check_part(offset, data)
        received = _count_received(self._parts(upload))
        if not offset <= received < offset + len(data):
            return received
        name = f"{self._prefix}{UPLOADS}/{upload_name(upload)}/{received:016d}"
        with object_errors(self._place):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=data[received - offset :])
        return offset + len(data)

    def commit(self, upload: str, key: str, digest: str, *, needs_upload: bool = False) -> int:
        checked_digest(digest)
        existing, parts = self.size(key), self._parts(upload)
        if not parts:
            return self._without_parts(upload, key, digest, existing, needs_upload)
        try:
            size = self._compose(upload, parts, key, digest, existing)
        except BadInput:
            self.abort(upload)
            raise
        except NotFound:  # a part is missing: another call has committed or aborted meanwhile
            return self._without_parts(upload, key, digest, self.size(key), needs_upload)
        self.abort(upload)
        return size

    def abort(self, upload: str) -> None:
        for part in self._parts(upload):
            self._delete(part.name)

    def sweep(self, seconds: float) -> None:
        newest: dict[str, float] = {}
        expiry = 0.0
        for page in self._pages(f"{UPLOADS}/"):
            date = page["ResponseMetadata"]["HTTPHeaders"].get("date")
            expiry = (parsedate_to_datetime(date).timestamp() if date else time.time()) - seconds
            for entry in page.get("Contents", ()):
                folder, modified = entry["Key"].rpartition("/")[0], entry["LastModified"].timestamp()
                newest[folder] = max(newest.get(folder, modified), modified)
        for folder, modified in newest.items():
            if modified < expiry:
                for name, _ in self._list(f"{folder[len(self._prefix) :]}/"):
                    self._delete(name)

    def _without_parts(self, upload: str, key: str, digest: str, existing: int | None, needs_upload: bool) -> int:
        if existing is not None and (digest == EMPTY_DIGEST or not needs_upload):
            return existing
        if digest == EMPTY_DIGEST:
            return self._store(key, iter(()))
        raise NotFound(f"there is no unfinished upload {upload!r}")

    def _compose(self, upload: str, parts: list[_Part], key: str, digest: str, existing: int | None) -> int:
        content = verified(self._contents(parts), upload, digest)
        if existing is None:
            return self._store(key, blocks(content))
        for _ in content:
            pass
        return existing

    def _contents(self, parts: list[_Part]) -> Iterator[bytes]:
        """Yield the content of the parts up to the first gap."""
        position = 0
        for part in parts:
            if part.offset <= position < part.offset + part.size:
                with object_errors(self._place):
                    data = self._client.get_object(Bucket=self._bucket, Key=part.name)["Body"].read()
                yield data[position - part.offset :]
                position = part.offset + len(data)

    def _store(self, key: str, content: Iterator[bytes]) -> int:
        """Store the content as the object `key`, in parts of `BLOCK` bytes except the last, unless `content` raises."""
        name = self._prefix + checked_key(key)
        first = next(content, b"")
        second = next(content, b"") if len(first) == BLOCK else b""
        if second:
            return self._store_parts(name, chain([first, second], content))
        with object_errors(self._place, key):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=first)
        return len(first)

    def _store_parts(self, name: str, content: Iterable[bytes]) -> int:
        target = {"Bucket": self._bucket, "Key": name}
        with object_errors(self._place):
            target["UploadId"] = self._client.create_multipart_upload(**target)["UploadId"]
        size, parts = 0, []
        with ExitStack() as on_error:
            on_error.callback(self._abort, target)
            for number, block in enumerate(content, start=1):
                with object_errors(self._place):
                    response = self._client.upload_part(**target, PartNumber=number, Body=block)
                parts.append({"PartNumber": number, "ETag": response["ETag"]})
                size += len(block)
            with object_errors(self._place):
                self._client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
            on_error.pop_all()
        return size

    def _abort(self, target: Mapping[str, Any]) -> None:
        """Delete the parts of an incomplete upload. Best-effort."""
        with suppress(StoreUnavailable, NotFound), object_errors(self._place):
            self._client.abort_multipart_upload(**target)

    def _get(self, key: str, start: int) -> Any:
        part = {"Range": f"bytes={start}-"} if start else {}
        with object_errors(self._place, key):
            try:
                return self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **part)["Body"]
            except ClientError as exc:
                if exc.response["Error"]["Code"] != "InvalidRange":
                    raise
                return io.BytesIO()  # the object ends before `start`

    def _delete(self, name: str) -> None:
        with suppress(NotFound), object_errors(self._place):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def _list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield the full names and sizes of the objects with this key prefix, sorted."""
        for page in self._pages(prefix):
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["Size"]

    def _pages(self, prefix: str) -> Iterator[Any]:
        continuation: dict[str, str] = {}
        while True:
            with object_errors(self._place):
                page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix + prefix, **continuation)
            yield page
            if not page.get("IsTruncated"):
                return
            continuation = {"ContinuationToken": page["NextContinuationToken"]}

    def _parts(self, upload: str) -> list[_Part]:
        folder = f"{UPLOADS}/{upload_name(upload)}/"
        return [_Part(name, int(name.rpartition("/")[2]), size) for name, size in self._list(folder)]


def _count_received(parts: Iterable[_Part]) -> int:
    """Return the number of bytes up to the first gap."""
    received = 0
    for part in parts:
        if part.offset <= received:
            received = max(received, part.offset + part.size)
    return received

"""The interface of a file store for log segments, bundles, artifacts and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

from orchestune.errors import StoreUnavailable


class FileStoreUnreachable(StoreUnavailable):
    """The store does not respond. The timeout has passed once and will pass again for the next request."""


class FileStore(Protocol):
    """Immutable objects under keys such as `blobs/ab/ab12…` (`/`-separated, no `..`, at most 512 characters).

    Every method is blocking and safe to repeat and to call from several threads and processes. An object is
    complete or absent: a reader never sees a partial one, whichever process is killed. A missing key raises `NotFound`.
    A store that is full, read-only or unreachable raises `StoreUnavailable` (after a timeout its subclass
    `FileStoreUnreachable`) and leaves nothing behind.
    """

    def put(self, key: str, data: BinaryIO) -> int:
        """Store the content of `data` under `key` and return its size in bytes. An existing object is kept."""

    def open(self, key: str, start: int = 0) -> BinaryIO:
        """Return a reader of the object from byte `start` on; the caller closes it."""

    def size(self, key: str) -> int | None:
        """Return the size in bytes, None if absent."""

    def delete(self, key: str) -> None:
        """Delete the object if it exists."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that start with `prefix`, sorted."""

    def append(self, upload: str, offset: int, data: bytes) -> int:
        """Append to the unfinished upload `upload` at `offset` and return its size.

        A repeated part is ignored; after a gap the size is returned unchanged. The sender continues from the returned
        offset. `data` has at most 8 MiB.
        """

    def commit(self, upload: str, key: str, digest: str, *, needs_upload: bool = False) -> int:
        """Turn the finished upload into the object `key` and return its size.

        `digest` is the SHA-256 in hex of the upload; any other content raises `BadInput` and drops the upload.
        Without such an upload the size of an existing object is returned, so that a call can be retried; with
        `needs_upload` NotFound is raised instead: the caller has to prove that it has the bytes. (The empty object
        needs no upload.)
        """

    def abort(self, upload: str) -> None:
        """Delete an unfinished upload if it exists."""

    def sweep(self, seconds: float) -> None:
        """Delete unfinished uploads that were not appended to for `seconds`, by the clock of the store."""

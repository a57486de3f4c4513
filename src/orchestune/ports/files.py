"""Where bytes live: log segments, bundles, artifacts, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

from orchestune.errors import StoreUnavailable


class Away(StoreUnavailable):
    """The place does not answer, or has nobody who could: that took a while, and what is asked next takes as long."""


class FileStore(Protocol):
    """Immutable objects under keys such as `blobs/ab/ab12…` (`/`-separated, no `..`, at most 512 characters).

    Every method is blocking and safe to repeat and to call from several threads and processes. An object is
    complete or absent: a reader never sees half of one, whatever dies. A missing key raises `NotFound`; a store
    that is full, read-only or away raises `StoreUnavailable` (`Away`, where waiting in vain was part of it) and leaves
    nothing behind.
    """

    def put(self, key: str, data: BinaryIO) -> int:
        """Store everything that `data` holds under `key` and return its size in bytes. An existing object stays."""

    def open(self, key: str, start: int = 0) -> BinaryIO:
        """A reader of the object from byte `start` on, which is none behind its last; the caller closes it."""

    def size(self, key: str) -> int | None:
        """Bytes, or None where there is no such object."""

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is no error."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key that starts with `prefix`, sorted."""

    def append(self, upload: str, offset: int, data: bytes) -> int:
        """Add to the unfinished upload `upload` at `offset` and return how many bytes it holds now.

        A repeated part is ignored, a gap is refused by returning the present size unchanged: the sender goes on
        from the returned number. `data` is at most 8 MiB.
        """

    def commit(self, upload: str, key: str, digest: str, *, needs_upload: bool = False) -> int:
        """Turn the finished upload into the object `key` and return its size.

        `digest` is the SHA-256 in hex of what was sent; another content raises `BadInput` and drops the upload.
        Without such an upload an object that exists already is the answer, so that a call can be repeated; with
        `needs_upload` it is not, and NotFound is raised: the caller has to prove that it has the bytes. (Nothing has to
        be uploaded for the empty object.)
        """

    def abort(self, upload: str) -> None:
        """Drop an unfinished upload; a missing one is no error."""

    def sweep(self, seconds: float) -> None:
        """Drop unfinished uploads to which nothing was added for so long, by the clock of the place itself."""

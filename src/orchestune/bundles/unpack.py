"""Looking into an archive. Workers have an unpacker of their own, which needs nothing but the standard library."""

from __future__ import annotations

import tarfile
import zlib
from typing import BinaryIO

from orchestune.errors import BadInput


def listing(stream: BinaryIO) -> list[tuple[str, int]]:
    """Path and size in bytes of every file and link in the archive; BadInput where it is none.

    Names that are not UTF-8 come with replacement characters.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|gz", encoding="utf-8", errors="replace") as archive:
            return [(member.name, member.size) for member in archive if not member.isdir()]
    except (tarfile.TarError, zlib.error, EOFError, OSError) as exc:
        raise BadInput.one("the bundle is not a complete .tar.gz archive") from exc

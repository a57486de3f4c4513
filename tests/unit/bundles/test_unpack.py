"""Archives that somebody made by hand to be small and to unpack without an end."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest

from orchestune.bundles import unpack
from orchestune.bundles.unpack import archive_at, contents, members
from orchestune.errors import BadInput


def made(path: Path, kind: bytes, size: int) -> Path:
    """One header that announces so many bytes, and zeros."""
    header = tarfile.TarInfo("x")
    header.size, header.type = size, kind
    with gzip.open(path, "wb") as packed:
        packed.write(header.tobuf(tarfile.GNU_FORMAT))
        packed.write(bytes(size))
        packed.write(bytes(10240))
    return path


def test_of_an_archive_that_unpacks_to_very_much_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MOST_UNPACKED", 10**6)
    archive = archive_at(made(tmp_path / "a", tarfile.REGTYPE, 10**6 + 1))
    for look in (lambda: members(archive), lambda: contents(archive, ["y"])):
        with pytest.raises(BadInput, match="unpacks to more than"):
            look()
    assert members(archive_at(made(tmp_path / "b", tarfile.REGTYPE, 10**6)))["x"].size == 10**6


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_what_is_told_before_a_file_is_not_read_however_long_it_is(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(BadInput, match="is longer than"):
        members(archive_at(made(tmp_path / "a", kind, 2**21)))


def test_a_file_with_holes_is_none_of_an_archive_of_code(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has holes"):
        members(archive_at(made(tmp_path / "a", tarfile.GNUTYPE_SPARSE, 1)))

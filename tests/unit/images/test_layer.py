"""Layers: the same bytes for the same content, owned by root, without times."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from pathlib import Path

from orchestune.images.runtime.layer import Layer, LayerEntry, write


def layer_at(folder: Path, name: str, entries: list[LayerEntry]) -> Layer:
    return write(entries, folder / name)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("print(1)\n")
    first = layer_at(tmp_path, "1", [LayerEntry("b", b"x"), LayerEntry("a/source.py", source)])
    os.utime(source, (1, 1))
    source.chmod(0o600)
    again = layer_at(tmp_path, "2", [LayerEntry("a/source.py", source), LayerEntry("b", b"x")])
    assert (first.digest, first.diff_id) == (again.digest, again.diff_id)
    assert first.file.read_bytes() == again.file.read_bytes()
    assert layer_at(tmp_path, "3", [LayerEntry("b", b"y")]).digest != first.digest


def test_the_digests_are_of_what_a_registry_and_a_runtime_see(tmp_path: Path) -> None:
    layer = layer_at(tmp_path, "1", [LayerEntry("a", os.urandom(300_000))])
    data = layer.file.read_bytes()
    assert layer.size == len(data)
    assert layer.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert layer.diff_id == "sha256:" + hashlib.sha256(gzip.decompress(data)).hexdigest()


def test_folders_links_and_modes_are_there_in_order(tmp_path: Path) -> None:
    long = "deep/" * 40 + "file"
    layer = layer_at(
        tmp_path,
        "1",
        [
            LayerEntry("tmp", mode=0o1777),
            LayerEntry("bin/x", b"x", 0o755),
            LayerEntry("bin/y", link="/bin/x"),
            LayerEntry(long, b"z"),
        ],
    )
    with tarfile.open(layer.file) as archive:
        members = {member.name: member for member in archive.getmembers()}
    assert list(members)[:3] == ["bin", "bin/x", "bin/y"]
    assert members["tmp"].isdir() and members["tmp"].mode == 0o1777
    assert members["bin"].isdir() and members["bin"].mode == 0o755
    assert members["bin/y"].issym() and members["bin/y"].linkname == "/bin/x"
    assert members[long].size == 1 and members["deep/deep"].isdir()
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 0)}

"""A base image with a shell and a few programs of this machine, which needs no other registry."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

from orchestune.images.registries.manifests import Platform, parse_platform, sha256
from orchestune.images.registries.registry import Registry
from orchestune.images.registries.upload import push_blob
from orchestune.images.runtime import layer
from orchestune.images.runtime.layer import LayerEntry
from orchestune.images.runtime.linking import linked
from orchestune.images.runtime.server_image import compose

PROGRAMS = ("sh", "cat", "cp", "env", "grep", "id", "ls", "mkdir")


def own_platform() -> Platform:
    return parse_platform(platform.machine())


def push_base(client: Registry, repository: str, tag: str, folder: Path, *, user: str = "", marker: str = "") -> str:
    """Push it and return its digest."""
    programs = {name: Path(program).resolve() for name in PROGRAMS if (program := shutil.which(name))}
    needed = linked(programs.values())
    entries = [LayerEntry(f"bin/{name}", path, 0o755) for name, path in programs.items()]
    entries += [LayerEntry(str(path).lstrip("/"), path, 0o755) for path in {*needed.libraries.values(), needed.loader}]
    entries += [
        LayerEntry("tmp", mode=0o1777),
        LayerEntry("etc/passwd", b"root:x:0:0::/:/bin/sh\n"),
        LayerEntry("marker", marker.encode()),
    ]
    base_layer = layer.write(entries, folder / "base.tar.gz")
    own = own_platform()
    config = json.dumps(
        {
            "architecture": own.architecture,
            "os": own.os,
            "config": {"User": user, "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [base_layer.diff_id]},
            "history": [{"created_by": "a test"}],  # podman wants to know of each layer
        }
    ).encode()
    file = folder / "config.json"
    file.write_bytes(config)
    push_blob(client, repository, base_layer.digest, base_layer.file)
    push_blob(client, repository, sha256(config), file)
    return client.put_manifest(repository, tag, compose(config, [base_layer]))

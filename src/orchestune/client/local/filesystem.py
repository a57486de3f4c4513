"""File system type of a folder, and detection of network file systems."""

from __future__ import annotations

import os
import re
from pathlib import Path

NETWORK = frozenset(
    ["nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "9p", "davfs", "coda"]
    + ["lustre", "gpfs", "beegfs", "ceph", "glusterfs", "orangefs", "pvfs2", "panfs", "wekafs", "ocfs2", "gfs2"]
    + [
        f"fuse.{name}"
        for name in ("sshfs", "glusterfs", "ceph", "s3fs", "gcsfuse", "rclone", "juicefs", "davfs2", "beegfs")
    ]
)
"""types on which SQLite's write-ahead log would be corrupted: it needs memory shared by all its users"""
LOCAL_DISK = "set ORCHESTUNE_HOME to a folder on a disk of this machine"


def filesystem(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of file system that `path` is or would be on; empty if unknown."""
    try:
        lines = mounts.read_text(errors="surrogateescape").split("\n")
    except OSError:
        return ""
    place, best, kind = Path(os.path.realpath(path)), -1, ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[1]))
        if place.is_relative_to(mount) and len(mount.parts) >= best:  # a later mount hides an earlier one
            best, kind = len(mount.parts), fields[2]
    return kind

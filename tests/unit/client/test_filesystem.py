"""The file system of a folder, as in the kernel's list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.client.local.filesystem import filesystem

MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/ada/local\\040disk xfs rw 0 0
/dev/vdc /home/ada/no\u00a0break xfs rw 0 0
tmpfs /run tmpfs rw 0 0
host:/x /run fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x", "ext4"),
        ("/home/ada/.local/state", "nfs4"),
        ("/home/ada/local disk/x", "xfs"),
        ("/home/ada/no\u00a0break/x", "xfs"),
        ("/homely", "ext4"),
        ("/run/x", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_last_mount_over_it(tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert filesystem(Path(path), tmp_path / "mounts") == kind


def test_links_that_lead_in_a_circle_are_on_the_file_system_on_which_they_lie(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    assert filesystem(tmp_path / "circle" / "x") == filesystem(tmp_path)

"""Which files of the machine containers may see: the daemon mounts as root whatever the server names.

Paths are resolved when an experiment is created and again when its container is, which mounts the resolved path: a
link that was changed in between is refused then.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestune.domain.placement import Placement, Volume
from orchestune.errors import PolicyRefused, Problem

VARIABLE = "ORCHESTUNE_DOCKER_ALLOW"
_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock")
_SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
    "/var/lib/containerd", "/var/lib/docker", "/var/lib/kubelet",
)  # fmt: skip
_TARGETS = ("/dev", "/orchestune", "/proc", "/sys")
"""folders of the container in which nothing is mounted but /dev/shm"""
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OURS = "orchestune-"
"""begin of the names of volumes that the server makes"""


@dataclass(frozen=True)
class MountPolicy:
    """What containers of one server may mount. The default is nothing."""

    state: Path | None = None
    """the server's state folder, which never is"""
    allow: Sequence[str] = ()
    """folders of the machine, and names of Docker volumes"""
    own_projects: bool = False
    """the server is of one user alone, who may mount what is in the own project folder, and own Docker volumes"""
    sockets: Sequence[str] = _SOCKETS
    """of the daemon: who reaches one is root on the machine"""

    def refuse(self, placement: Placement, launch: Mapping[str, object], here: bool) -> None:
        """PolicyRefused with every volume that an experiment may not have. `here`: the daemon sees this machine."""
        problems: list[Problem] = []
        for index, volume in enumerate(placement.volumes):
            problems += _targets(volume, f"volumes[{index}].mount")
            if volume.path is not None and self._source(volume.path, launch, here) is None:
                problems.append(self._folder(volume.path, f"volumes[{index}].path", here))
            if volume.claim is not None and not self._permits_volume(volume.claim):
                problems.append(self._claim(volume.claim, f"volumes[{index}].claim"))
        if problems:
            raise PolicyRefused.first_of(problems)

    def source(self, path: str, launch: Mapping[str, object], here: bool) -> str:
        """Return what is mounted for a path that `refuse` accepted. PolicyRefused if that has changed since."""
        source = self._source(path, launch, here)
        if source is None:
            raise PolicyRefused([self._folder(path, "volumes", here)])
        return source

    def link(self, path: str, root: str) -> str | None:
        """Return what is mounted, read-only, for something in the project that its bundle leaves out; None if nothing.

        Links lead out of the project where its user wants them to (`data` on another disk), but not to the system.
        """
        real = os.path.realpath(path)
        if self._is_never(real):
            return None
        if not self.own_projects:
            return real if real in self._allowed() else None
        ordinary = not _is_system(real) and len(Path(real).parts) > 2 and os.access(real, os.R_OK)
        return real if ordinary and _project(root, os.R_OK) is not None else None

    def _source(self, path: str, launch: Mapping[str, object], here: bool) -> str | None:
        if not here:  # the folder is of another machine, on which nothing can be resolved
            folders = {each.rstrip("/") for each in self.allow if each != "/"}
            return path if path.rstrip("/") in folders and not _lies_in(path.rstrip("/"), folders) else None
        real = os.path.realpath(path)
        if self._is_never(real):
            return None
        if any(real == each or (self.own_projects and _is_within(real, each)) for each in self._allowed()):
            return real
        project = _project(launch.get("root"), os.W_OK) if self.own_projects else None
        return real if project is not None and _is_within(real, project) else None

    def _allowed(self) -> list[str]:
        """Return the allowed folders, resolved.

        Not those that lie in another one: a trial that writes there could replace them by a link. On a server of one
        user that is no other person's trial.
        """
        folders = [each for each in self.allow if each.startswith("/")]
        outer = {each: os.path.realpath(each) for each in folders}
        return [
            outer[each]
            for each in folders
            if self.own_projects or not any(_lies_in(each, [top]) for name, top in outer.items() if name != each)
        ]

    def _is_never(self, real: str) -> bool:
        """Return True for /, devices and sockets, and for what holds, or lies in, a folder of the server's."""
        if real == "/" or not _is_plain(real):
            return True
        sockets = {os.path.realpath(each) for each in self.sockets}
        state = os.path.realpath(self.state) if self.state is not None else None
        return any(_is_within(each, real) for each in sockets) or (
            state is not None and (_is_within(real, state) or _is_within(state, real))
        )

    def _permits_volume(self, name: str) -> bool:
        if not _VOLUME.fullmatch(name) or name.startswith(_OURS):
            return False
        return self.own_projects or name in self.allow

    def _folder(self, path: str, key: str, here: bool) -> Problem:
        if here and self._is_never(os.path.realpath(path)):
            return Problem(f"cannot mount '{path}': no container gets it", key, hint="name another folder")
        place = " outside the project" if self.own_projects else ""
        message = f"cannot mount '{path}', a folder{place} that is not allowed"
        return Problem(message, key, hint=f"allow it where the server runs: {VARIABLE}={path}")

    def _claim(self, name: str, key: str) -> Problem:
        hint = f"allow it where the server runs: {VARIABLE}={name}"
        return Problem(f"cannot mount the Docker volume '{name}': it is not allowed", key, hint=hint)


def _targets(volume: Volume, key: str) -> Iterator[Problem]:
    target = PurePosixPath(os.path.normpath(volume.mount))
    below = any(_is_within(str(target), each) for each in _TARGETS) and str(target) != "/dev/shm"
    if not volume.mount.startswith("/") or str(target) in ("/", "//") or below:
        yield Problem(f"cannot mount anything at '{volume.mount}'", key, hint="name another folder of the container")


def _project(root: object, access: int) -> str | None:
    """Return the resolved folder of a project; None if it is none that the server's user could have as a project.

    The request names it, so that it is believed only as far as it gives nothing that the user does not have.
    """
    if not isinstance(root, str) or not os.path.isabs(root):
        return None
    real = os.path.realpath(root)
    home = os.path.realpath(os.path.expanduser("~"))
    if _is_system(real) or (len(Path(real).parts) <= 2 and real != home):
        return None
    return real if os.path.isdir(real) and os.access(real, access) else None


def _is_system(real: str) -> bool:
    return any(_is_within(real, each) for each in _SYSTEM)


def _is_within(path: str, folder: str) -> bool:
    """Return True for the folder itself and everything below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _lies_in(path: str, folders: Iterable[str]) -> bool:
    """Return True if a folder that leads to `path`, as it is written or resolved, is one of these or below one."""
    parents = [str(parent) for parent in Path(os.path.normpath(path)).parents]
    leading = {*parents, *map(os.path.realpath, parents)}
    return any(_is_within(parent, folder) for parent in leading for folder in folders)


def _is_plain(real: str) -> bool:
    """Return True for files and folders, and for what does not exist: other checks name that."""
    try:
        mode = os.stat(real).st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)

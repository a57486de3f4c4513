"""Mount policy: which host files containers may see, as the daemon mounts any path as root.

Paths are resolved when an experiment is created and again when its container is, which mounts the resolved path: a link
that was changed in between is rejected then.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestune.domain.resources.placement import Placement, Volume
from orchestune.errors import PolicyRefused, Problem
from orchestune.system.project_root import is_hidden_elsewhere, leads_out

VARIABLE = "ORCHESTUNE_DOCKER_ALLOW"
_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock")
_SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
    "/var/lib/containerd", "/var/lib/docker", "/var/lib/kubelet",
)  # fmt: skip
_PERSONAL = frozenset((".aws", ".config", ".docker", ".gnupg", ".kube", ".netrc", ".ssh"))
"""files and folders of a home folder that hold the user's keys for other services: not even mounted within a project"""
_APPLICATIONS = ("Library", "snap")
"""folders of a home folder with data of applications, such as logins of browsers (macOS, which ignores case; Ubuntu)"""
_TARGETS = ("/dev", "/orchestune", "/proc", "/sys")
"""container folders in which nothing may be mounted except at /dev/shm"""
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OURS = "orchestune-"
"""prefix of the names of the server's own volumes"""


@dataclass(frozen=True)
class MountPolicy:
    """Mount rules for the containers of one server. By default nothing may be mounted."""

    state: Path | None = None
    """the server's state folder, which is never mounted"""
    allow: Sequence[str] = ()
    """allowed host folders and names of Docker volumes"""
    own_projects: bool = False
    """the server has a single user, who may mount files of the project folder and any of the user's Docker volumes"""
    sockets: Sequence[str] = _SOCKETS
    """sockets of the daemon: access to one means root on the host"""

    def refuse(self, placement: Placement, launch: Mapping[str, object], here: bool) -> None:
        """Raise PolicyRefused listing all volumes the experiment may not mount. `here`: the daemon is on this host."""
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
        """Return the path to mount for a path that `refuse` accepted. Raises PolicyRefused if that has changed."""
        source = self._source(path, launch, here)
        if source is None:
            raise PolicyRefused([self._folder(path, "volumes", here)])
        return source

    def link(self, path: str, root: str) -> str | None:
        """Return the path to mount read-only for a project file that its bundle omits; None if it may not be mounted.

        Links may lead out of the project if its user wants that (`data` on another disk), but not to system folders,
        hidden files and data of applications. These hold the user's keys, and the author of the project may be another
        person.
        """
        real = os.path.realpath(path)
        if self._is_never(real):
            return None
        if not self.own_projects:
            return real if real in self._allowed() else None
        if _is_system(real) or _has_keys(real) or len(Path(real).parts) <= 2:
            return None
        if is_hidden_elsewhere(real, root) or (leads_out(real, root) and _is_of_applications(real)):
            return None
        return real if os.access(real, os.R_OK) and _project(root, os.R_OK) is not None else None

    def _source(self, path: str, launch: Mapping[str, object], here: bool) -> str | None:
        if not here:  # the folder is on another host and cannot be resolved here
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

        Folders inside another allowed one are excluded: a trial with write access there could replace them by a link.
        On a server of a single user, that trial is the user's own.
        """
        folders = [each for each in self.allow if each.startswith("/")]
        outer = {each: os.path.realpath(each) for each in folders}
        return [
            outer[each]
            for each in folders
            if self.own_projects or not any(_lies_in(each, [top]) for name, top in outer.items() if name != each)
        ]

    def _is_never(self, real: str) -> bool:
        """Return True for /, devices and sockets, and for paths that contain, or lie in, a folder of the server."""
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
    """Return the resolved project folder; None if the server's user could not have a project there.

    The request names it, so it is trusted only where it grants nothing that the user does not have anyway.
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


def _has_keys(real: str) -> bool:
    """Return True for the home folder, those above it, and what holds the user's keys."""
    return _is_within(os.path.realpath(os.path.expanduser("~")), real) or not _PERSONAL.isdisjoint(Path(real).parts)


def _is_of_applications(real: str) -> bool:
    home = os.path.realpath(os.path.expanduser("~"))
    return any(_is_within(real.casefold(), os.path.join(home, name).casefold()) for name in _APPLICATIONS)


def _is_within(path: str, folder: str) -> bool:
    """Return True for the folder itself and everything below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _lies_in(path: str, folders: Iterable[str]) -> bool:
    """Return True if a parent folder of `path`, as written or resolved, is one of these or below one."""
    parents = [str(parent) for parent in Path(os.path.normpath(path)).parents]
    leading = {*parents, *map(os.path.realpath, parents)}
    return any(_is_within(parent, folder) for parent in leading for folder in folders)


def _is_plain(real: str) -> bool:
    """Return True for files and folders, and for missing paths, which other checks report."""
    try:
        mode = os.stat(real).st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)

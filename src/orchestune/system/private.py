"""Files that only their owner can read, their locks, and checks of the folders that contain them.

They hold tokens, addresses with tokens, and data for workers.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from orchestune.errors import UsageError

TAKE_BACK = "move it away; or, if you trust its content, chown it to you and chmod go-w it"
_ACL_ENTRY, _ACL_HEADER = struct.Struct("<HHI"), 4  # of linux/posix_acl_xattr.h
_ACL_USER, _ACL_OWN_GROUP, _ACL_GROUP = 0x02, 0x04, 0x08
_ACL_WRITE = 0x02
_MAX_LINKS = 40  # as in the kernel
_SUBORDINATE_UIDS, _SUBORDINATE_GIDS = Path("/etc/subuid"), Path("/etc/subgid")
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically with one of mode 0600. Raises OSError if that fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # it no longer exists, unless an error has occurred
            os.unlink(temporary)


def create_private(path: Path, text: str) -> bool:
    """Create a file like `write_private`, unless it exists. Return True if created: of concurrent calls exactly one is.

    On file systems without hard links, such as exFAT and FAT, a reader may briefly see an empty file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    write_private(temporary, text)
    try:
        try:
            os.link(temporary, path)
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            os.replace(temporary, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return True


def require_own_folder(folder: Path, name: str, hint: str) -> None:
    """Make sure that only this user (or root) has created the entries of `folder`, and can in future.

    Removes the group's write permission, with a warning, and raises UsageError as `refuse_foreign` does, or if an entry
    of `folder` belongs to another user or is writable for others. Returns if the folder does not exist.
    """
    _close_to_group(folder, name)
    refuse_foreign(folder, name, hint)
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # reported when the folder is used
        return
    for path in entries:
        refuse_foreign(path, f"{name} {folder} because of", TAKE_BACK)


def refuse_foreign(path: Path, name: str, hint: str) -> None:
    """Raise UsageError if other users can write the file or folder `path`, or a link that leads to it.

    That is so if it belongs to another user (but not root), or is writable for others, as /tmp is. Returns if it does
    not exist.

    Its contents (addresses, tokens, databases, programs) are trusted.
    """
    if reason := access_of_others(path):
        raise UsageError(f"cannot use {name} {path}: {reason}", hint)


def access_of_others(path: Path) -> str:
    """Return the reason why other users can change the file or folder `path`; empty if they cannot, or it is absent."""
    try:
        link, status = path.lstat(), path.stat()
    except OSError:
        return ""
    for link_or_target in (link, status):
        if link_or_target.st_uid not in (os.geteuid(), 0):
            return f"it belongs to {_user(link_or_target.st_uid)}"
    return _writers(path, status) if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) else ""


class ReplaceablePath(NamedTuple):
    """A folder in which other users can rename or replace entries."""

    folder: Path
    reason: str


def replaceable_by_others(folder: Path) -> ReplaceablePath | None:
    """Return the first of `folder` and its parents in which another user can replace entries.

    For links, the parents of their targets are included. Returns None if there is none.

    The owner of a folder can always do that; other users with write permission can, unless the folder is sticky, as
    /tmp is.
    """
    pending, visited = [folder.absolute()], set[Path]()
    while pending:
        path = pending.pop()
        for folder_or_parent in (path, *path.parents):
            if folder_or_parent in visited:
                continue
            visited.add(folder_or_parent)
            try:
                status = folder_or_parent.lstat()
                if stat.S_ISLNK(status.st_mode):
                    pending.append(folder_or_parent.parent / os.readlink(folder_or_parent))
            except OSError:  # absent, or on a file system that does not respond
                continue
            if reason := _replacers(folder_or_parent, status):
                return ReplaceablePath(folder_or_parent, reason)
    return None


def open_for_writing(path: Path) -> TextIO:
    """Open a file to write text, by symbolic links of this user and of root only; truncates or creates it.

    Raises PermissionError for a link of another user, who would decide which file is overwritten: the kernel refuses
    that in sticky folders alone. Raises OSError if the file cannot be opened.
    """
    target = path
    for _ in range(_MAX_LINKS):
        if target.parent.resolve().is_relative_to("/proc"):  # as of /dev/stdout: links of the kernel, to no path
            return target.open("w", newline="", encoding="utf-8")
        if not target.is_symlink():
            return open(target, "w", newline="", encoding="utf-8", opener=open_without_link)
        if (uid := target.lstat().st_uid) not in (os.geteuid(), 0):
            raise PermissionError(errno.EPERM, f"it is a symbolic link of {_user(uid)}", str(target))
        target = target.parent / os.readlink(target)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def open_without_link(path: str, flags: int) -> int:
    """Open a file for `open`; fails if there is a link, which another user may have put in its place meanwhile."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def is_own_file(path: Path) -> bool:
    """Return True if `path` is a regular file of this user, not a link to one, symbolic or hard."""
    status = path.lstat()
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1


def refuse_links_of_others(folder: Path, path: Path) -> None:
    """Raise PermissionError if `folder`, or a folder between it and `path`, is a symbolic link of another user.

    That user would decide where a new file `path` is created.
    """
    for parent in (folder, *(one for one in path.parents if one.is_relative_to(folder))):
        if parent.is_symlink() and (uid := parent.lstat().st_uid) not in (os.geteuid(), 0):
            raise PermissionError(errno.EPERM, f"'{parent}' is a symbolic link of {_user(uid)}", str(path))


def refuse_replaceable(folder: Path, name: str, setting: str) -> None:
    """Raise UsageError if another user can replace `folder`; `setting` names the option that selects another one."""
    if above := replaceable_by_others(folder):
        hint = f"choose a folder below your home folder ({setting}), or make {above.folder} writable for you only"
        text = f"cannot use {name} {folder}: other users can replace it through {above.folder}: {above.reason}"
        raise UsageError(text, hint)


def _close_to_group(folder: Path, name: str) -> None:
    try:
        status = folder.stat()
        if status.st_uid == os.geteuid() and not status.st_mode & stat.S_IWOTH and (reason := _writers(folder, status)):
            folder.chmod(stat.S_IMODE(status.st_mode) & ~stat.S_IWGRP)  # of an ACL: the mask of all named entries
            import logging  # imported on demand: every command imports this module

            logging.getLogger("orchestune.files").warning(
                "removed the group's write permission from %s %s: %s", name, folder, reason
            )
    except OSError:  # refused afterwards
        return


def _replacers(path: Path, status: os.stat_result) -> str:
    if status.st_uid not in (os.geteuid(), 0) and _is_of_this_machine(status.st_uid):
        return f"it belongs to {_user(status.st_uid)}"
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_ISVTX:
        return ""
    return _writers(path, status)


def _writers(path: Path, status: os.stat_result) -> str:
    if status.st_mode & stat.S_IWOTH:
        return "every user of this machine can write to it"
    if not status.st_mode & stat.S_IWGRP:  # in an ACL, these bits are the mask: without it no entry lets others write
        return ""
    groups = [status.st_gid]
    entries = _access_acl(path)
    if entries is not None:
        writers = [entry for entry in entries if entry.permissions & _ACL_WRITE]
        users = [entry.id for entry in writers if entry.tag == _ACL_USER]
        if others := [user for user in users if user not in (os.geteuid(), 0)]:
            return f"{_user(others[0])} can write to it, by an ACL"
        groups = [entry.id for entry in writers if entry.tag == _ACL_GROUP]
        groups += [status.st_gid for entry in writers if entry.tag == _ACL_OWN_GROUP]
    name = next((name for group in groups if (name := _group_of_others(group))), "")
    return f"the group '{name}' can write to it" if name else ""


class _AclEntry(NamedTuple):
    tag: int
    permissions: int
    id: int
    """uid or gid, of entries that name a user or a group"""


def _access_acl(path: Path) -> list[_AclEntry] | None:
    """Return the POSIX ACL of a file or folder; None if it has none, or the file system has other ones or none."""
    if not hasattr(os, "getxattr"):  # macOS has ACLs of another kind, in which entries for others are an exception
        return None
    try:
        acl = os.getxattr(path, "system.posix_acl_access")
        return [_AclEntry(*fields) for fields in _ACL_ENTRY.iter_unpack(acl[_ACL_HEADER:])]
    except (OSError, struct.error):
        return None


def _is_of_this_machine(user: int) -> bool:
    """Return False if the uid cannot be a user of this machine, nor a subordinate one of another user.

    Folders of containers may have a uid without an account or, in a user namespace that does not map root (Apptainer),
    the overflow uid in place of root's.
    """
    try:
        if not _subordinate_of(user, _SUBORDINATE_UIDS):
            pwd.getpwuid(user)
        ranges = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except KeyError:
        return False
    except (OSError, ValueError):  # not Linux
        return True
    return any(first <= user < first + count for first, _, count in ranges)


@functools.cache
def _subordinate_of(number: int, ranges: Path) -> str:
    """Return the other account that can become this uid or gid by `newuidmap` or `newgidmap`; empty if there is none.

    Rootless containers use such a range. Root's own ranges do not count, as root is not another user either.
    """
    try:
        lines = ranges.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        account, _, span = line.strip().partition(":")
        try:
            first, count = map(int, span.split(":"))
            if first <= number < first + count:
                entry = pwd.getpwuid(int(account)) if account.isdecimal() else pwd.getpwnam(account)
                if entry.pw_uid not in (os.geteuid(), 0):
                    return entry.pw_name
        except (ValueError, KeyError, OverflowError):  # a comment, or an account that no longer exists
            continue
    return ""


@functools.cache
def _group_of_others(number: int) -> str:
    """Return the name of a group if it may have members other than this user and root; empty otherwise.

    Its members are those listed in the group and those whose primary group it is. If the accounts of a directory
    service cannot be listed, only a group with this user's own name counts as private.
    """
    try:
        group = grp.getgrgid(number)
    except KeyError:  # no account of this machine is a member
        return str(number) if _subordinate_of(number, _SUBORDINATE_GIDS) else ""
    if number == 0:
        return ""
    accounts = pwd.getpwall()
    own_names = {entry.pw_name for entry in accounts if entry.pw_uid == os.geteuid()}
    members = {*group.gr_mem, *(entry.pw_name for entry in accounts if entry.pw_gid == number)} - {"root"}
    if own_names:
        return group.gr_name if members - own_names else ""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return group.gr_name
    return "" if group.gr_name == name and not members - {name} else group.gr_name


def _user(number: int) -> str:
    try:
        return f"the user '{pwd.getpwuid(number).pw_name}'"
    except KeyError:
        account = _subordinate_of(number, _SUBORDINATE_UIDS)
        return f"the user {number}, a subordinate uid of '{account}'" if account else f"the user {number}"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock at `path`, among threads and processes. Blocks; released if the holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

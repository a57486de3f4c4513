"""Files that their owner alone can read: tokens, addresses that carry one, what a worker is told; their locks, and the
folders in which they may be.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import grp
import logging
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from orchestune.errors import UsageError

logger = logging.getLogger("orchestune.files")

TAKE_BACK = "move it away; or, if you trust what is in it, chown it to you and chmod go-w it"
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


def write_private(path: Path, text: str) -> None:
    """Replace a file at once with one of mode 0600; a reader never sees half of it. OSError where that cannot be."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def create_private(path: Path, text: str) -> bool:
    """Like `write_private`, but an existing file stays: False. Of several that try at once one gets True.

    On a disk without hard links, as exFAT and FAT are, a reader may see an empty file for a moment.
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


def claim(folder: Path, name: str, hint: str) -> None:
    """Make sure that only this user (or root) has put something into `folder`, and can from now on.

    Takes the right to write from the group, with a note, and raises UsageError as `refuse_foreign` does, or if an entry
    of `folder` belongs to another user or can be written to by others. Returns if the folder does not exist.
    """
    _close_to_group(folder, name)
    refuse_foreign(folder, name, hint)
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # reported by whoever uses it
        return
    for path in entries:
        refuse_foreign(path, f"{name} {folder} because of", TAKE_BACK)


def refuse_foreign(path: Path, name: str, hint: str) -> None:
    """Raise UsageError if the file or folder `path`, or a link that leads to it, belongs to another user (but not
    root), or if others can write to it, as to /tmp. Returns if it does not exist.

    What is read there (addresses, tokens, databases, programs) is believed.
    """
    if reason := access_of_others(path):
        raise UsageError(f"cannot use {name} {path}: {reason}", hint)


def access_of_others(path: Path) -> str:
    """Return by what right other users can change the file or folder `path`; empty if they cannot, or it is absent."""
    try:
        link, status = path.lstat(), path.stat()
    except OSError:
        return ""
    for each in (link, status):
        if each.st_uid not in (os.geteuid(), 0):
            return f"it belongs to {_user(each.st_uid)}"
    return _writers(status) if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) else ""


class Replaceable(NamedTuple):
    """A folder in which other users can rename or replace what is in it."""

    folder: Path
    reason: str


def replaceable_by_others(folder: Path) -> Replaceable | None:
    """Return the first of `folder` and those above it (of links: also above their targets) in which another user can
    put something else in the place of what is there; None if there is none.

    The owner of a folder can always do that; others who can write to it can unless it is sticky, as /tmp is.
    """
    pending, visited = [folder.absolute()], set[Path]()
    while pending:
        path = pending.pop()
        for each in (path, *path.parents):
            if each in visited:
                continue
            visited.add(each)
            try:
                status = each.lstat()
                if stat.S_ISLNK(status.st_mode):
                    pending.append(each.parent / os.readlink(each))
            except OSError:  # absent, or on a file system that does not answer
                continue
            if reason := _replacers(status):
                return Replaceable(each, reason)
    return None


def refuse_replaceable(folder: Path, name: str, setting: str) -> None:
    """Raise UsageError if another user can put something else in the place of `folder`; `setting` chooses another."""
    if above := replaceable_by_others(folder):
        hint = f"choose a folder below your home folder ({setting}), or let only you and root change {above.folder}"
        raise UsageError(f"cannot use {name} {folder}: others can replace it, by {above.folder}: {above.reason}", hint)


def _close_to_group(folder: Path, name: str) -> None:
    try:
        status = folder.stat()
        if status.st_uid == os.geteuid() and not status.st_mode & stat.S_IWOTH and (reason := _writers(status)):
            folder.chmod(stat.S_IMODE(status.st_mode) & ~stat.S_IWGRP)
            logger.warning("took the right to write to %s %s from its group: %s", name, folder, reason)
    except OSError:  # refused afterwards
        return


def _replacers(status: os.stat_result) -> str:
    if status.st_uid not in (os.geteuid(), 0) and _is_of_this_machine(status.st_uid):
        return f"it belongs to {_user(status.st_uid)}"
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_ISVTX:
        return ""
    return _writers(status)


def _writers(status: os.stat_result) -> str:
    if status.st_mode & stat.S_IWOTH:
        return "every user of this machine can write to it"
    if status.st_mode & stat.S_IWGRP and (group := _group_of_others(status.st_gid)):
        return f"the group '{group}' can write to it"
    return ""


def _is_of_this_machine(user: int) -> bool:
    """Return False if no user of this machine can be meant: folders of containers may belong to a number without an
    account, or, in a user namespace that does not map root (Apptainer), to the overflow user in the place of root.
    """
    try:
        pwd.getpwuid(user)
        ranges = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except KeyError:
        return False
    except (OSError, ValueError):  # not Linux
        return True
    return any(first <= user < first + count for first, _, count in ranges)


@functools.cache
def _group_of_others(number: int) -> str:
    """Return the name of a group if it may have members other than this user and root; empty if not.

    Its members are those that it lists and those whose primary group it is. Where the accounts of a directory service
    cannot be listed, only a group with this user's own name counts as private.
    """
    try:
        group = grp.getgrgid(number)
    except KeyError:  # no account of this machine can be in it
        return ""
    if number == 0:
        return ""
    accounts = pwd.getpwall()
    own = {entry.pw_name for entry in accounts if entry.pw_uid == os.geteuid()}
    members = {*group.gr_mem, *(entry.pw_name for entry in accounts if entry.pw_gid == number)} - {"root"}
    if own:
        return group.gr_name if members - own else ""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return group.gr_name
    return "" if group.gr_name == name and not members - {name} else group.gr_name


def _user(number: int) -> str:
    try:
        return f"the user '{pwd.getpwuid(number).pw_name}'"
    except KeyError:
        return f"the user {number}"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone with what the lock at `path` stands for, among threads and processes; it dies with its holder. Waits."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

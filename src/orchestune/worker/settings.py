"""Bootstrap settings of a worker, from a JSON file that no other user can change."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

FILE_VARIABLE = "ORCHESTUNE_WORKER_FILE"


class SettingsError(Exception):
    """The file is missing or invalid; the message names the file and the problem."""


class Settings(NamedTuple):
    """Server address, worker id and folders. Not a dataclass, because importing `dataclasses` is slow."""

    url: str | None
    endpoint: Path | None
    """a file with `{"url"}`, read again whenever the server is unreachable"""
    token: str
    worker: str
    slots: int
    state: Path
    """folder for the worker's caches and spool"""
    cores: Path | None = None
    """folder in which the workers of this machine reserve cores; None if this worker has its cores for itself"""
    gpus: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}
    umask: int | None = None
    """umask of commands; None for that of this process"""
    retained: Path | None = None
    """folder for files that trials wrote and nothing keeps; None if this worker removes them with its work folders"""

    def __repr__(self) -> str:
        return f"Settings of {self.worker} at {self.url or self.endpoint}"  # without the token


def load(environ: Mapping[str, str]) -> Settings:
    """Load the file named by `ORCHESTUNE_WORKER_FILE`. Raises SettingsError, also if another user can change it."""
    name = environ.get(FILE_VARIABLE)
    if not name:
        raise SettingsError(f"{FILE_VARIABLE} is not set (expected the path of the worker's settings file)")
    try:
        with open(name, encoding="utf-8") as file:
            _check_owner(name, os.fstat(file.fileno()))
            document = json.load(file)
        return Settings(
            url=document.get("url"),
            endpoint=Path(document["endpoint"]) if document.get("endpoint") else None,
            token=str(document["token"]),
            worker=str(document["worker"]),
            slots=int(document["slots"]),
            state=Path(document["state"]),
            cores=Path(document["cores"]) if document.get("cores") else None,
            gpus=tuple(str(gpu) for gpu in document.get("gpus") or ()),
            tags=dict(document.get("tags") or {}),
            umask=int(document["umask"], 8) & 0o777 if document.get("umask") else None,
            retained=Path(document["retained"]) if document.get("retained") else None,
        )
    except OSError as exc:
        raise SettingsError(f"cannot read {name}: {exc.strerror}") from exc
    except KeyError as exc:
        raise SettingsError(f"{name}: the key {exc} is missing") from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise SettingsError(f"{name} is not a valid settings file: {exc}") from exc


def _check_owner(name: str, status: os.stat_result) -> None:
    """Raise SettingsError if the file belongs to another user than this one or root, or is writable for others.

    The worker runs what the server in this file sends.
    """
    if status.st_uid not in (os.geteuid(), 0):
        raise SettingsError(f"cannot use {name}: it belongs to user {status.st_uid} (expected {os.geteuid()} or root)")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(status.st_mode)
        raise SettingsError(f"cannot use {name}: other users can write to it, its mode is {mode:04o} (expected 0600)")

"""What a worker is told before it can ask anybody: one owner-only JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

FILE_VARIABLE = "ORCHESTUNE_WORKER_FILE"


class SettingsError(Exception):
    """The file is missing or wrong; the message names it and what is missing."""


class Settings(NamedTuple):
    """Where the server is, who this worker is, and where it may write. No dataclass: those take long to load."""

    url: str | None
    endpoint: Path | None
    """a file with `{"url"}`, read again whenever the server cannot be reached"""
    token: str
    worker: str
    slots: int
    state: Path
    """this worker's own: its caches and its spool"""
    cores: Path | None = None
    """where the workers of this machine see which cores are in use; None where it alone may use its cores"""
    gpus: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}
    umask: int | None = None
    """what commands are started with; None: that of this process"""

    def __repr__(self) -> str:
        return f"Settings of {self.worker} at {self.url or self.endpoint}"  # without the token


def load(environ: Mapping[str, str]) -> Settings:
    """Read the file that `ORCHESTUNE_WORKER_FILE` names. SettingsError where it cannot be used."""
    name = environ.get(FILE_VARIABLE)
    if not name:
        raise SettingsError(f"{FILE_VARIABLE} is not set; it names the file which says where the server is")
    try:
        document = json.loads(Path(name).read_text(encoding="utf-8"))
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
        )
    except OSError as exc:
        raise SettingsError(f"cannot read {name}: {exc.strerror}") from exc
    except KeyError as exc:
        raise SettingsError(f"{name}: the key {exc} is missing") from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise SettingsError(f"{name} is no file of a worker: {exc}") from exc

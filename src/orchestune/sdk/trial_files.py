"""What a trial leaves behind, or finds of an attempt before it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from orchestune.sdk.reporting import append

BY_HAND = "checkpoint"


def checkpoint_dir() -> Path:
    """The folder that survives an interrupted attempt of this trial; the next attempt finds it as it was.

    That takes `checkpoint:` in the experiment; without it, and by hand, it is the folder `checkpoint` where the script
    runs. It exists. Write to another name and rename, so that what is there is always whole.

    >>> import orchestune
    >>> saved = orchestune.checkpoint_dir() / "epoch.txt"
    >>> start = int(saved.read_text()) + 1 if saved.exists() else 0
    """
    folder = Path(os.environ.get("ORCHESTUNE_CHECKPOINT_DIR") or BY_HAND).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def log_artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Keep a file, or all files of a folder, with this trial once it has succeeded; `orchestune get` fetches them.

    `name` is what it is called there: the path, relative to where the script runs, or the last part of a path that
    leads elsewhere. The file is taken when the trial has ended, so it may still change. By hand it stays where it is.

    >>> import orchestune
    >>> from pathlib import Path
    >>> size = Path("model.json").write_text("{}")
    >>> orchestune.log_artifact("model.json")

    FileNotFoundError where there is none; ValueError for a name that is absolute or leads upwards.
    """
    place = Path(path).absolute()
    if not place.exists():
        raise FileNotFoundError(f"log_artifact: there is no {os.fspath(path)}")
    if name is None:
        relative = os.path.relpath(str(place), os.getcwd())
        name = place.name if relative.startswith(os.pardir) or relative == os.curdir else relative
    parts = name.split("/")
    if name.startswith("/") or not name or ".." in parts:
        raise ValueError(f"log_artifact: {name!r} is no name of an artifact; write one like models/best.bin")
    listing = os.environ.get("ORCHESTUNE_ARTIFACTS")
    if listing:
        append(listing, json.dumps({"path": str(place), "name": name}) + "\n")

"""Files that a trial keeps, and checkpoints of its earlier attempts."""

from __future__ import annotations

import json
import os
from pathlib import Path

from orchestune.sdk.reporting import append

BY_HAND = "checkpoint"


def checkpoint_dir() -> Path:
    """Return the checkpoint folder of this trial: the next attempt after an interruption gets it unchanged.

    Requires `checkpoint:` in the experiment; without it, or outside a trial, it is the folder `checkpoint` in the
    working directory. The folder exists. Write to a temporary name and rename, so that files are always complete.

    >>> import orchestune
    >>> saved = orchestune.checkpoint_dir() / "epoch.txt"
    >>> start = int(saved.read_text()) + 1 if saved.exists() else 0
    """
    folder = Path(os.environ.get("ORCHESTUNE_CHECKPOINT_DIR") or BY_HAND).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def log_artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Keep a file, or all files of a folder, with this trial if it succeeds; `orchestune get` downloads them.

    `name` is its name there; by default the path relative to the working directory, or the last part of a path outside
    it. The file is read when the trial has ended, so it may still change. Outside a trial, nothing happens.

    >>> import orchestune
    >>> from pathlib import Path
    >>> size = Path("model.json").write_text("{}")
    >>> orchestune.log_artifact("model.json")

    Raises FileNotFoundError if it does not exist, and ValueError for a name that is absolute or contains `..`.
    """
    source = Path(path).absolute()
    if not source.exists():
        raise FileNotFoundError(f"log_artifact: no such file: {os.fspath(path)}")
    if name is None:
        relative = os.path.relpath(str(source), os.getcwd())
        name = source.name if relative.startswith(os.pardir) or relative == os.curdir else relative
    parts = name.split("/")
    if name.startswith("/") or not name or ".." in parts:
        raise ValueError(f"log_artifact: invalid name {name!r} (expected a relative path such as models/best.bin)")
    artifact_list = os.environ.get("ORCHESTUNE_ARTIFACTS")
    if artifact_list:
        append(artifact_list, json.dumps({"path": str(source), "name": name}) + "\n")

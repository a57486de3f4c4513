"""`get`: fetch the files that a trial left."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestune.cli.inspect.logs import gone
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command
from orchestune.cli.terminal.progress import nothing_best
from orchestune.cli.terminal.render import one_line, size
from orchestune.client.connection.transfer import local_name
from orchestune.domain.specification.code import FETCHED
from orchestune.errors import NotFound, UsageError

if TYPE_CHECKING:
    from orchestune import documents
    from orchestune.client.api import Client

_LOOK = 0.5
"""seconds between two looks"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "get",
        get,
        details="It waits for files that are on their way. A download that was interrupted goes on where it was.",
        example="orchestune get sgd-7f3a/12\norchestune get sgd-7f3a --best -o best/",
    )
    add_cluster(parser)
    parser.add_argument("exp", metavar="EXP/N", nargs="?", help="a trial; with --best an experiment")
    parser.add_argument("--best", action="store_true", help="the best trial of the experiment")
    made = "folder to write to (default: HANDLE-N, which is left out of the code of later runs)"
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help=made)


def _why(specification: Mapping[str, Any], state: str) -> str:
    keep = specification.get("keep") or {}
    if not keep.get("patterns"):
        return "name them with `keep:` in the experiment file"
    if keep.get("best"):
        return f"`keep_best: {keep['best']}` retains those of the best trials alone"
    names = ", ".join(keep["patterns"])
    if state not in ("queued", "running"):
        return f"this trial ({state}) left none of those that `keep` names: {names}"
    return f"once it is over it has those that `keep` names: {names}"


def _told(trial: documents.Trial, code: str) -> documents.Attempt | None:
    """The last attempt of which that is told."""
    return next((one for one in reversed(trial["attempts"]) if one["reason"] and one["reason"]["code"] == code), None)


def _arrived(console: Console, ref: str, number: int) -> documents.Trial:
    """The trial once none of its files is on its way: they are here, or will never be."""
    trial, told = console.client.trial(ref, number), console.json
    while sender := _told(trial, "files_on_the_way"):
        if not told:
            console.note(f"waiting for files that are on their way from {sender['worker']}")
            told = True
        time.sleep(_LOOK)
        trial = console.client.trial(ref, number)
    return trial


def _lost(trial: documents.Trial) -> str:
    """What is told of files of the trial that will never be here."""
    told = _told(trial, "files_lost")
    return told["reason"]["message"] if told is not None and told["reason"] is not None else ""


def _own_folder(folder: Path) -> Path:
    """Made here where it is missing, as one that neither git nor the next run's code takes up. UsageError if another
    user has made it, who could exchange what is fetched.
    """
    from orchestune.bundles.ignore import GIT_FILE  # pathspec is slow to import, and only needed here

    if not folder.exists():
        try:
            folder.mkdir()
            (folder / GIT_FILE).write_text(FETCHED)
        except OSError as exc:
            raise UsageError(f"{folder} cannot be written: {exc.strerror}", "-o names another folder") from exc
    if any(status.st_uid not in (os.geteuid(), 0) for status in (folder.lstat(), folder.stat())):
        raise UsageError(f"{folder} belongs to another user", "-o names another folder")
    return folder


def fetched(folder: Path) -> bool:
    """Whether `get` made it here."""
    from orchestune.bundles.ignore import GIT_FILE  # here, as above

    try:
        return (folder / GIT_FILE).read_text() == FETCHED
    except (OSError, UnicodeDecodeError):
        return False


def _fetched(client: Client, ref: str, number: int, artifact: documents.Artifact, target: Path) -> bool:
    """Download a file. Return False if its name, or a part of its path, is taken by a folder, or by another file.

    Then others may still be written; UsageError if the disk refuses for another reason.
    """
    try:
        client.download(ref, number, artifact, target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return False
    except OSError as exc:
        raise UsageError(f"{target} cannot be written: {exc.strerror}") from exc
    return True


def get(console: Console, args: argparse.Namespace) -> int:
    """Download each file; whole or not at all."""
    client = console.client
    if args.best:
        ref = console.experiment(args.exp)
        found = client.best(ref)
        if not found:
            status = client.experiment(ref)
            raise NotFound(f"{status['handle']} has no best trial: {nothing_best(status)}")
        number = found[0]["trial"]
    elif args.exp is None:
        raise UsageError("get needs a trial", "orchestune get sgd-7f3a/12, or --best")
    else:
        ref, number = console.trial(args.exp)
    experiment = client.experiment(ref)
    handle = experiment["handle"]
    trial = _arrived(console, ref, number)
    artifacts = trial.get("artifacts") or []
    if not artifacts and (dropped := experiment.get("files_dropped_at")):
        raise NotFound(f"{handle}: {gone(dropped)}")
    missing = _lost(trial)
    if not artifacts:
        why = missing or _why(client.specification(ref)["specification"], trial["state"])
        raise NotFound(f"{handle}/{number} has no files", why)
    folder: Path = args.output or _own_folder(console.folder / f"{handle}-{number}")
    fetched, unwritable = [], []
    for artifact in artifacts:
        target = local_name(folder, artifact["path"])
        if not _fetched(client, ref, number, artifact, target):
            unwritable.append(one_line(str(target)))
            continue
        fetched.append({**artifact, "file": str(target)})
        if not console.json:
            console.say(f"{one_line(str(target))}  {console.paint.dim(size(artifact['size']))}")
    if console.json:
        console.document(fetched)
    if unwritable:
        text = f"cannot write {', '.join(unwritable[:3])}{', …' if len(unwritable) > 3 else ''}"
        hint = "move that file or folder away, or name another folder with -o"
        raise UsageError(f"{text}: a file is where a folder is needed, or the other way round", hint)
    if missing:
        console.note(f"not all files of {handle}/{number} are here: {one_line(missing)}")
    return 0

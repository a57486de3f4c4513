"""`get`: download the files of a trial."""

from __future__ import annotations

import argparse
import secrets
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestune.bundles import download_folder
from orchestune.cli.inspect.logs import dropped_message
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command
from orchestune.cli.terminal.progress import no_best_reason
from orchestune.cli.terminal.render import one_line, size
from orchestune.client.connection.transfer import local_name
from orchestune.client.local.work_folders import locate, written_files
from orchestune.domain.lifecycle.ids import is_handle
from orchestune.errors import NotFound, UsageError
from orchestune.system.private import refuse_links_of_others
from orchestune.worker.files.unkept import WrittenFile, note

if TYPE_CHECKING:
    from orchestune import documents
    from orchestune.client.api import Client

_POLL_SECONDS = 0.5
"""seconds between two requests while files are being uploaded"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "get",
        get,
        details="Waits for files that are still being uploaded. An interrupted download resumes. PATH is a file that"
        " the trial wrote: one that `keep` names or, on this machine, any file of a running trial and, for a day, of"
        " one that has completed.",
        example="orchestune get sgd-7f3a/12\norchestune get sgd-7f3a --best -o best/\n"
        "orchestune get sgd-7f3a/12 out/model.pt\norchestune get --best out/model.pt",
    )
    add_cluster(parser)
    parser.add_argument("exp", metavar="EXP/N", nargs="?", help="trial; with --best an experiment")
    parser.add_argument("paths", metavar="PATH", nargs="*", help="only these files (default: all that `keep` names)")
    parser.add_argument("--best", action="store_true", help="download the best trial of the experiment")
    output_help = "folder to write to (default: HANDLE-N, which later runs do not pack)"
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help=output_help)


def _missing_files_hint(specification: Mapping[str, Any], state: str) -> str:
    keep = specification.get("keep") or {}
    if not keep.get("patterns"):
        return "name them with `keep:` in the experiment file"
    if keep.get("best"):
        return f"`keep_best: {keep['best']}` only keeps files of the best trials"
    names = ", ".join(keep["patterns"])
    if state not in ("queued", "running"):
        return f"this trial ({state}) created none of the files in `keep`: {names}"
    return f"wait for its end: it then has the files in `keep`: {names}"


def _last_attempt_with(trial: documents.Trial, code: str) -> documents.Attempt | None:
    """Return the last attempt whose reason has this code."""
    return next(
        (attempt for attempt in reversed(trial["attempts"]) if attempt["reason"] and attempt["reason"]["code"] == code),
        None,
    )


def _wait_for_upload(console: Console, ref: str, number: int) -> documents.Trial:
    """Return the trial once none of its files is being uploaded: they are available, or lost."""
    trial, is_announced = console.client.trial(ref, number), console.json
    while sender := _last_attempt_with(trial, "files_on_the_way"):
        if not is_announced:
            console.note(f"waiting for {sender['worker']} to upload its files")
            is_announced = True
        time.sleep(_POLL_SECONDS)
        trial = console.client.trial(ref, number)
    return trial


def _lost_files_reason(trial: documents.Trial) -> str:
    """Return why files of the trial are lost; empty if none is."""
    attempt = _last_attempt_with(trial, "files_lost")
    return attempt["reason"]["message"] if attempt is not None and attempt["reason"] is not None else ""


def _download(client: Client, ref: str, number: int, artifact: documents.Artifact, folder: Path, target: Path) -> bool:
    """Download a file into `folder`. Return False if a folder or another file has its name or a part of its path.

    Other files can still be written then. Raises UsageError if the disk refuses for another reason.
    """
    try:
        refuse_links_of_others(folder, target)
        client.download(ref, number, artifact, target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return False
    except OSError as exc:
        raise UsageError(f"cannot write '{target}': {exc.strerror}") from exc
    return True


def _get_paths(console: Console, args: argparse.Namespace, name: str, trial: documents.Trial) -> int:
    """Download or copy single files of a trial."""
    handle, number = name.split("/")
    artifacts = {artifact["path"]: artifact for artifact in trial.get("artifacts") or []}
    attempts = [attempt["id"] for attempt in reversed(trial["attempts"])]
    work_files = {path: locate(console.environ, attempts, path) for path in args.paths if console.place.embedded}
    for path in args.paths:
        if path not in artifacts and work_files.get(path) is None:
            raise NotFound(
                f"{name} has no file '{path}'",
                _missing_path_hint(trial, path, [*sorted(artifacts), *_written(console, trial)]),
            )
    folder: Path = args.output or download_folder.create(console.folder / f"{handle}-{number}")
    downloads = []
    for path in args.paths:
        target, work_file = local_name(folder, path), work_files.get(path)
        if path in artifacts:
            if not _download(console.client, handle, int(number), artifacts[path], folder, target):
                raise UsageError(f"cannot write '{target}': a file and a folder have the same name")
        elif work_file is not None:
            _copy(work_file, folder, target)
        downloads.append({"path": path, "file": str(target), "size": target.stat().st_size})
        if not console.json:
            console.say(f"{one_line(str(target))}  {console.paint.dim(size(target.stat().st_size))}")
    if console.json:
        console.document(downloads)
    return 0


def _written(console: Console, trial: documents.Trial) -> dict[str, int]:
    """Return path and size of what the trial wrote and `keep` does not name, if it is still on this machine."""
    attempts = [attempt["id"] for attempt in reversed(trial["attempts"])]
    return written_files(console.environ, attempts) if console.place.embedded else {}


def _written_hint(console: Console, name: str, trial: documents.Trial) -> str:
    files = [WrittenFile(path, size) for path, size in _written(console, trial).items()]
    return f"it {note(files)}, or fetch a file: orchestune get {name} {shlex.quote(files[0].path)}" if files else ""


def _missing_path_hint(trial: documents.Trial, path: str, files: Sequence[str]) -> str:
    """Return how to get a file of a trial that is not kept, or whose work folder no longer exists."""
    if files:
        return f"it has {', '.join(files[:5])}{', …' if len(files) > 5 else ''}"
    if trial["state"] in ("queued", "running"):
        return "the trial has not written it yet, or its work folder is on another machine"
    return f"its work folder no longer exists: add `keep: [{path}]`, and `orchestune rerun` writes the file again"


def _copy(source: Path, folder: Path, target: Path) -> None:
    """Copy a file into `folder`, completely or not at all, and not through a link at the target."""
    part = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        refuse_links_of_others(folder, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as original, part.open("xb") as copy:
            shutil.copyfileobj(original, copy)
        part.replace(target)
    except OSError as exc:
        raise UsageError(f"cannot write '{target}': {exc.strerror}", "choose another folder with -o") from exc


def _is_reference(text: str) -> bool:
    """Return True if a text has the form of an experiment or a trial; any other is the path of a file."""
    experiment, slash, number = text.partition("/")
    return is_handle(experiment or "newest") and (not slash or number.isdecimal())


def _trial(console: Console, args: argparse.Namespace) -> tuple[str, int]:
    """Return the experiment and the number of the trial that the arguments name."""
    if args.best:
        if args.exp and not _is_reference(args.exp):  # `get --best PATH`, of the newest experiment of this folder
            args.exp, args.paths = None, [args.exp, *args.paths]
        ref = console.experiment(args.exp)
        best_trials = console.client.best(ref)
        if not best_trials:
            status = console.client.experiment(ref)
            raise NotFound(f"{status['handle']} has no best trial: {no_best_reason(status)}")
        return ref, best_trials[0]["trial"]
    if args.exp is None:
        raise UsageError("get needs a trial", "orchestune get sgd-7f3a/12, or --best")
    return console.trial(args.exp)


def get(console: Console, args: argparse.Namespace) -> int:
    """Download the files, each of them completely or not at all."""
    client = console.client
    ref, number = _trial(console, args)
    experiment = client.experiment(ref)
    handle = experiment["handle"]
    trial = _wait_for_upload(console, ref, number)
    artifacts = trial.get("artifacts") or []
    if args.paths:
        return _get_paths(console, args, f"{handle}/{number}", trial)
    if not artifacts and (dropped_at := experiment.get("files_dropped_at")):
        raise NotFound(f"{handle}: {dropped_message(dropped_at)}")
    lost_reason = _lost_files_reason(trial)
    if not artifacts:
        hint = (
            lost_reason
            or _written_hint(console, f"{handle}/{number}", trial)
            or _missing_files_hint(client.specification(ref)["specification"], trial["state"])
        )
        raise NotFound(f"{handle}/{number} has no files", hint)
    folder: Path = args.output or download_folder.create(console.folder / f"{handle}-{number}")
    downloads, unwritable = [], []
    for artifact in artifacts:
        target = local_name(folder, artifact["path"])
        if not _download(client, ref, number, artifact, folder, target):
            unwritable.append(one_line(str(target)))
            continue
        downloads.append({**artifact, "file": str(target)})
        if not console.json:
            console.say(f"{one_line(str(target))}  {console.paint.dim(size(artifact['size']))}")
    if console.json:
        console.document(downloads)
    if unwritable:
        message = f"cannot write {', '.join(unwritable[:3])}{', …' if len(unwritable) > 3 else ''}"
        hint = "move that file or folder away, or choose another folder with -o"
        raise UsageError(f"{message}: a file and a folder have the same name", hint)
    if lost_reason:
        console.note(f"not all files of {handle}/{number} are available: {one_line(lost_reason)}")
    return 0

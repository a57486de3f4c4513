"""`get`: fetch the files that a trial left."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestune.cli.console import Console
from orchestune.cli.logs import gone
from orchestune.cli.parser import Commands, add_cluster, add_command
from orchestune.cli.progress import nothing_best
from orchestune.cli.render import one_line, size
from orchestune.client.transfer import local_name
from orchestune.errors import NotFound, UsageError

if TYPE_CHECKING:
    from orchestune import documents


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "get",
        get,
        details="A download that was interrupted goes on where it was.",
        example="orchestune get sgd-7f3a/12\norchestune get sgd-7f3a --best -o best/",
    )
    add_cluster(parser)
    parser.add_argument("exp", metavar="EXP/N", nargs="?", help="a trial; with --best an experiment")
    parser.add_argument("--best", action="store_true", help="the best trial of the experiment")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder to write to (default: HANDLE-N)")


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


def _missing(trial: documents.Trial) -> str:
    """What is told of files of the trial that are not here."""
    told = {attempt["reason"]["code"]: attempt for attempt in trial["attempts"] if attempt["reason"] is not None}
    if "files_on_the_way" in told:
        return f"files are on their way from {told['files_on_the_way']['worker']}; try again in a moment"
    lost = told.get("files_lost")
    return lost["reason"]["message"] if lost is not None and lost["reason"] is not None else ""


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
    trial = client.trial(ref, number)
    artifacts = trial.get("artifacts") or []
    if not artifacts and (dropped := experiment.get("files_dropped_at")):
        raise NotFound(f"{handle}: {gone(dropped)}")
    missing = _missing(trial)
    if not artifacts:
        why = missing or _why(client.specification(ref)["specification"], trial["state"])
        raise NotFound(f"{handle}/{number} has no files", why)
    folder: Path = args.output or console.folder / f"{handle}-{number}"
    fetched = []
    for artifact in artifacts:
        target = local_name(folder, artifact["path"])
        try:
            client.download(ref, number, artifact, target)
        except OSError as exc:
            raise UsageError(f"{target} cannot be written: {exc.strerror}") from exc
        fetched.append({**artifact, "file": str(target)})
        if not console.json:
            console.say(f"{one_line(str(target))}  {console.paint.dim(size(artifact['size']))}")
    if console.json:
        console.document(fetched)
    if missing:
        console.note(f"not all files of {handle}/{number} are here: {one_line(missing)}")
    return 0

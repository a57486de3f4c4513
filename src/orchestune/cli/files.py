"""`get`: fetch the files that a trial left."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestune.cli.console import Console
from orchestune.cli.logs import gone
from orchestune.cli.parser import Commands, add_cluster, add_command
from orchestune.cli.render import one_line, size
from orchestune.client.transfer import local_name
from orchestune.errors import NotFound, UsageError


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


def get(console: Console, args: argparse.Namespace) -> int:
    """Download each file; whole or not at all."""
    client = console.client
    if args.best:
        ref = console.experiment(args.exp)
        found = client.best(ref)
        if not found:
            raise NotFound(f"{ref} has no completed trial yet")
        number = found[0]["trial"]
    elif args.exp is None:
        raise UsageError("get needs a trial", "orchestune get sgd-7f3a/12, or --best")
    else:
        ref, number = console.trial(args.exp)
    experiment = client.experiment(ref)
    handle = experiment["handle"]
    artifacts = client.artifacts(ref, number)
    if not artifacts and (dropped := experiment.get("files_dropped_at")):
        raise NotFound(f"{handle}: {gone(dropped)}")
    if not artifacts:
        sending = {worker["name"] for worker in experiment.get("workers") or () if worker.get("sending")}
        trial = client.trial(ref, number)
        senders = sending.intersection(attempt["worker"] for attempt in trial["attempts"])
        why = _why(client.specification(ref)["specification"], trial["state"])
        hint = f"files are on their way from {min(senders)}; try again in a moment" if senders else why
        raise NotFound(f"{handle}/{number} has no files", hint)
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
    return 0

"""`diff`: code, configuration and environment of two trials, of one experiment or of two."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestune.bundles.compare import PathChange, compare
from orchestune.bundles.unpack import archive_at
from orchestune.cli.inspect.trials import SHORT
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command
from orchestune.cli.terminal.progress import exact
from orchestune.cli.terminal.render import Paint, harmless, one_line, width
from orchestune.cli.terminal.temporary_folder import room, scratch
from orchestune.domain.differences import ComparedTrial, Pair, document
from orchestune.errors import NotFound


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "diff",
        diff,
        details="The changes of the code are those from the first trial to the second one, as `git apply` takes them.",
        example="orchestune diff sgd-7f3a/3 sgd-7f3a/12\norchestune diff sgd-7f3a/12 sgd-91c2/4 --json",
    )
    add_cluster(parser)
    parser.add_argument("old", metavar="EXP/N", help="a trial; /12 is of this folder's newest experiment")
    parser.add_argument("new", metavar="EXP/M", help="another one, of any experiment")


def diff(console: Console, args: argparse.Namespace) -> int:
    """Values first, then the code."""
    with scratch("orchestune-diff-") as folder, room():
        (old, old_code), (new, new_code) = (_side(console, text, folder) for text in (args.old, args.new))
        before, after = (archive_at(code) if code else None for code in (old_code, new_code))
        changes = [] if old_code == new_code else compare(before, after)
    found = document(old, new, [change.to_json() for change in changes])
    if console.json:
        console.document(found)
        return 0
    paint = console.paint
    console.say(f"{paint.bold(old.name)} {paint.sign('→')} {paint.bold(new.name)}", "")
    for title in ("metrics", "configuration", "environment"):
        console.say(*_values(title, found[title], console))
    console.say(*_code(changes, found["code"]["bundles"], paint))
    return 0


def _side(console: Console, text: str, folder: Path) -> tuple[ComparedTrial, Path | None]:
    """The trial and its code, both from the server that has it."""
    ref, number = console.trial(text)
    client = console.client
    trial = client.trial(ref, number)
    side = ComparedTrial(client.experiment(ref), trial, client.specification(ref, trial["revision"]))
    digest = trial["bundle"]
    if digest is None:
        return side, None
    archive = folder / f"{digest}.tar.gz"
    if not archive.exists():
        try:
            client.fetch_bundle(digest, archive)
        except NotFound as exc:
            raise NotFound(f"the code of {side.name} is no longer there ({digest[:SHORT]})") from exc
    return side, archive


def _values(title: str, pairs: Mapping[str, Pair], console: Console) -> list[str]:
    if not pairs:
        return [f"{title:14} {console.paint.dim('the same')}"]
    names = max(map(width, pairs))
    return [
        f"{'' if index else title:14} {name:{names}}  {in_words(pair, console.paint)}"
        for index, (name, pair) in enumerate(pairs.items())
    ]


def in_words(pair: Sequence[Any], paint: Paint) -> str:
    """Both values, with all their digits where fewer would look the same; of two lists of folders, such as a PATH,
    those that the other one does not have.
    """
    arrow = f" {paint.sign('→')} "
    if all(isinstance(value, str) and re.fullmatch("/[^:]*(:(/[^:]*)?)+", value) for value in pair):
        old, new = (value.split(":") for value in pair)
        alone = [[folder for folder in mine if folder not in theirs] for mine, theirs in ((old, new), (new, old))]
        if not any(alone):
            return "the same folders, in another order or number"
        return arrow.join(one_line(":".join([*mine, paint.sign("…")])) for mine in alone)
    texts = ["-" if value is None else one_line(exact(value)) for value in pair]
    return arrow.join(texts if texts[0] != texts[1] else [repr(value) for value in pair])


_SIGNS = {"added": "new", "removed": "gone", "changed": "", "mode": "right to execute"}


def _code(changes: Sequence[PathChange], bundles: Sequence[str | None], paint: Paint) -> list[str]:
    old, new = ((digest or "none")[:SHORT] for digest in bundles)
    if not changes:
        return [f"{'code':14} {paint.dim(f'the same ({old})')}"]
    names = max(width(harmless(change.path)) for change in changes)
    lines = [f"{'code':14} {old} {paint.sign('→')} {new}"]
    for change in changes:
        count = "binary" if change.added is None else f"+{change.added} -{change.removed}"
        count = "" if change.change == "mode" else count
        said = "  ".join(filter(None, (count, _SIGNS[change.change])))
        lines.append(f"{'':14} {harmless(change.path):{names}}  {said}".rstrip())
    for change in changes:
        if change.diff:
            lines += ["", *(_coloured(harmless(line), paint) for line in change.diff.removesuffix("\n").split("\n"))]
    return lines


def _coloured(line: str, paint: Paint) -> str:
    if line.startswith(("--- ", "+++ ")):
        return paint.bold(line)
    colour = {"+": "32", "-": "31", "@": "36"}.get(line[:1])
    return paint(colour, line) if colour else line

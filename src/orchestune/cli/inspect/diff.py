"""`diff`: show the differences in code, configuration and environment between two trials."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestune.bundles.compare import PathChange, compare
from orchestune.bundles.unpack import archive_at
from orchestune.cli.inspect.trials import SHORT_DIGEST_DIGITS
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command
from orchestune.cli.terminal.progress import exact
from orchestune.cli.terminal.render import Paint, one_line, sanitized, width
from orchestune.cli.terminal.temporary_folder import temporary_folder, translated_disk_errors
from orchestune.domain.differences import ComparedTrial, Pair, document
from orchestune.errors import NotFound
from orchestune.worker.files.constants import lines as constant_lines


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "diff",
        diff,
        details="Code changes are printed as a patch from the first trial to the second, for `git apply`.",
        example="orchestune diff sgd-7f3a/3 sgd-7f3a/12\norchestune diff sgd-7f3a/12 sgd-91c2/4 --json",
    )
    add_cluster(parser)
    parser.add_argument("old", metavar="EXP/N", help="a trial, or /12 of the newest experiment of this folder")
    parser.add_argument("new", metavar="EXP/M", help="another trial, of any experiment")


def diff(console: Console, args: argparse.Namespace) -> int:
    """Print differing values, then the changes of the code."""
    with temporary_folder("orchestune-diff-") as folder, translated_disk_errors():
        (old, old_code), (new, new_code) = (_side(console, text, folder) for text in (args.old, args.new))
        before, after = (archive_at(code) if code else None for code in (old_code, new_code))
        changes = [] if old_code == new_code else compare(before, after)
    differences = document(old, new, [change.to_json() for change in changes])
    if console.json:
        console.document(differences)
        return 0
    paint = console.paint
    console.say(f"{paint.bold(old.name)} {paint.sign('→')} {paint.bold(new.name)}", "")
    for title in ("metrics", "configuration", "environment"):
        console.say(*_values(title, differences[title], console))
    console.say(*_code(changes, differences["code"]["bundles"], paint))
    return 0


def _side(console: Console, text: str, folder: Path) -> tuple[ComparedTrial, Path | None]:
    """Fetch a trial and its code from the server."""
    ref, number = console.trial(text)
    client = console.client
    trial = client.trial(ref, number)
    specification = client.specification(ref, trial["revision"])
    lines = constant_lines(specification["specification"].get("constants"), trial["parameters"])
    side = ComparedTrial(client.experiment(ref), trial, specification, lines)
    digest = trial["bundle"]
    if digest is None:
        return side, None
    archive = folder / f"{digest}.tar.gz"
    if not archive.exists():
        try:
            client.fetch_bundle(digest, archive)
        except NotFound as exc:
            raise NotFound(f"the code of {side.name} was deleted ({digest[:SHORT_DIGEST_DIGITS]})") from exc
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
    """Format both values, with more digits if they would look equal.

    Of two lists of folders, such as PATH, only the folders that the other one lacks.
    """
    arrow = f" {paint.sign('→')} "
    if all(isinstance(value, str) and re.fullmatch("/[^:]*(:(/[^:]*)?)+", value) for value in pair):
        old, new = (value.split(":") for value in pair)
        exclusive = [[folder for folder in own if folder not in other] for own, other in ((old, new), (new, old))]
        if not any(exclusive):
            return "the same folders in a different order or number"
        return arrow.join(one_line(":".join([*own, paint.sign("…")])) for own in exclusive)
    texts = ["-" if value is None else one_line(exact(value)) for value in pair]
    return arrow.join(texts if texts[0] != texts[1] else [repr(value) for value in pair])


_SIGNS = {"added": "new", "removed": "deleted", "changed": "", "mode": "executable bit"}


def _code(changes: Sequence[PathChange], bundles: Sequence[str | None], paint: Paint) -> list[str]:
    old, new = ((digest or "none")[:SHORT_DIGEST_DIGITS] for digest in bundles)
    if not changes:
        return [f"{'code':14} {paint.dim(f'the same ({old})')}"]
    names = max(width(sanitized(change.path)) for change in changes)
    lines = [f"{'code':14} {old} {paint.sign('→')} {new}"]
    for change in changes:
        count = "binary" if change.added is None else f"+{change.added} -{change.removed}"
        count = "" if change.change == "mode" else count
        details = "  ".join(filter(None, (count, _SIGNS[change.change])))
        lines.append(f"{'':14} {sanitized(change.path):{names}}  {details}".rstrip())
    for change in changes:
        if change.diff:
            lines += ["", *(_coloured(sanitized(line), paint) for line in change.diff.removesuffix("\n").split("\n"))]
    return lines


def _coloured(line: str, paint: Paint) -> str:
    if line.startswith(("--- ", "+++ ")):
        return paint.bold(line)
    colour = {"+": "32", "-": "31", "@": "36"}.get(line[:1])
    return paint(colour, line) if colour else line

"""Where `init` has its draft from, and how it shows it."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import cut
from orchestune.config.document.nodes import Entries
from orchestune.config.document.save import line
from orchestune.config.foreign import reading as foreign
from orchestune.config.scripts import by_config, drafting, reading
from orchestune.config.scripts.reading import ScriptInvocation
from orchestune.config.sources.draft import Draft
from orchestune.domain.words import did_you_mean, plural
from orchestune.errors import UsageError


@dataclass(frozen=True)
class MissingInput:
    """What the script cannot do without."""

    names: tuple[str, ...]
    command: str
    """the whole command with a gap for each"""
    config: str | None = None
    """which of them takes a configuration file"""


_SEARCHES = re.compile(
    r"^[ \t]*(?:import|from)[ \t]+(optuna|hyperopt|nevergrad|skopt|ray(?=\.tune\b|[ \t]+import[ \t]+.*\btune\b))\b",
    re.MULTILINE,
)
_REMARK = 30
"""columns in which a remark says something"""
Ask = Callable[[str, str, MissingInput], str]
"""asks for the value of an option that the script cannot do without: its name, what it says of it, what is missing"""


def draft_of(console: Console, args: argparse.Namespace, folder: Path, ask: Ask) -> tuple[Draft, str]:
    """The draft, and a line that says where it comes from."""
    draft, origin = None, ""
    if args.source:
        draft = foreign.read(args.source, args.study, [name for _, name, _ in args.goals], _python(console))
        origin = f"{args.source}:"
    if args.script:
        found = _read(console, args, folder)
        own = drafting.draft(found, folder, _given(found, args, ask), named=bool(args.spaces))
        library = _search_of(args.script) if found.script is None else ""
        own = replace(own, notes=(*own.notes, *_unheard_of(found, args), *_of_a_search(args.script, library)))
        if draft is None:
            return own, f"{args.script}: {_what(found)}{f'; it searches by itself, with {library}' if library else ''}"
        run = next(entry for entry in own.document.entries if entry[0].text == "run")
        remarks = {path: remark for path, remark in draft.remarks.items() if path != "run"}
        draft = Draft(draft.document.with_entry(*run), draft.notes, remarks, files=draft.files)
    assert draft is not None
    return draft, origin


def _read(console: Console, args: argparse.Namespace, folder: Path) -> ScriptInvocation:
    if args.words and args.set_config is None and (taken := by_config.in_command(args.words, folder)) is not None:
        args.set_config, args.words = taken
    if args.script.endswith(".ipynb") and not args.words:
        hint = (
            f"jupyter nbconvert --to script {shlex.quote(args.script)} makes one of it; or call orchestune.tune there"
        )
        raise UsageError(f"{args.script} is a notebook, and no program that can be started", hint)
    found = reading.read(Path(args.script), folder, _python(console), args.set_config)
    return drafting.with_command(found, args.words)


def _python(console: Console) -> str:
    """What Python is called here."""
    return "python" if shutil.which("python", path=console.environ.get("PATH")) else "python3"


def _given(found: ScriptInvocation, args: argparse.Namespace, ask: Ask) -> dict[str, str]:
    if args.words:  # the command says it
        return {}
    varied = {word.partition("=")[0] for word in args.spaces}
    options = [option for option in drafting.missing(found) if option.word or option.name not in varied]
    gaps = {option.name: "…" for option in options}
    config = next((name for name in gaps if by_config.takes_file(name)), None)
    missing = MissingInput(tuple(gaps), drafting.command(found, gaps), config)
    return {option.name: ask(option.name, option.about, missing) for option in options}


def _unheard_of(found: ScriptInvocation, args: argparse.Namespace) -> Iterator[str]:
    """Notes of parameters on the command line that are no option of the script."""
    script = found.script
    if script is None or script.way != "{args}" or script.config is not None:
        return
    names, command = [option.name for option in script.options], " ".join(args.words)
    for name in (word.partition("=")[0] for word in args.spaces):
        if name not in names and f"{{{name}}}" not in command:
            close = did_you_mean(name, names)
            yield f"{name}: {args.script} has no such option, as far as it tells{f' ({close})' if close else ''}"


def _search_of(script: str) -> str:
    """The library with which a Python script searches; empty where it is none, or imports none."""
    if Path(script).suffix != ".py":
        return ""
    match = _SEARCHES.search(Path(script).read_text(errors="replace"))
    return match[1] if match else ""


def _of_a_search(script: str, library: str) -> Iterator[str]:
    if library:
        one = f"a trial here is one call of its objective, which takes what {library} suggests as options (--lr=0.1)"
        more = "; `init --from` takes over what a study found" if library == "optuna" else ""
        yield f"{script} searches by itself: {one} and prints its value, or which orchestune.tune calls{more}"


def _what(found: ScriptInvocation) -> str:
    script = found.script
    if script is None:
        return "nothing is known of its options"
    count = len(script.options)
    there = f" of {found.module}" if found.module else ""
    return f"{plural(count, 'option')}{there}, by {script.reader}"


def table(console: Console, draft: Draft) -> list[str]:
    """What is varied, a line each, and what is not."""
    found = draft.document.get("parameters")
    entries = found.entries if isinstance(found, Entries) else ()
    rows = [(key.text, line(node), draft.remarks.get(f"parameters.{key.text}", "")) for key, node in entries]
    name, space = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    if console.columns and name + space + _REMARK > console.columns:
        space = 0  # remarks below each other would begin beyond the right edge
    dim = console.paint.dim
    lines = [
        f"  {one:{name}}  {spelling:{space}}  {dim(remark) if remark else ''}".rstrip()
        for one, spelling, remark in rows
    ]
    lines = [cut(one, console.columns, console.paint) for one in lines] if console.columns else lines
    left = ", ".join(aside.partition(":")[0] for aside, _ in draft.asides)
    return [*lines, *([dim(f"  left as they are: {left}")] if left else [])]

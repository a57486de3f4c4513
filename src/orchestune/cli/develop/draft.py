"""Source of the draft that `init` proposes, and its presentation."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from orchestune.cli.develop.probe_parser import ParserProbe
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import cut
from orchestune.client.local.home import state_path
from orchestune.config.document.nodes import Entries
from orchestune.config.document.save import line
from orchestune.config.foreign import reading as foreign
from orchestune.config.scripts import config_files, drafting, reading
from orchestune.config.scripts.reading import ScriptInvocation
from orchestune.config.sources.draft import Draft
from orchestune.domain.words import did_you_mean, plural
from orchestune.errors import UsageError


@dataclass(frozen=True)
class MissingInput:
    """Required inputs of a script that are missing."""

    names: tuple[str, ...]
    command: str
    """complete command with placeholders for them"""
    config: str | None = None
    """name of the one that takes a configuration file"""


_SEARCH_IMPORT = re.compile(
    r"^[ \t]*(?:import|from)[ \t]+(optuna|hyperopt|nevergrad|skopt|ray(?=\.tune\b|[ \t]+import[ \t]+.*\btune\b))\b",
    re.MULTILINE,
)
_MIN_REMARK_COLUMNS = 30
"""minimum columns for a remark"""
Ask = Callable[[str, str, MissingInput], str]
"""asks for the value of a required option: its name, its description, and all missing ones"""


def draft_of(console: Console, args: argparse.Namespace, folder: Path, ask: Ask) -> tuple[Draft, str]:
    """Return the draft, and a line about its source."""
    draft, origin = None, ""
    if args.source:
        draft = foreign.read(args.source, args.study, [name for _, name, _ in args.goals], _python(console))
        origin = f"{args.source}:"
    if args.script:
        invocation = _read(console, args, folder)
        library = _search_library(args.script) if _has_no_arguments(invocation) else ""
        if library and not (args.spaces or args.source):
            raise UsageError(f"{args.script} runs its own search with {library}", _advice(library))
        values, is_named = _required_values(invocation, args, ask), bool(args.spaces or args.source)
        script_draft = drafting.draft(invocation, folder, values, named=is_named)
        notes = (*script_draft.notes, *_unknown_parameters(invocation, args))
        script_draft = replace(script_draft, notes=notes)
        if draft is None:
            return script_draft, f"{args.script}: {_summary(invocation)}"
        run = next(entry for entry in script_draft.document.entries if entry[0].text == "run")
        remarks = {path: remark for path, remark in draft.remarks.items() if path != "run"}
        draft = Draft(draft.document.with_entry(*run), draft.notes, remarks, files=draft.files)
    assert draft is not None
    return draft, origin


def _read(console: Console, args: argparse.Namespace, folder: Path) -> ScriptInvocation:
    if (
        args.words
        and args.set_config is None
        and (config_and_words := config_files.in_command(args.words, folder)) is not None
    ):
        args.set_config, args.words = config_and_words
    if args.script.endswith(".ipynb") and not args.words:
        hint = f"convert it: jupyter nbconvert --to script {shlex.quote(args.script)}; or call orchestune.tune in it"
        raise UsageError(f"cannot run '{args.script}': it is a notebook", hint)
    python = _python(console)
    cache, announce = state_path(console.environ) / "options", (lambda _: None) if console.json else console.note
    probe = None if args.no_run else ParserProbe(folder, python, console.environ, cache, announce)
    invocation = reading.read(Path(args.script), folder, python, args.set_config, probe)
    return drafting.with_command(invocation, args.words)


def _python(console: Console) -> str:
    """Return the name of the Python interpreter in PATH."""
    return "python" if shutil.which("python", path=console.environ.get("PATH")) else "python3"


def _required_values(invocation: ScriptInvocation, args: argparse.Namespace, ask: Ask) -> dict[str, str]:
    if args.words:  # they are in the command
        return {}
    varied = {word.partition("=")[0] for word in args.spaces}
    options = [
        option for option in drafting.missing(invocation) if option.argument_template or option.name not in varied
    ]
    gaps = {option.name: "…" for option in options}
    config = next((name for name in gaps if config_files.takes_file(name)), None)
    missing = MissingInput(tuple(gaps), drafting.command(invocation, gaps), config)
    return {option.name: ask(option.name, option.about, missing) for option in options}


def _unknown_parameters(invocation: ScriptInvocation, args: argparse.Namespace) -> Iterator[str]:
    """Yield notes about parameters of the command line that are not options of the script."""
    script = invocation.script
    if script is None or script.argument_template != "{args}" or script.config is not None:
        return
    names, command = [option.name for option in script.options], " ".join(args.words)
    for name in (word.partition("=")[0] for word in args.spaces):
        if name not in names and f"{{{name}}}" not in command:
            suggestion = did_you_mean(name, names)
            yield f"{name}: not a known option of {args.script}{f' ({suggestion})' if suggestion else ''}"


def _has_no_arguments(invocation: ScriptInvocation) -> bool:
    return invocation.script is None or invocation.script.constants is not None


def _search_library(script: str) -> str:
    """Return the optimization library that a Python script imports, if any."""
    if Path(script).suffix != ".py":
        return ""
    match = _SEARCH_IMPORT.search(Path(script).read_text(errors="replace"))
    return match[1] if match else ""


def _advice(library: str) -> str:
    suffix = "; `init --from` imports the results of a study" if library == "optuna" else ""
    trial = f"make each trial one call of its objective, with what {library} suggests as options (--lr=0.1)"
    return f"{trial}, which prints its value, or call it with orchestune.tune{suffix}"


def _summary(invocation: ScriptInvocation) -> str:
    script = invocation.script
    if script is None:
        return "its options are unknown"
    count = len(script.options)
    if script.constants is not None:
        has_other_file = not invocation.command[-1].endswith(script.constants)
        count = sum(not option.required for option in script.options)
        return f"{plural(count, 'constant')}{f' of {script.constants}' if has_other_file else ''}"
    location = f" of {invocation.module}" if invocation.module else ""
    return f"{plural(count, 'option')}{location}, by {script.reader}"


def table(console: Console, draft: Draft) -> list[str]:
    """Format the varied parameters, one line each, and the names of the fixed ones."""
    parameters = draft.document.get("parameters")
    entries = parameters.entries if isinstance(parameters, Entries) else ()
    rows = [(key.text, line(node), draft.remarks.get(f"parameters.{key.text}", "")) for key, node in entries]
    name_width, spelling_width = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    if console.columns and name_width + spelling_width + _MIN_REMARK_COLUMNS > console.columns:
        spelling_width = 0  # aligned remarks would start beyond the right edge
    dim = console.paint.dim
    lines = [
        f"  {name:{name_width}}  {spelling:{spelling_width}}  {dim(remark) if remark else ''}".rstrip()
        for name, spelling, remark in rows
    ]
    lines = [cut(text, console.columns, console.paint) for text in lines] if console.columns else lines
    fixed_names = ", ".join(aside.partition(":")[0] for aside, _ in draft.asides)
    return [*lines, *([dim(f"  not varied: {fixed_names}")] if fixed_names else [])]

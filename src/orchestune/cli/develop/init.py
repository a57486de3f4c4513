"""`init`: write an experiment file from a script's options or from another tool's file."""

from __future__ import annotations

import argparse
import os
import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.develop.outcome import finite
from orchestune.cli.experiments.check_script import missing_script
from orchestune.cli.experiments.command_words import DEFAULT_FILE, SAVED, add_description, write
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.prompts import answer, confirm_default_yes, is_interactive
from orchestune.domain.words import plural
from orchestune.errors import UsageError

if TYPE_CHECKING:  # reading files and scripts takes ruamel.yaml, which is slow to import
    from orchestune.cli.develop import draft as drafting
    from orchestune.cli.develop.discover_metrics import ReportedMetrics
    from orchestune.config.experiment_file import Loaded
    from orchestune.config.sources.draft import Draft

_RUN_QUESTION = "run it once now with its defaults, to see which metrics it reports? (Ctrl-C stops it early)"


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "init",
        init,
        details="Reads the script's options: from `SCRIPT --help`, up to the help and in a copy of the folder, if a"
        " Python script imports argparse, click, typer, absl, python-fire, tyro, jsonargparse, tap or simple-parsing;"
        " otherwise from its source. Then runs it once, if you agree, to see which metrics it reports.",
        example="orchestune init train.py\norchestune init train.py --yes --budget 80\n"
        "orchestune init train.py --minimize val/loss lr=1e-4..1e-2:log\norchestune init --from sweep.yaml\n"
        "orchestune init --from sqlite:///study.db --study mnist train.py",
    )
    parser.add_argument("script", nargs="?", metavar="SCRIPT", help="program in any language")
    parser.add_argument(
        "--from", dest="source", metavar="SOURCE",
        help="file of SigOpt Orchestrate, W&B sweep, Katib Experiment, or storage URL of an Optuna study",
    )  # fmt: skip
    parser.add_argument("--study", metavar="NAME", help="study in the Optuna storage")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT_FILE, metavar="FILE",
                        help=f"file to write (default: {DEFAULT_FILE})")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    parser.add_argument("-y", "--yes", action="store_true", help="run it once and accept all proposals without asking")
    parser.add_argument("--no-run", action="store_true", help="do not run the script, not even up to its help")
    add_description(parser)


def init(console: Console, args: argparse.Namespace) -> int:
    """Read the script or file, propose a draft, run the script once, ask, and write the experiment file."""
    if args.script and "=" in args.script and not os.path.exists(args.script):
        args.spaces.insert(0, args.script)
        args.script = None
    if not args.script and not args.source:
        raise UsageError(
            "init needs a script or --from", "orchestune init train.py, or --from with another tool's file"
        )
    if args.study and not args.source:
        raise UsageError("--study needs --from with an Optuna storage", "add --from sqlite:///study.db")
    if args.output.exists() and not args.force:
        raise UsageError(f"'{args.output}' already exists", "choose another name with -o, or overwrite it with --force")
    return _Init(console, args).run()


class _Init:
    """One run of the command."""

    def __init__(self, console: Console, args: argparse.Namespace) -> None:
        self.console, self.args, self.output = console, args, args.output
        self.folder = args.output.absolute().parent
        self.asks = is_interactive() and not args.yes and not console.json
        self.seen: dict[str, float] = {}

    def run(self) -> int:
        """Run the command and return its exit code."""
        from orchestune.cli.develop import (
            draft as drafting,  # parsers of scripts and other tools' files, only needed here
        )
        from orchestune.config.document import save

        draft, origin = drafting.draft_of(self.console, self.args, self.folder, self._value)
        self._say(origin, *drafting.table(self.console, draft))
        if not self.args.goals and draft.document.get("metrics") is None:
            draft = self._with_metric(draft)
        files = self._files(draft)
        try:
            loaded = self._loaded(draft)
            parameters_by_name = loaded.specification.space.by_name
            asides = [aside for aside in draft.asides if aside[0].partition(":")[0] not in parameters_by_name]
            text = save.text(loaded.document, SAVED, draft.remarks, asides)
            write(self.output, self.folder, text, self.args.force)
        except UsageError:
            for file in files:
                file.unlink()
                if file.parent != self.output.parent:
                    with suppress(OSError):  # not empty
                        file.parent.rmdir()
            raise
        missing = missing_script(loaded.specification.run, loaded.folder)
        self._report(loaded, list(dict.fromkeys([*draft.notes, *loaded.notes, *missing])), files)
        return 0

    def _say(self, *lines: str) -> None:
        """Print lines of the dialogue, which are not part of the result."""
        if not self.console.json:
            self.console.note("\n".join(lines))

    def _value(self, name: str, description: str, missing: drafting.MissingInput) -> str:
        """Ask for the value of a required option."""
        script = self.args.script
        if not self.asks:
            command = f"orchestune init {shlex.quote(script)}"
            hint = f"write the whole command: {command} … -- {missing.command}"
            if missing.config is not None:
                explanation = "to vary values of that YAML, JSON or TOML file, of which each trial gets a copy"
                hint = f"{command} --config FILE {explanation}; or {hint}"
            raise UsageError(f"{script} cannot run without {', '.join(missing.names)}", hint)
        value = ""
        while not value:
            value = answer(
                f"{script} cannot run without {name}{f' ({description})' if description else ''}; enter a value:"
            )
        return value

    def _loaded(self, draft: Draft) -> Loaded:
        from orchestune.cli.experiments.load_document import described
        from orchestune.config.experiment_file import drafted

        return drafted(draft, described(self.args), self.output)

    def _with_metric(self, draft: Draft) -> Draft:
        """Choose the metric to optimize."""
        from orchestune.cli.develop import discover_metrics  # the worker's parsers, only needed to run it
        from orchestune.config.document.nodes import ScalarNode, SourcePosition, mapping

        is_run = not self.args.no_run and (self.args.yes or (self.asks and confirm_default_yes(_RUN_QUESTION)))
        if not is_run and not self.asks:
            hint = "add --minimize METRIC or --maximize METRIC, or --yes to run it once and use the likeliest metric"
            raise UsageError("no metric to optimize", hint)
        key = ScalarNode(SourcePosition("command line"), "metrics", "metrics")

        def optimizing(name: str, goal: str) -> Draft:
            return replace(draft, document=draft.document.with_entry(key, mapping({name: goal}, key.position)))

        reported = discover_metrics.ReportedMetrics()
        if is_run:
            reported = self._run(optimizing(discover_metrics.PLACEHOLDER_METRIC, "minimize"))
        name, goal = (
            discover_metrics.ask_for_metric(self.console, reported)
            if self.asks
            else discover_metrics.likeliest_metric(reported)
        )
        self.seen = {metric_name: values[-1] for metric_name, values in reported.values.items()}
        remark = discover_metrics.remark(goal, reported.values.get(name, ()))
        remarks = {**draft.remarks, **({f"metrics.{name}": remark} if remark else {})}
        document = optimizing(name, goal).document
        source = reported.sources.get(name)
        if source is not None:
            collect = ScalarNode(key.position, "collect", "collect")
            document = document.with_entry(collect, mapping({source.kind: source.where}, key.position))
        return replace(draft, document=document, remarks=remarks)

    def _run(self, draft: Draft) -> ReportedMetrics:
        """Run the script once and print the metrics that it reported."""
        from orchestune.cli.develop import discover_metrics
        from orchestune.cli.experiments.prepare import prepared_from

        loaded = self._loaded(draft)
        specification = loaded.specification
        asides = [line.partition(":")[0] for line, _ in draft.asides]
        reported = discover_metrics.run_once(self.console, prepared_from(loaded), draft.defaults, asides, self.asks)
        if reported.problem and not self.asks:
            hint = "retry once it runs, or add --minimize METRIC or --maximize METRIC to skip the run"
            if subfolder := os.path.dirname(self.args.script or ""):
                hint += (
                    f"; if it expects to run in {subfolder}, change to that folder first: cd {shlex.quote(subfolder)}"
                )
            raise UsageError(f"the run failed: {reported.problem}", hint)
        self._say("", *discover_metrics.table(self.console, reported))
        if reported.seconds is not None and not reported.problem:
            self._say(discover_metrics.estimate(reported.seconds, specification.budget, specification.parallelism))
        self._say("")
        return reported

    def _files(self, draft: Draft) -> list[Path]:
        """Write the files beside the experiment file, such as results that it names.

        Files with the same content are kept.
        """
        files = {self.output.parent / name: text for name, text in draft.files.items()}
        new_files = {path: text for path, text in files.items() if not _has_content(path, text)}
        existing = [path for path in new_files if path.exists()]
        if existing and not self.args.force:
            raise UsageError(
                f"'{existing[0]}' already exists with other content", "move it away, or overwrite it with --force"
            )
        for path, text in new_files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, path.absolute().parent, text, self.args.force)
        return list(new_files)

    def _report(self, loaded: Loaded, notes: list[str], files: list[Path]) -> None:
        specification, console = loaded.specification, self.console
        if console.json:
            document = {"schema": 1, "file": str(self.output), "specification": specification.to_json()}
            reported = {name: finite(value) for name, value in self.seen.items()}
            console.document({**document, "notes": notes, "reported": reported})
            return
        for note in notes:
            console.note(f"{console.paint.dim('note')}  {note}")
        option = "" if self.output == DEFAULT_FILE else f" -f {shlex.quote(str(self.output))}"
        goals = ", ".join(
            f"{metric.goal} {metric.name}" if metric.optimized else f"{metric.name} {metric.limit}"
            for metric in specification.metrics
        )
        count = len(specification.space.parameters)
        console.say(
            f"wrote {self.output}: {plural(count, 'parameter')}, {goals}, {specification.budget} trials",
            *(f"wrote {file}" for file in files),
            f"next  orchestune test{option}   run one trial now",
            f"      orchestune run{option}    start the experiment",
        )


def _has_content(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()

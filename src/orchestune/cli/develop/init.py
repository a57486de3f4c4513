"""`init`: an experiment file from what a script, or the file of another tool, says."""

from __future__ import annotations

import argparse
import os
import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.develop.outcome import finite
from orchestune.cli.experiments.check_script import absent
from orchestune.cli.experiments.command_words import DEFAULT_FILE, SAVED, add_description, write
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.prompts import agreed, answer, attended
from orchestune.domain.words import plural
from orchestune.errors import UsageError

if TYPE_CHECKING:  # reading files and scripts takes ruamel.yaml, which is slow to import
    from orchestune.cli.develop import draft as drafting
    from orchestune.cli.develop.discover_metrics import ReportedMetrics
    from orchestune.config.experiment_file import Loaded
    from orchestune.config.sources.draft import Draft

_RUN_IT = "run it once now with its defaults, to see which metrics it reports? (Ctrl-C ends it early)"


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "init",
        init,
        details="The script's text is read: argparse, click, typer, absl, python-fire, tyro, docopt,"
        " pydantic-settings, Hydra, OmegaConf, a configuration file. Then it is run once, if you agree, to"
        " see which metrics it reports.",
        example="orchestune init train.py\norchestune init train.py --yes --budget 80\n"
        "orchestune init train.py --minimize val/loss lr=1e-4..1e-2:log\norchestune init --from sweep.yaml\n"
        "orchestune init --from sqlite:///study.db --study mnist train.py",
    )
    parser.add_argument("script", nargs="?", metavar="SCRIPT", help="a program in any language")
    parser.add_argument(
        "--from", dest="source", metavar="SOURCE",
        help="a file of SigOpt Orchestrate, a sweep of W&B, an Experiment of Katib, or the storage of an Optuna study",
    )  # fmt: skip
    parser.add_argument("--study", metavar="NAME", help="which study of the storage")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT_FILE, metavar="FILE",
                        help=f"where to write it (default: {DEFAULT_FILE})")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument("-y", "--yes", action="store_true", help="ask nothing: run it once, and take what is proposed")
    parser.add_argument("--no-run", action="store_true", help="do not run it")
    add_description(parser)


def init(console: Console, args: argparse.Namespace) -> int:
    """Read, propose, run once, ask, write."""
    if args.script and "=" in args.script and not os.path.exists(args.script):
        args.spaces.insert(0, args.script)
        args.script = None
    if not args.script and not args.source:
        raise UsageError("which script?", "orchestune init train.py, or --from with the file of another tool")
    if args.study and not args.source:
        raise UsageError("--study is one of a storage of Optuna, which --from names", "--from sqlite:///study.db")
    if args.output.exists() and not args.force:
        raise UsageError(f"{args.output} exists", "choose another name with -o, or replace it with --force")
    return _Init(console, args).run()


class _Init:
    """One run of the command."""

    def __init__(self, console: Console, args: argparse.Namespace) -> None:
        self.console, self.args, self.output = console, args, args.output
        self.folder = args.output.absolute().parent
        self.asks = attended() and not args.yes and not console.json
        self.seen: dict[str, float] = {}

    def run(self) -> int:
        """The exit code."""
        from orchestune.cli.develop import (
            draft as drafting,  # readers of scripts and of other tools' files, which nobody else needs
        )
        from orchestune.config.document import save

        draft, origin = drafting.draft_of(self.console, self.args, self.folder, self._value)
        self._say(origin, *drafting.table(self.console, draft))
        if not self.args.goals and draft.document.get("metrics") is None:
            draft = self._with_metric(draft)
        files = self._files(draft)
        try:
            loaded = self._loaded(draft)
            known = loaded.specification.space.by_name
            asides = [item for item in draft.asides if item[0].partition(":")[0] not in known]
            text = save.text(loaded.document, SAVED, draft.remarks, asides)
            write(self.output, self.folder, text, self.args.force)
        except UsageError:
            for file in files:
                file.unlink()
                if file.parent != self.output.parent:
                    with suppress(OSError):  # something else is in it
                        file.parent.rmdir()
            raise
        missing = absent(loaded.specification.run, loaded.folder)
        self._report(loaded, list(dict.fromkeys([*draft.notes, *loaded.notes, *missing])), files)
        return 0

    def _say(self, *lines: str) -> None:
        """What belongs to the conversation, and not to the result."""
        if not self.console.json:
            self.console.note("\n".join(lines))

    def _value(self, name: str, about: str, missing: drafting.MissingInput) -> str:
        """What the user says that an option has to be."""
        script = self.args.script
        if not self.asks:
            command = f"orchestune init {shlex.quote(script)}"
            hint = f"say the whole command: {command} … -- {missing.command}"
            if missing.config is not None:
                also = "varies what stands in that YAML, JSON or TOML file, of which each trial gets a copy"
                hint = f"{command} --config FILE {also}; or {hint}"
            raise UsageError(f"{script} cannot run without {', '.join(missing.names)}", hint)
        value = ""
        while not value:
            value = answer(f"{script} cannot run without {name}{f' ({about})' if about else ''}; its value:")
        return value

    def _loaded(self, draft: Draft) -> Loaded:
        from orchestune.cli.experiments.load_document import described
        from orchestune.config.experiment_file import drafted

        return drafted(draft, described(self.args), self.output)

    def _with_metric(self, draft: Draft) -> Draft:
        """Find out what is to be optimized."""
        from orchestune.cli.develop import discover_metrics  # the worker's parts, which writing alone does not need
        from orchestune.config.document.nodes import ScalarNode, SourcePosition, mapping

        runs = not self.args.no_run and (self.args.yes or (self.asks and agreed(_RUN_IT)))
        if not runs and not self.asks:
            hint = "--minimize METRIC or --maximize METRIC; or --yes, which runs it once and takes the likeliest metric"
            raise UsageError("what is to be optimized?", hint)
        key = ScalarNode(SourcePosition("command line"), "metrics", "metrics")

        def optimizing(name: str, goal: str) -> Draft:
            return replace(draft, document=draft.document.with_entry(key, mapping({name: goal}, key.position)))

        seen = discover_metrics.ReportedMetrics()
        if runs:
            seen = self._run(optimizing(discover_metrics.UNKNOWN, "minimize"))
        name, goal = discover_metrics.asked(self.console, seen) if self.asks else discover_metrics.chosen(seen)
        self.seen = {one: values[-1] for one, values in seen.values.items()}
        remark = discover_metrics.remark(goal, seen.values.get(name, ()))
        remarks = {**draft.remarks, **({f"metrics.{name}": remark} if remark else {})}
        document = optimizing(name, goal).document
        source = seen.sources.get(name)
        if source is not None:
            collect = ScalarNode(key.position, "collect", "collect")
            document = document.with_entry(collect, mapping({source.kind: source.where}, key.position))
        return replace(draft, document=document, remarks=remarks)

    def _run(self, draft: Draft) -> ReportedMetrics:
        """Run it once and show what it reported."""
        from orchestune.cli.develop import discover_metrics
        from orchestune.cli.experiments.prepare import prepared_from

        loaded = self._loaded(draft)
        specification = loaded.specification
        asides = [line.partition(":")[0] for line, _ in draft.asides]
        seen = discover_metrics.run_once(self.console, prepared_from(loaded), draft.defaults, asides, self.asks)
        if seen.problem and not self.asks:
            hint = "say this again once it runs; with --minimize METRIC or --maximize METRIC it is not run"
            raise UsageError(f"the run failed: {seen.problem}", hint)
        self._say("", *discover_metrics.table(self.console, seen))
        if seen.seconds is not None and not seen.problem:
            self._say(discover_metrics.estimate(seen.seconds, specification.budget, specification.parallelism))
        self._say("")
        return seen

    def _files(self, draft: Draft) -> list[Path]:
        """Write what belongs beside the file, such as results that it names. Those that lie there as they are stay."""
        files = {self.output.parent / name: text for name, text in draft.files.items()}
        new = {path: text for path, text in files.items() if not _holds(path, text)}
        taken = [path for path in new if path.exists()]
        if taken and not self.args.force:
            raise UsageError(f"{taken[0]} exists, and is another file", "move it away, or replace it with --force")
        for path, text in new.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, path.absolute().parent, text, self.args.force)
        return list(new)

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
            f"next  orchestune test{option}   one configuration of it, here and now",
            f"      orchestune run{option}    all of it",
        )


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()

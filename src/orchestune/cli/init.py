"""`init`: an experiment file from what a script, or the file of another tool, says."""

from __future__ import annotations

import argparse
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.asking import agreed, answer, attended
from orchestune.cli.console import Console
from orchestune.cli.describing import DEFAULT_FILE, add_description, write
from orchestune.cli.parser import Commands, add_command
from orchestune.errors import UsageError

if TYPE_CHECKING:  # reading files and scripts takes ruamel.yaml, which is slow to import
    from orchestune.config.draft import Draft
    from orchestune.config.experiment_file import Loaded

_HEADING = "`orchestune run` starts this experiment, `orchestune test` tries one configuration of it."


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "init",
        init,
        help="write an experiment file from what a script says of itself, or from the file of another tool",
        details="The script's text is read (argparse, click, typer, absl, python-fire, tyro, Hydra, OmegaConf, a"
        " configuration file); then it is run once, if you agree, to see which metrics it reports.",
        example="orchestune init train.py\norchestune init train.py --yes --minimize val/loss --budget 80\n"
        "orchestune init train.py lr=1e-4..1e-2:log --config conf/base.yml\norchestune init --from sweep.yaml\n"
        "orchestune init --from sqlite:///study.db --study mnist -- python train.py {args}",
    )
    parser.add_argument("script", nargs="?", metavar="SCRIPT", help="a program in any language")
    parser.add_argument(
        "--from", dest="source", metavar="SOURCE",
        help="a file of SigOpt Orchestrate, a sweep of W&B, an Experiment of Katib, or the storage of an Optuna study",
    )  # fmt: skip
    parser.add_argument("--study", metavar="NAME", help="which study of the storage")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT_FILE, metavar="FILE",
                        help=f"where to write it (default: {DEFAULT_FILE}); - prints it")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("-y", "--yes", action="store_true", help="ask nothing: run it once, take what is proposed")
    parser.add_argument("--no-run", action="store_true", help="do not run it, whatever it may report")
    add_description(parser)
    parser.set_defaults(file=None, overrides=[])


def init(console: Console, args: argparse.Namespace) -> int:
    """Read, propose, run once, ask, write."""
    if args.script and "=" in args.script and not Path(args.script).exists():
        args.spaces.insert(0, args.script)
        args.script = None
    if not args.script and not args.source:
        raise UsageError("which script?", "orchestune init train.py, or --from with the file of another tool")
    printed = str(args.output) == "-"
    output = DEFAULT_FILE if printed else args.output
    if not printed and output.exists() and not args.force:
        raise UsageError(f"{output} exists", "choose another name with -o, or replace it with --force")
    return _Init(console, args, output, printed).run()


class _Init:
    """One run of the command."""

    def __init__(self, console: Console, args: argparse.Namespace, output: Path, printed: bool) -> None:
        self.console, self.args, self.output, self.printed = console, args, output, printed
        self.folder = output.absolute().parent
        self.asks = attended() and not args.yes and not console.json
        self.seen: dict[str, float] = {}

    def run(self) -> int:
        """The exit code."""
        from orchestune.cli.loading import described
        from orchestune.config import saving

        draft = self._draft()
        words = described(self.args)
        self._say(*self._summary(draft))
        if not words.goals and draft.document.get("metrics") is None:
            draft = self._with_metric(draft)
        loaded = self._loaded(draft)
        asides = [item for item in draft.asides if item[0].partition(":")[0] not in loaded.specification.space.by_name]
        text = saving.text(loaded.document, _HEADING, draft.remarks, asides)
        notes = list(dict.fromkeys([*draft.notes, *loaded.notes]))
        if not self.printed:
            write(self.output, self.folder, text, self.args.force)
        self._report(loaded, notes, text)
        return 0

    def _draft(self) -> Draft:
        if self.args.source:
            from orchestune.config.foreign import reading as foreign  # only this command reads other tools' files

            return foreign.read(self.args.source, self.args.study, self.args.script)
        from orchestune.config.scripts import drafting, reading  # as above

        python = "python" if shutil.which("python", path=self.console.environ.get("PATH")) else "python3"
        config = self.args.set_config
        found = reading.read(Path(self.args.script), self.folder, python, config)
        found = drafting.with_command(found, self.args.words)
        given: dict[str, str] = {}
        if not self.args.words:
            for option in drafting.missing(found):
                given[option.name] = self._value(option.name, option.about)
        self._say(f"{self.args.script}: {_what(found)}")
        return drafting.draft(found, self.folder, given)

    def _value(self, name: str, about: str) -> str:
        if not self.asks:
            raise UsageError(
                f"{self.args.script} cannot run without {name}",
                f"say it with the command: orchestune init {self.args.script} … -- python {self.args.script} VALUE {{args}}",
            )
        value = ""
        while not value:
            value = answer(f"{self.args.script} cannot run without {name}{f' ({about})' if about else ''}; its value:")
        return value

    def _with_metric(self, draft: Draft) -> Draft:
        """Find out what is to be optimized."""
        from orchestune.cli import discovering  # the worker's parts, which writing alone does not need
        from orchestune.config.nodes import Place, Scalar, mapping

        runs = not self.args.no_run and (self.args.yes or (self.asks and agreed(
            "run it once now with its defaults, to see which metrics it reports? Ctrl-C ends it early")))  # fmt: skip
        if not runs and not self.asks:
            raise UsageError(
                "what is to be optimized?",
                "--minimize METRIC or --maximize METRIC; or --yes, which runs it once and takes the likeliest metric",
            )
        seen = discovering.Seen()
        place = Place("command line")
        if runs:
            from orchestune.cli.preparing import prepared_from

            unknown = mapping({discovering.UNKNOWN: "minimize"}, place)
            known = replace(draft, document=draft.document.with_entry(Scalar(place, "metrics", "metrics"), unknown))
            loaded = self._loaded(known)
            defaults = {name: value for name, value in draft.defaults.items() if name in loaded.specification.space.by_name}
            seen = discovering.run_once(self.console, prepared_from(loaded), defaults)
            self._tell(seen, loaded)
        name, goal = discovering.asked(seen) if self.asks else discovering.chosen(seen)
        self.seen = {one: values[-1] for one, values in seen.values.items()}
        remark = discovering.remark(seen.values.get(name, ()))
        remarks = {**draft.remarks, **({f"metrics.{name}": remark} if remark else {})}
        document = draft.document.with_entry(Scalar(place, "metrics", "metrics"), mapping({name: goal}, place))
        return replace(draft, document=document, remarks=remarks)

    def _tell(self, seen: discovering.Seen, loaded: Loaded) -> None:
        from orchestune.cli import discovering

        if seen.problem:
            if not self.asks:
                hint = "once it runs, say this again; or name the metric with --minimize or --maximize, then it is not run"
                raise UsageError(f"the run failed: {seen.problem}", hint)
            self._say("", f"{self.console.paint('31', 'failed')}  {seen.problem}")
        self._say("", "it reported" if seen.values else "it reported no metric: a line such as loss=0.5 on its output is one")
        self._say(*discovering.table(self.console, seen))
        if seen.seconds is not None and not seen.problem:
            specification = loaded.specification
            self._say(discovering.estimate(seen.seconds, specification.budget, specification.parallelism), "")

    def _loaded(self, draft: Draft) -> Loaded:
        from orchestune.cli.loading import described
        from orchestune.config.experiment_file import drafted

        return drafted(draft.document, described(self.args), self.args.overrides, self.output)

    def _summary(self, draft: Draft) -> list[str]:
        from orchestune.config.nodes import Entries
        from orchestune.config.saving import line

        found = draft.document.get("parameters")
        if not isinstance(found, Entries):
            return []
        spelled = [(key.text, line(node)) for key, node in found.entries]
        name, space = (max((len(row[column]) for row in spelled), default=0) for column in (0, 1))
        dim = self.console.paint.dim
        rows = [
            f"  {one:{name}}  {text:{space}}  {dim(draft.remarks.get(f'parameters.{one}', ''))}".rstrip()
            for one, text in spelled
        ]
        left = ", ".join(item.partition(":")[0] for item, _ in draft.asides)
        return [*rows, *([dim(f"  left as they are: {left}")] if left else [])]

    def _report(self, loaded: Loaded, notes: list[str], text: str) -> None:
        specification = loaded.specification
        if self.console.json:
            self.console.document(
                {
                    "schema": 1,
                    "file": None if self.printed else str(self.output),
                    "specification": specification.to_json(),
                    "notes": notes,
                    "reported": self.seen,
                }
            )
            return
        for note in notes:
            self.console.note(f"{self.console.paint.dim('note')}  {note}")
        if self.printed:
            self.console.out.write(text)
            return
        option = "" if self.output == DEFAULT_FILE else f" -f {shlex.quote(str(self.output))}"
        goals = ", ".join(f"{metric.goal} {metric.name}" for metric in specification.metrics)
        self.console.say(
            f"wrote {self.output}: {len(specification.space.parameters)} parameters, {goals}, {specification.budget} trials",
            f"next  orchestune test{option}   one configuration of it, here and now",
            f"      orchestune run{option}    all of it",
        )

    def _say(self, *lines: str) -> None:
        """What belongs to the conversation, and not to the result."""
        if not self.console.json and lines:
            self.console.note("\n".join(lines))


def _what(found: object) -> str:
    from orchestune.config.scripts.reading import Found

    assert isinstance(found, Found)
    script = found.script
    if script is None:
        return "nothing is known of its options"
    count = len(script.options)
    there = f" of {found.where}" if found.where else ""
    return f"{count} option{'s' * (count != 1)}{there}, by {script.reader}"

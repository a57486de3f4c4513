"""docs/reference/cli.md, made from the parsers."""

from __future__ import annotations

import argparse
import os

from orchestune.cli.main import build_parser, parser_commands

_INTRODUCTION = """\
# The command line

EXP is the handle of an experiment (`sgd-7f3a`), any unambiguous prefix of it or of its id, or nothing: the newest
experiment that was started in this folder. A trial is `EXP/N`; `/N` is a trial of that newest experiment.

| exit code | meaning |
|---|---|
| 0 | done: the experiment completed, or was detached from |
| 1 | the work failed: the experiment failed, was stopped, or a guard paused it |
| 2 | wrong use: a bad file, nothing of that name, what the state of things forbids, a token that is not accepted |
| 3 | the server cannot be reached, or cannot do its work for now; the same command may succeed later |
| 130 | Ctrl-C ended it (`wait`, or before anything was started) |

Whatever a command asks for may be asked for again: `stop`, `pause`, `resume`, `extend` to the same figures and `delete`
of what was deleted exit with 0.

| variable | meaning |
|---|---|
| `ORCHESTUNE_SERVER` | address of a hosted server; without it this user's own is used, and started when none runs |
| `ORCHESTUNE_TOKEN` | the token for that server |
| `ORCHESTUNE_CLUSTER` | the cluster of commands that name none ([what comes first](../how-to/work-with-clusters.md)) |
| `ORCHESTUNE_HOME` | the folder of everything that the server of this user keeps |
| `ORCHESTUNE_BUILDER` | the image of buildah for [builds in a cluster](../how-to/images.md) |
| `ORCHESTUNE_BUILDER_MEMORY` | how much memory such a build may take, such as `16Gi` |
| `NO_COLOR` | no colours |

Output is aligned and coloured on a terminal, plain when piped. With `--json`, which commands that answer something
take, they print one document that has `"schema": 1` where it describes an experiment, and errors are `{"error":
{"code", "message", "hint"}}` on standard error; where a file or a value is wrong (`bad_input`) they have `"problems"`
too, each with `message` and what is known of `key`, `file`, `line`, `column` and `hint`. Times are RFC 3339 in UTC.

- `status EXP` is the `Status` of [the protocol](protocol.md), `status` a list of them, with `--all` each with its
  `"place"`.
- `trials EXP` is a list of `Trial`, `trials EXP/N` one with `attempts[].tail` and `artifacts`; `--jsonl` prints one per
  line.
- `best` is a list: one entry, or the Pareto front.
- `run`, `rerun` and `wait` print the `Status` at the end, with `--detach` at the start; `stop`, `pause`, `resume` and
  `extend` print it as it is then.
- `logs` prints one document per line: `{"trial", "attempt", "worker", "at", "fold", "line"}`.
- `test` and `try` print `{"parameters", "problem", "exit_code", "wall_seconds", "metrics", "extra", "missing"}`, where
  null stands for a value that is no finite number; `try` also `"like"`, and with `--into` `"into"`, `"bundle"` and
  `"changed"`.
- `compare` prints `{"metric", "experiments"}`, `get` a list of `Artifact` with the `"file"` of each, `stop EXP/N` a
  `Trial`, `delete` `{"handle", "purged"}`, `init` `{"file", "specification", "notes", "reported"}`, `run --dry-run`
  `{"specification", "notes", "warm_start", "code"}`, in containers and clusters with `"objects"`.
- `importance`, `explain`, `diff` and `cluster status` print what the routes of these names answer.
- `doctor` and `cluster test` print a list of findings: `{"ok", "name", "state", "detail", "remedy"}`, where `state` is
  `ok`, `warning` or `error`, and `ok` is whether it is the first.
"""

_GUIDES = {
    "init": "[Start from a script](../how-to/start-from-a-script.md), [move from another tool]"
    "(../how-to/move-from-another-tool.md).",
    "run": "[Run without a file](../how-to/without-a-file.md), [the experiment file](experiment-file.md).",
    "try": "[Change code while an experiment runs](../how-to/change-code.md).",
    "explain": "[What each finding means](../how-to/understand.md).",
    "export": "Columns: `trial`, `state`, `reason`, `source`, each declared metric and its `.stddev`, each parameter,"
    " `seed`, `code`, `attempts`, `started_at`, `finished_at`, `seconds` (for which its attempts ran), with folds"
    " `folds`, then the value of each metric that trials reported without its being declared (at most 100). A metric or"
    " parameter that is called like another column is `metrics.NAME` or `params.NAME`. The JSON is a"
    " list of `Trial` of [the protocol](protocol.md), with all metrics."
    " `--to`: [export runs to a tracker](../how-to/trackers.md)."
    " `--all`: [keep experiments, or move them](../how-to/archive.md).",
    "server": "[Every setting](server-settings.md), and [how to run one for a team](../how-to/hosted-server.md).",
}
"""pages with more about a command"""


def page() -> str:
    """The whole page."""
    width = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"  # argparse folds its help to it; the page must not depend on a terminal
    try:
        parser = build_parser()
        parts = [_INTRODUCTION]
        for name, command in parser_commands(parser).items():
            parts.append(f"## orchestune {name}\n\n```\n{_help(command)}```\n")
            parts += [f"{_GUIDES[name]}\n"] if name in _GUIDES else []
            for inner, parser_of_it in parser_commands(command).items():
                parts.append(f"### orchestune {name} {inner}\n\n```\n{_help(parser_of_it)}```\n")
    finally:
        if width is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = width
    return "\n".join(parts)


def _help(parser: argparse.ArgumentParser) -> str:
    return parser.format_help()

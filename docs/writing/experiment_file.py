"""The reference page of the experiment file; made from the table of keys."""

from __future__ import annotations

from collections.abc import Iterable

from orchestune.config.document.kinds import Key
from orchestune.config.keys import KEYS, LATER
from orchestune.domain.search.engines import OPTIONS

_OPENING = """\
# The experiment file

`orchestune run` reads `experiment.yml`, or the file that `-f FILE` names.

```yaml
name: SGD classifier
run: python model.py {args}
parameters:
  alpha: 1e-6..0.1 log
  penalty: [l1, l2, elasticnet]
  l1_ratio: {type: float, min: 0, max: 1, when: {penalty: elasticnet}}
  layers: 2..8
metrics:
  accuracy: maximize
budget: 40
parallelism: 2
resources: {cpu: 1, memory: 2Gi}
```

The file is YAML 1.2: `1e-6` is a number, `on`, `off`, `yes` and `no` are words. It is at most 1 MiB of UTF-8 text. A
file with mistakes starts nothing; all of them are reported together, each with line and column. A JSON Schema for
editors lies in the package as `orchestune/config/experiment.schema.json`.

## Keys

"""

_PARAMETERS = """\
## `parameters`

Names are yours: ASCII letters, digits and `_ . - /`, a letter or `_` first; not `args` and not `hydra`.

| spelling | values |
|---|---|
| `2..8` | whole numbers, both ends included: both bounds are written without a point and without an exponent |
| `0.0..1.0`, `1e-6..0.1` | numbers, both ends included |
| `1e-6..0.1 log`, `16..512 log` | evenly by ratio |
| `0..1 step 0.1`, `32..256 step 32` | with that distance, from the lower bound on |
| `0..1 float`, `2.0..8.0 int` | the same, of that type whatever the bounds look like |
| `[l1, l2, elasticnet]`, `[16, 32, 64]` | one of these |
| `[true, false]`, `bool` | true or false |
| `{type: float, min: 0, max: 1, when: {penalty: elasticnet}}` | the long spelling, with a condition |

The long spelling has these keys:

"""

_PLACEHOLDERS = """\
## Placeholders in `run`

| placeholder | becomes |
|---|---|
| `{args}` | every parameter: `--name=value`, `--name` for true, nothing for false or where it is not active |
| `{hydra}` | every parameter as `name=value` |
| `{NAME}` | the value of the parameter NAME |
| `{config}` | the path of the trial's copy of the file that `config` names |
| `{{`, `}}` | a brace |

`${NAME}` is left to the shell. A name that is no parameter is a mistake. Parameters also reach the command as
environment variables and as a file: [ways into a script](../how-to/ways-into-a-script.md),
[the protocol](protocol.md#what-the-users-command-finds).

"""

_CLOSING = """\
## Values from the command line

`orchestune run --set KEY=VALUE`, as often as needed, puts a value into the place of the file's: `--set budget=10`,
`--set stop.time=1h`, `--set "parameters.alpha=1e-5..1 log"`. KEY is a path with dots; where names have dots themselves,
the longest one that exists is meant. VALUE is YAML; `null` takes the key away, and a text without quotes is all that
stands there (`--set "name=run #3"`). Of a metric that the file says in a word (`loss: minimize`) other keys are set
beside that goal: `--set "metrics.loss.constraint=<= 20"`.

## Older files

Files of SigOpt Orchestrate are read too (`optimization`, lists of parameters and metrics, `observation_budget`,
`parallel_bandwidth`, `resources_per_model`); `orchestrate.yml` where there is no `experiment.yml`. Where no command
stands, it comes from the `run.yml` beside the file. A note says which keys have no effect here. How to
[move from another tool](../how-to/move-from-another-tool.md) tells more.
"""

_TITLES = {
    "metrics": "A metric is `maximize`, `minimize`, or a mapping with these keys:",
    "resources": "",
    "folds": "A number, or a mapping with these keys:",
    "secrets": "A list of names, or a mapping from names to `env:NAME`, `file:PATH`, or a mapping with one of these:",
    "retry": "A number, or a mapping with these keys:",
    "stop": "",
    "early_stopping": "The name of a rule, or a mapping with these keys. Which rule suits what, and what they save: "
    "[early stopping](../early-stopping.md).",
    "collect": "A mapping, or a list of mappings, with these keys; [metrics without touching a script]"
    "(../how-to/collect-metrics.md) has examples:",
    "keep": "A list of patterns, or a mapping with these keys:",
    "checkpoint": "`true`, a length of time, or a mapping with this key:",
    "engine": "[Search](../search.md) tells which to use when. A name, or a mapping with this key and the engine's own "
    "options, whole numbers all:",
    "notify": "An address (`https://…`, `env:NAME`, `file:PATH`), a mapping with these keys, or a list of both. What "
    "is sent, and how it is signed: [messages](../how-to/messages.md).",
    "mlflow": "An address (`https://…`, `env:NAME`, `file:PATH`), or a mapping with these keys. What is recorded "
    "there: [MLflow](../how-to/mlflow.md).",
    "code": "",
    "volumes": "A list of mappings with these keys; either `claim` or `path`:",
}

_OPTIONS = {
    "startup": "8 | So many results come before the model is asked. Half of them are enough for `auto`, `gp` and `tpe`"
    " while as many as the others run.",
    "history": "at most 500, of `gp` 250 | Finished trials that a model is made of.",
    "candidates": "24 | Draws that TPE compares for one suggestion.",
    "population": "`evolution`: three for each parameter, from 12 to 40; `cma`: four, and more with their number |"
    " Configurations that are kept and changed.",
    "particles": "from 12 to 30, by the number of parameters | Points that move.",
    "size": "32 | Points of a hypercube.",
}
"""default and meaning of what engines take"""

_SUGGESTED = """\
## `constraints`, `try_first`, `warm_start`

```yaml
constraints:
  - penalty == 'l1' or alpha <= 0.1    # every configuration fulfils it
try_first:
  - {alpha: 0.001, penalty: l2}        # whole configurations, tried in this order before the engine is asked
warm_start: [sgd-7f3a, old.csv]        # results that the engine learns from first
```

More of each: [constraints](../search.md#constraints-on-parameters), [begin with what is
known](../search.md#begin-with-what-is-known), and of the key `prior` of a parameter: [priors](../search.md#priors).

"""


def page() -> str:
    """The page docs/reference/experiment-file.md."""
    required = (
        f"Required: {', '.join(f'`{key.name}`' for key in KEYS if key.required)}, and `budget` but for a grid.\n\n"
    )
    parts = [_OPENING, required, table(KEYS), "\n"]
    parts += [f"Reserved for later versions: {', '.join(f'`{name}`' for name in LATER)}.\n\n", _PARAMETERS]
    by_name = {key.name: key for key in KEYS}
    parts += [table(by_name["parameters"].kind.keys), "\n"]
    for name, title in _TITLES.items():
        parts += [f"## `{name}`\n\n", f"{title}\n\n" if title else "", table(by_name[name].kind.keys), "\n"]
        parts += [_engine_options()] if name == "engine" else []
    return "".join([*parts, _SUGGESTED, _PLACEHOLDERS, _CLOSING])


def _engine_options() -> str:
    """The options of all engines as a table. KeyError where one is not explained."""
    lines = ["| option | of | default | meaning |", "|---|---|---|---|"]
    for option in dict.fromkeys(option for options in OPTIONS.values() for option in options):
        engines = ", ".join(f"`{name}`" for name, options in OPTIONS.items() if option in options)
        lines.append(f"| `{option}` | {engines} | {_OPTIONS[option]} |")
    return "\n".join([*lines, "\n"])


def table(keys: Iterable[Key]) -> str:
    """Keys as a table in Markdown."""
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key in keys:
        default = "required" if key.required else key.default
        lines.append("| " + " | ".join(map(_cell, (f"`{key.name}`", key.kind.words, default, key.about))) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

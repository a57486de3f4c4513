"""Write every page that follows from the code: `python docs/generate.py`, or `--check` to tell which differ (exit 1).

A test runs the same check, so a page and the code cannot part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from orchestune.cli.reference import reference_markdown as command_line
from orchestune.clusters.aws.reference import reference_markdown as clusters_at_aws
from orchestune.clusters.existing.reference import permissions_markdown
from orchestune.config.cluster_file.reference import reference_markdown as cluster_file
from orchestune.config.reference import reference_markdown as experiment_file
from orchestune.config.schema import cluster_text as cluster_schema
from orchestune.config.schema import text as experiment_schema
from orchestune.domain import transitions
from orchestune.domain.states import AttemptState, Desired, ExperimentState, ReasonCode, TaskState, TrialState
from orchestune.sdk.reference import reference_markdown
from orchestune.server.prometheus import reference as server_metrics
from orchestune.server.settings import reference as server_settings
from orchestune.sklearn import SearchCV

DOCS = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py from the code; change that instead. -->\n\n"

MEANING = {
    "trial": """\
One configuration and its outcome. Completed, failed and pruned count for the budget; cancelled does not.""",
    "task": """\
One unit of execution of a trial, one per fold. It goes back to pending when its attempt was lost or preempted, or when
it failed with a retry left.""",
    "attempt": """\
One execution of a task. Leased and running hold one of the `parallelism` places. A lost attempt may still hand in its
result, until a newer attempt of the task is leased.""",
    "worker": """\
The program beside the user's command. Lost is not final: a frozen worker that comes back is alive again.""",
}

OPENING = """\
# State machines

Every change of a state goes through the tables in `orchestune/domain/transitions.py`, from which this page is written.
The store applies a change as a compare-and-set on the old state: of two causes that race, the first one wins and the
other is refused. A cause that has no arrow in a state is refused there.
"""

FROM_TASKS = """\
## Trial, from its tasks

The state of a trial that nobody pruned or cancelled follows from its tasks, here for two folds:

"""

EXPERIMENT = """\
## Experiment

What is wanted and what is observed are two things. The owner sets what is wanted; what is observed follows from it and
from what was seen, so `extend` and `resume` need no special cases: the same table is read again with new limits.

"""


def diagram(table: Mapping[tuple[StrEnum, transitions.Cause], StrEnum]) -> str:
    """A machine as a mermaid state diagram: the first state of the table is where it starts."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, cause), after in table.items():
        arrows.setdefault((state, after), []).append(cause)
    first = next(iter(table))[0]
    leaving = {state for state, _ in table}
    final = [state for state in type(first) if state not in leaving and state in set(table.values())]
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    lines += [f"    {state} --> {after}: {', '.join(causes)}" for (state, after), causes in arrows.items()]
    lines += [f"    {state} --> [*]" for state in final]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def experiment_table() -> str:
    """What an experiment is, for each pair of what is wanted and what was seen."""
    lines = ["| wanted | an attempt is live | budget spent, or a stop rule holds | state |", "|---|---|---|---|"]
    for (desired, live, ended), state in transitions.EXPERIMENT.items():
        lines.append(f"| {desired} | {_yes(live)} | {_yes(ended)} | {_variants(desired, live, ended, state)} |")
    return "\n".join(lines) + "\n"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _variants(desired: Desired, live: bool, ended: bool, state: ExperimentState) -> str:
    """The state, and what else the function makes of it where trials failed or were leased before."""
    texts = [f"**{state}**"]
    for condition, arguments in {
        "after its first lease": {"failed": False, "started": True},
        "when the reason means failure": {"failed": True, "started": True},
    }.items():
        other = transitions.experiment_state(desired, live=live, ended=ended, **arguments)
        if other is not state and not any(str(other) in text for text in texts):
            texts.append(f"**{other}** {condition}")
    return "; ".join(texts)


def trial_from_tasks() -> str:
    """The state of a trial of two folds, for each pair of what its tasks are."""
    kinds = list(TaskState)
    lines = ["| tasks | " + " | ".join(kinds) + " |", "|---|" + "---|" * len(kinds)]
    for one in kinds:
        cells = [str(transitions.trial_state((one, other))) for other in kinds]
        lines.append(f"| **{one}** | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def state_machines() -> str:
    """The page about states."""
    parts = [NOTE + OPENING]
    parts += [
        f"## {name.capitalize()}\n\n{MEANING[name]}\n\n{diagram(table)}" for name, table in transitions.MACHINES.items()
    ]
    parts += [FROM_TASKS + trial_from_tasks(), EXPERIMENT + experiment_table()]
    finished = ", ".join(state for state in TrialState if state.finished)
    live = ", ".join(state for state in AttemptState if state.live)
    over = ", ".join(state for state in ExperimentState if state.over)
    parts.append(
        "## Words that programs may rely on\n\n"
        f"- finished trials (they count for the budget): {finished}\n- live attempts (they hold a place): {live}\n"
        f"- experiments that are over: {over}\n- reason codes: {', '.join(f'`{code}`' for code in ReasonCode)}\n"
    )
    return "\n".join(parts)


def python() -> str:
    """The page about `import orchestune`, and what is imported from below it."""
    return reference_markdown({"scikit-learn": {"orchestune.sklearn.SearchCV": SearchCV}})


PAGES: Mapping[str, Callable[[], str]] = {
    "explanation/state-machines.md": state_machines,
    "how-to/aws.md": clusters_at_aws,
    "how-to/permissions.md": permissions_markdown,
    "reference/cli.md": command_line,
    "reference/cluster-file.md": cluster_file,
    "reference/experiment-file.md": experiment_file,
    "reference/metrics.md": server_metrics,
    "reference/python.md": python,
    "reference/server-settings.md": server_settings,
    "../src/orchestune/config/cluster.schema.json": cluster_schema,
    "../src/orchestune/config/experiment.schema.json": experiment_schema,
}


def differing() -> list[str]:
    """The pages that are missing or not what the code says."""
    return [name for name, page in PAGES.items() if _text(DOCS / name) != page()]


def write() -> list[str]:
    """Write the pages that differ and return their names."""
    names = differing()
    for name in names:
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(PAGES[name]())
    return names


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def main() -> int:
    """0, or 1 where `--check` found a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page differs")
    check = parser.parse_args().check
    names = differing() if check else write()
    for name in names:
        print(f"docs/{name} {'differs: python docs/generate.py' if check else 'written'}")
    return int(check and bool(names))


if __name__ == "__main__":
    raise SystemExit(main())

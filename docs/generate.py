"""Write every page that follows from the code: `python -m docs.generate`, or `--check` for those that differ (exit 1).

A test runs the same check, so a page and the code cannot part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from docs.writing import (
    aws,
    cluster_file,
    command_line,
    experiment_file,
    permissions,
    python,
    record_format,
    schemas,
    server_metrics,
    server_settings,
)
from orchestune.domain.lifecycle import transitions
from orchestune.domain.lifecycle.states import AttemptState, Desired, ExperimentState, FoldState, ReasonCode, TrialState

DOCS = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py from the code; change that instead. -->\n\n"

MEANING = {
    "trial": """\
One configuration and its outcome. Completed, failed and pruned count for the budget; cancelled does not.""",
    "fold": """\
One unit of execution of a trial; a trial without folds has one. It goes back to pending when its attempt was lost
or preempted, or when it failed with a retry left.""",
    "attempt": """\
One execution of a fold. Leased and running hold one of the `parallelism` places. A lost attempt may still hand in its
result, until a newer attempt of the fold is leased.""",
    "worker": """\
The program beside the user's command. Lost is not final: a frozen worker that comes back is alive again.""",
}

OPENING = """\
# State machines

Every change of a state goes through the tables in `orchestune/domain/lifecycle/transitions.py`. This page is written
from them.
The store applies a change as a compare-and-set on the old state: of two causes that race, the first one wins and the
other is refused. A cause that has no arrow in a state is refused there.
"""

FROM_FOLDS = """\
## Trial, from its folds

The state of a trial that was neither pruned nor cancelled follows from its folds, here for two:

"""

EXPERIMENT = """\
## Experiment

What is wanted and what is observed are two things. The owner sets what is wanted; what is observed follows from it and
from what was seen, so `extend` and `resume` need no special cases: the same table is read again with new limits.

"""

REASONS: Mapping[str, Mapping[str, str]] = {
    "an experiment has finished": {
        "budget": "all trials of the budget are finished",
        "target": "`stop.target` was reached",
        "time": "the time limit `stop.time` has passed",
        "patience": "`stop.patience`: no better trial among the last ones",
        "futile": "`stop.futile`: no trial good enough after that many",
        "exhausted": "all configurations of the space were tried",
        "max_failures": "`stop.max_failures` trials failed; the experiment has failed",
        "stopped": "a user stopped the experiment, or the trial",
    },
    "an experiment is paused": {
        "paused_by_user": "a user paused it",
        "metric_missing_at_first": "a guard: the first successful trial did not report a declared metric",
        "first_trials_failed": "a guard: the first three trials all failed",
        "identical_metrics": "a guard: five configurations gave exactly the same metrics",
        "trial_kills_workers": "a guard: one trial crashed several workers, also while it ran alone",
        "no_progress": "a guard: one trial was preempted three times in a row without a new checkpoint",
        "workers_fail": "workers cannot be started, exit at once, or cannot start a trial",
        "engine_failed": "the engine failed",
    },
    "an experiment is pending": {
        "waiting_for_resources": "the requested resources are in use, or a node has not started its worker"
        " yet; also of a running experiment with fewer trials than `parallelism`",
        "never_fits": "no present machine has the requested resources",
    },
    "a trial has failed": {
        "exit_code": "the command exited with a code other than 0",
        "signal": "a signal killed the command",
        "timeout": "the command exceeded `timeout`",
        "metric_missing": "the command succeeded without a declared metric",
        "metric_not_finite": "a declared metric was NaN or infinite",
        "command_not_found": "the program does not exist",
        "out_of_memory": "OOM killed: it exceeded the available memory, or its limit",
    },
    "an attempt ended, and its trial is requeued": {
        "worker_lost": "its worker was lost, or sent no heartbeat for the lease time",
        "worker_stopped": "its worker was shut down",
        "preempted": "its node or pod was preempted or evicted",
        "node_quarantined": "it failed on a machine in quarantine",
        "bundle_unavailable": "the code or the job could not be downloaded or unpacked",
        "sandbox": "its folder could not be created, or no process started in it; if the worker cannot process the"
        " trial at all, the trial has failed",
        "paused": "`pause --now`",
        "report_rejected": "its worker sent a report that does not fit the protocol",
    },
    "an attempt ended, and its trial is not requeued for it": {
        "superseded": "a newer attempt of the fold replaced it",
        "cancelled": "the experiment has finished, or another fold decided the trial",
        "pruned": "early stopping, or `folds.prune_after`",
    },
    "an attempt succeeded": {
        "files_on_the_way": "its files are still being uploaded",
        "files_lost": "its files did not arrive",
    },
}


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
    """Return the state of an experiment for each pair of desired and observed state."""
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
    kinds = list(FoldState)
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
    parts += [FROM_FOLDS + trial_from_tasks(), EXPERIMENT + experiment_table()]
    finished = ", ".join(state for state in TrialState if state.finished)
    live = ", ".join(state for state in AttemptState if state.live)
    over = ", ".join(state for state in ExperimentState if state.over)
    parts.append(
        "## Words that programs may rely on\n\n"
        f"- finished trials (they count for the budget): {finished}\n- live attempts (they hold a place): {live}\n"
        f"- experiments that are over: {over}\n"
    )
    parts.append(f"## Reasons\n\nWhat a `reason` says beside its message:\n\n{reasons()}")
    return "\n".join(parts)


def reasons() -> str:
    """Every reason code, with what it is said of. KeyError where one is in no group."""
    missing = {*ReasonCode} - {ReasonCode(code) for group in REASONS.values() for code in group}
    if missing:
        raise KeyError(f"in no group of REASONS: {', '.join(sorted(missing))}")
    lines = ["| where | code | meaning |", "|---|---|---|"]
    for where, group in REASONS.items():
        lines += [f"| {'' if at else where} | `{code}` | {text} |" for at, (code, text) in enumerate(group.items())]
    return "\n".join(lines) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "explanation/state-machines.md": state_machines,
    "how-to/aws.md": aws.page,
    "how-to/permissions.md": permissions.page,
    "reference/cli.md": command_line.page,
    "reference/cluster-file.md": cluster_file.page,
    "reference/experiment-file.md": experiment_file.page,
    "reference/metrics.md": server_metrics.page,
    "reference/python.md": python.page,
    "reference/server-settings.md": server_settings.page,
    "reference/record-format.md": lambda: NOTE + record_format.page(),
    "reference/record.schema.json": record_format.schema,
    "../src/orchestune/config/cluster.schema.json": schemas.cluster,
    "../src/orchestune/config/experiment.schema.json": schemas.experiment,
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
        print(f"docs/{name} {'differs: make docs' if check else 'written'}")
    return int(check and bool(names))


if __name__ == "__main__":
    raise SystemExit(main())

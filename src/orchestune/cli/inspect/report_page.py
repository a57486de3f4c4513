"""Builds the page that `report` writes: text is rendered here, plots are drawn by the scripts of the server's pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestune.cli.terminal.render import Paint, duration, elapsed, measured, number, one_line, size
from orchestune.client.attempts import seconds
from orchestune.client.states import finished, owner_of
from orchestune.domain.words import plural
from orchestune.server.pages import inlined
from orchestune.server.pages.render import templates

if TYPE_CHECKING:
    from orchestune import documents

_PLAIN = Paint(colours=False)
_MAX_ROWS = 1000
"""trials in the table; the plots show more"""
_MAX_FRONT = 8
"""trials of a Pareto front side by side"""
_REPLACED = {"lib/api.js": "report/api.js", "lib/address.js": "report/address.js"}


@dataclass(frozen=True)
class ReportDocuments:
    """Answers of the API, by metric where there is one for each."""

    status: documents.Status
    specification: Mapping[str, Any]
    overview: documents.Overview
    timeline: documents.Timeline
    hypervolume: documents.Hypervolume | None
    explanations: Mapping[str, documents.Explanation]
    columns: Mapping[str, documents.Columns]
    curves: Mapping[str, documents.Curves]
    contours: Mapping[str, Sequence[documents.Contour]]
    trials: Sequence[documents.Trial]


def page(report: ReportDocuments) -> str:
    """Return the HTML file."""
    status, first = report.status, next(iter(report.explanations.values()))
    return templates().get_template("report.html").render(
        status=status,
        facts=_facts(report),
        findings=first["findings"],
        best=_best(status),
        cost=_cost(report.trials),
        space=_space(report.specification["parameters"], first["parameters"]),
        settings=_settings(report),
        failures=report.overview["failures"],
        trials=_trials(report),
        written_at=_moment(datetime.now(UTC).isoformat()),
        documents=_embedded(report),
        import_map=json.dumps({"imports": inlined.import_map("report/plots.js", _REPLACED)}),
        styles="\n".join(map(inlined.text_of, ("design.css", "parts.css", "report.css"))),
        theme=inlined.text_of("theme.js"),
        icon=base64.b64encode(inlined.text_of("icon.svg").encode()).decode(),
    )  # fmt: skip


def _embedded(report: ReportDocuments) -> str:
    """Return the documents of the plots as JSON that cannot end its `<script>`."""
    status = {name: value for name, value in report.status.items() if name not in ("running", "workers", "url")}
    plotted = list(report.columns)
    status["metrics"] = [metric for metric in report.status["metrics"] if metric["name"] in plotted]
    whole = {
        "specification": {"specification": {"parameters": report.specification["parameters"]}},
        "timeline": report.timeline,
        "hypervolume": report.hypervolume,
    }
    by_metric = {"columns": report.columns, "curves": report.curves, "importance": report.explanations}
    embedded = {"status": status, "whole": whole, "by_metric": by_metric, "contours": report.contours}
    return json.dumps(embedded, separators=(",", ":")).replace("<", "\\u003c")


def _facts(report: ReportDocuments) -> list[tuple[str, str, str]]:
    """Return term, value and remark of what stands on top."""
    status = report.status
    failed, pruned = status["counts"]["failed"], status["counts"]["pruned"]
    began = _moment(status["started_at"] or status["created_at"])
    return [
        ("Best", *_best_fact(status)),
        (
            "Trials",
            f"{finished(status)} of {status['budget']}",
            f"{failed} failed, {pruned} pruned",
        ),
        ("Duration", duration(elapsed(status)), f"{status['parallelism']} at a time"),
        ("Trial time", duration(sum(map(_ran, report.trials))), "of all trials together"),
        ("Started", began[:10], f"{began[11:]}, by {owner_of(status)}"),
    ]


def _best_fact(status: documents.Status) -> tuple[str, str]:
    metric = status["metrics"][0]
    goal = f"{metric['goal']} {metric['name']}"
    if not status["best"]:
        return "–", goal
    if len(status["best"]) > 1:
        return f"{len(status['best'])} on the front", ", ".join(_goals(status))
    return measured(status["best"][0]["metrics"].get(metric["name"]), _PLAIN), goal


def _goals(status: documents.Status) -> list[str]:
    return [
        f"{metric['goal']} {metric['name']}"
        if metric["optimized"]
        else f"{metric['name']} {metric['constraint'] or ''}"
        for metric in status["metrics"]
    ]


def _best(status: documents.Status) -> dict[str, Any]:
    """Return the best trial, or the first ones of the Pareto front, as columns of a table."""
    best = status["best"][:_MAX_FRONT]
    declared = [metric["name"] for metric in status["metrics"]]
    metrics = _union(declared, *(trial["metrics"] for trial in best))
    parameters = _union(*(trial["parameters"] for trial in best))
    rows = [(name, [measured(trial["metrics"].get(name), _PLAIN) for trial in best]) for name in metrics]
    rows += [(name, [_value(trial["parameters"].get(name)) for trial in best]) for name in parameters]
    title = "Best configuration" if len(status["best"]) < 2 else "Best configurations"
    return {"title": title, "trials": [trial["trial"] for trial in best], "rows": rows if best else []}


def _union(*groups: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def _cost(trials: Sequence[documents.Trial]) -> list[tuple[str, str]]:
    attempts = [attempt for trial in trials for attempt in trial["attempts"]]
    gpu_seconds = sum((attempt["wall_seconds"] or 0.0) * len(attempt["gpus"]) for attempt in attempts)
    cpu_seconds = [attempt["cpu_seconds"] for attempt in attempts if attempt["cpu_seconds"] is not None]
    peaks = [attempt["peak_memory_bytes"] for attempt in attempts if attempt["peak_memory_bytes"] is not None]
    ended = {state: sum(map(_ran, _in_state(trials, state))) for state in ("completed", "pruned", "failed")}
    rows = [(f"{state.capitalize()} trials", duration(total)) for state, total in ended.items() if total]
    rows += [("CPU time", duration(sum(cpu_seconds)))] if cpu_seconds else []
    rows += [("GPU time", duration(gpu_seconds))] if gpu_seconds else []
    rows += [("Peak memory of a trial", size(max(peaks)))] if peaks else []
    interrupted = sum(attempt["state"] in ("lost", "preempted") for attempt in attempts)
    repeated = f", {interrupted} lost or preempted" if interrupted else ""
    return [*rows, ("Attempts", f"{len(attempts)}{repeated}")]


def _in_state(trials: Sequence[documents.Trial], state: str) -> list[documents.Trial]:
    return [trial for trial in trials if trial["state"] == state]


def _ran(trial: documents.Trial) -> float:
    return seconds(trial) or 0.0


def _space(parameters: Sequence[Mapping[str, Any]], weights: Sequence[documents.Weight]) -> list[tuple[str, str, str]]:
    importance = {weight["name"]: f"{100 * weight['importance']:.0f} %" for weight in weights}
    return [(each["name"], _values(each), importance.get(each["name"], "–")) for each in parameters]


def _values(parameter: Mapping[str, Any]) -> str:
    """Describe the values of a parameter: `1e-06 to 0.1, logarithmic`."""
    if "choices" in parameter:
        text = ", ".join(map(_value, parameter["choices"]))
    else:
        text = f"{_value(parameter['min'])} to {_value(parameter['max'])}"
        text += ", logarithmic" if parameter.get("log") else ""
        text += f", in steps of {_value(parameter['step'])}" if parameter.get("step") else ""
    conditions = [f"{name} is {' or '.join(map(_value, values))}" for name, values in parameter.get("when", {}).items()]
    return f"{text}; if {' and '.join(conditions)}" if conditions else text


def _settings(report: ReportDocuments) -> list[tuple[str, str]]:
    status, specification = report.status, report.specification
    run = specification["run"]
    rows = [
        ("Command", one_line(run if isinstance(run, str) else " ".join(run))),
        ("Metrics", ", ".join(_goals(status))),
        ("Constraints", "; ".join(specification.get("constraints") or ())),
        ("Engine", f"{status['engine']}: {status['search']}" if status.get("search") else status["engine"]),
        ("Budget", f"{plural(status['budget'], 'trial')}, {status['parallelism']} at a time"),
        ("Folds", str(status["folds"]) if status["folds"] > 1 else ""),
        ("Early stopping", (specification.get("early_stopping") or {}).get("type", "")),
        ("Image", (specification.get("placement") or {}).get("image") or ""),
    ]
    return [(term, value) for term, value in rows if value]


def _trials(report: ReportDocuments) -> dict[str, Any]:
    """Return the table of trials: number, state, metrics, parameters, duration."""
    metrics = [metric["name"] for metric in report.status["metrics"]]
    parameters = [parameter["name"] for parameter in report.specification["parameters"]]
    rows = [
        (
            trial["number"],
            trial["state"],
            [
                *(measured(trial["metrics"].get(name), _PLAIN) for name in metrics),
                *(_value(trial["parameters"].get(name)) for name in parameters),
                duration(seconds(trial)),
            ],
        )
        for trial in report.trials[:_MAX_ROWS]
    ]
    remark = f"the first {_MAX_ROWS} of {len(report.trials)}" if len(report.trials) > _MAX_ROWS else str(len(rows))
    return {"columns": ["Trial", "State", *metrics, *parameters, "Duration"], "rows": rows, "remark": remark}


def _value(value: object) -> str:
    return "" if value is None else number(value, 6)


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"

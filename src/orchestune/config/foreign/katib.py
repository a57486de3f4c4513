"""Experiments of Katib: https://www.kubeflow.org/docs/components/katib/."""

from __future__ import annotations

import math
from typing import Any

from orchestune.config.document.nodes import Entries, mapping
from orchestune.config.document.report import ProblemReport
from orchestune.config.foreign.katib_trial import trial
from orchestune.config.foreign.notes import ForeignFile, number, rounded, valid_names, without_empty
from orchestune.config.sections.short_spelling import extended, spelled
from orchestune.config.sources.draft import Draft

_ENGINES = {
    "random": "random", "grid": "grid", "tpe": "tpe", "multivariate-tpe": "tpe", "bayesianoptimization": "gp",
    "sobol": "sobol", "cmaes": "cma",
}  # fmt: skip
_DEVIATIONS = 6
"""standard deviations of a normal distribution between the bounds, as in Katib"""
BUDGET, PARALLELISM = 40, 3
"""Katib's default parallelism; it has no default budget"""


def draft(root: Entries, report: ProblemReport) -> Draft:
    """Convert the experiment. Problems and notes are added to the report."""
    top = ForeignFile(root, "", report)
    metadata, spec = top.below("metadata"), top.below("spec")
    document: dict[str, Any] = {"name": metadata.text("name"), "labels": metadata.value("labels")}
    namespace = metadata.text("namespace")
    if namespace:
        metadata.note(f"the namespace {namespace} belongs to the cluster: see orchestune cluster connect --namespace")
    metadata.leave(
        "annotations", "uid", "resourceVersion", "creationTimestamp", "generation", "finalizers", "managedFields"
    )
    top.leave("apiVersion", "kind", "status")
    spaces = {
        name: space for item in spec.each("parameters") if (name := item.text("name")) and (space := _space(item))
    }
    names = valid_names("parameters", spaces, report.notes)
    metrics, target = _metrics(spec.below("objective"))
    document |= trial(spec.below("trialTemplate"), names)
    document["parameters"] = {names[name]: space for name, space in spaces.items()}
    document["metrics"] = metrics
    document["budget"] = spec.value("maxTrialCount")
    document |= _algorithm(spec.below("algorithm"))
    if document["budget"] is None and document.get("engine") != "grid":
        document["budget"] = BUDGET
        spec.note(f"without maxTrialCount it would run until its goal; budget {BUDGET} is used instead")
    document["parallelism"] = spec.value("parallelTrialCount") or PARALLELISM
    max_failures = spec.value("maxFailedTrialCount")
    document["stop"] = without_empty({"target": target, "max_failures": max_failures})
    document["early_stopping"] = _early_stopping(spec.below("earlyStopping"))
    document["collect"] = _metric_sources(spec.below("metricsCollectorSpec"))
    spec.leave("resumePolicy")
    return Draft(mapping(without_empty(document), root.position))


def _metrics(objective: ForeignFile) -> tuple[dict[str, Any], float | None]:
    goal, name, target = objective.text("type"), objective.text("objectiveMetricName"), number(objective.value("goal"))
    others = objective.values("additionalMetricNames")
    if others:
        objective.note(f"need not be declared, all reported values are recorded: {', '.join(map(str, others))}")
    strategies = {item.text("name"): item.text("value") for item in objective.each("metricStrategies")}
    objective.leave()
    if not name or goal not in ("minimize", "maximize"):
        return {}, target
    best = "max" if goal == "maximize" else "min"
    strategy = strategies.get(name) or best
    take = "best" if strategy == best else "last"
    if strategy not in (best, "latest"):
        objective.note(f"the strategy {strategy} has no counterpart for {goal}; the last reported value counts")
    return {valid_names("metrics", [name], objective.report.notes)[name]: {"goal": goal, "take": take}}, target


def _space(item: ForeignFile) -> Any:
    kind, space = item.text("parameterType"), item.below("feasibleSpace")
    listed, low, high = space.values("list"), number(space.value("min")), number(space.value("max"))
    step, distribution = number(space.value("step")), space.text("distribution") or "uniform"
    space.leave()
    if kind in ("categorical", "discrete") or listed:
        return [_listed(value, kind) for value in listed]
    if low is None or high is None:
        space.reject("needs min and max, or a list")
        return None
    if low == high:
        return [low]
    log = distribution.lower().startswith("log")
    spelling = spelled(low, high, log=log, step=step, whole=kind == "int")
    if not distribution.lower().endswith("normal") or low >= high or (log and low <= 0):
        return spelling
    if log:
        factor = (high / low) ** (1 / _DEVIATIONS)
        return extended(spelling, {"prior": {"median": rounded(math.sqrt(low * high)), "factor": rounded(factor)}})
    return extended(
        spelling, {"prior": {"mean": rounded((low + high) / 2), "std": rounded((high - low) / _DEVIATIONS)}}
    )


def _listed(value: Any, kind: str | None) -> Any:
    parsed = number(value) if kind == "discrete" else None
    return str(value) if parsed is None else parsed


def _algorithm(algorithm: ForeignFile) -> dict[str, Any]:
    name, settings = algorithm.text("algorithmName"), _settings(algorithm)
    algorithm.leave()
    engine_keys: dict[str, Any] = {"engine": _ENGINES.get(name or "")}
    if name and name not in _ENGINES:
        hint = "; see early_stopping: hyperband" if name == "hyperband" else ""
        algorithm.note(f"{name} has no counterpart, the engine is auto{hint}", "algorithmName")
    seed = number(settings.pop("random_state", None) or settings.pop("seed", None))
    if seed is not None:
        engine_keys["seed"] = int(seed)
    for setting, value in settings.items():
        algorithm.note(f"the setting {setting}={value} has no effect", "algorithmSettings")
    return engine_keys


def _settings(section: ForeignFile) -> dict[str, str]:
    pairs = ((item.text("name"), item.text("value")) for item in section.each("algorithmSettings"))
    return {name: value or "" for name, value in pairs if name}


def _early_stopping(early: ForeignFile) -> dict[str, Any]:
    name, settings = early.text("algorithmName"), _settings(early)
    early.leave()
    if name is None:
        return {}
    if name != "medianstop":
        early.note(f"{name} has no counterpart", "algorithmName")
        return {}
    start = number(settings.pop("start_step", None))
    for setting, value in settings.items():
        early.note(f"the setting {setting}={value} has no effect", "algorithmSettings")
    return without_empty({"type": "median", "min_steps": start})


def _metric_sources(spec: ForeignFile) -> dict[str, str]:
    """Return the sources of metrics. Printed lines `name=value` are parsed by default."""
    kind = spec.below("collector").text("kind") or "StdOut"
    source = spec.below("source")
    path = source.below("fileSystemPath")
    metrics_path, format = path.text("path"), path.text("format")
    patterns = source.below("filter").value("metricsFormat")
    if patterns:
        spec.note(
            "metricsFormat has no counterpart: lines such as name=value are parsed, others need collect: {regex: …}"
        )
    source.leave()
    spec.leave()
    key = {"TensorFlowEvent": "tensorboard", "File": "jsonl" if format == "JSON" else None}.get(kind)
    if kind == "StdOut" or kind == "None":
        return {}
    if key is None or metrics_path is None or metrics_path.startswith("/"):
        metrics_path = metrics_path or "its usual path"
        spec.note(
            f"the collector {kind} of {metrics_path} has no counterpart: write metrics in the trial's folder, see"
            f" collect"
        )
        return {}
    return {key: metrics_path}

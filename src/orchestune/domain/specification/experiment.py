"""Normalised specification of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Space
from orchestune.domain.specification.command_channels import ConfigTemplate, ConstantTemplate, MetricSource
from orchestune.domain.specification.early_stopping import EarlyStopping
from orchestune.domain.specification.folds import Folds
from orchestune.domain.specification.metrics import Metric
from orchestune.domain.specification.notify import Hook
from orchestune.domain.specification.tracker import Tracker


@dataclass(frozen=True)
class FutileTrials:
    """Stop rule: the search fails if its best value is on the wrong side of `limit` after `after` finished trials."""

    limit: float
    after: int
    side: str
    """the wrong side: `below` if the first metric is maximized, `above` if it is minimized"""


class ProgramKind(StrEnum):
    """Kind of program that a trial runs."""

    COMMAND = "command"
    """a command that a user wrote"""
    FUNCTION = "function"
    """a Python function, sent by `tune`"""


IMPORTED = " (imported)"  # suffix of the owner of an imported experiment, whom this server has not authenticated
TEST_LABEL = "orchestune.dev/test"
"""label of an ephemeral run (`orchestune test`); its value is a heartbeat that the waiting client changes"""


@dataclass(frozen=True)
class StopRules:
    """Conditions for stopping an experiment before its budget is used up; None disables a rule."""

    max_failures: int | None = None
    target: float | None = None
    """value of the first metric at which the experiment ends as completed"""
    time: float | None = None
    """seconds from the first lease"""
    patience: int | None = None
    """consecutive finished trials without a better value"""
    futile: FutileTrials | None = None

    @property
    def depend_on_best(self) -> bool:
        """True if a rule depends on the best trial."""
        return self.target is not None or self.patience is not None or self.futile is not None


@dataclass(frozen=True)
class Keep:
    """Selection of the files of a trial that become artifacts."""

    patterns: tuple[str, ...] = ()
    """globs relative to the trial's folder"""
    best: int | None = None
    """number of best trials whose artifacts are retained; None: all"""
    limit: int = 2**30
    """bytes per trial"""


@dataclass(frozen=True)
class Secret:
    """A value that the client's machine supplies when the experiment is created, and that is stored in no record."""

    name: str
    """environment variable of the user's command"""
    source: str
    """`env:NAME` or `file:PATH` on the client's machine"""


MAX_GRACE_SECONDS = 3600.0  # seconds: upper bound on how long a trial keeps its resources after SIGTERM


@dataclass(frozen=True)
class Specification:
    """An experiment as its file describes it. `run` is a list (executed unchanged) or one string."""

    name: str
    run: str | tuple[str, ...]
    space: Space
    metrics: tuple[Metric, ...]
    budget: int
    parallelism: int = 1
    """maximum number of concurrent attempts: trials, or folds if trials have several"""
    folds: Folds = Folds()
    resources: Resources = Resources()
    preload: tuple[str, ...] = ()
    """Python modules that a worker imports once for all its trials"""
    env: Mapping[str, str] = field(default_factory=dict)
    inherit_env: bool = True
    """trials on this machine inherit the environment of the shell that starts the experiment"""
    secrets: tuple[Secret, ...] = ()
    timeout: float | None = None
    """seconds per attempt"""
    grace: float = 10.0
    """seconds between SIGTERM and SIGKILL"""
    retries: int = 0
    """retries of a failed fold before the trial fails"""
    oom_retries: int = 0
    """retries of an OOM-killed fold with more memory, which do not count towards `retries`"""
    memory_factor: float = 1.5
    """factor by which each such retry multiplies the requested memory"""
    stop: StopRules = StopRules()
    early_stopping: EarlyStopping | None = None
    try_first: tuple[Mapping[str, Value], ...] = ()
    keep: Keep = Keep()
    checkpoint_every: float | None = None
    """seconds; None: no checkpoints"""
    seed: int = 0
    engine: str = "auto"
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    notify: tuple[Hook, ...] = ()
    mlflow: Tracker | None = None
    placement: Placement = Placement()
    config: ConfigTemplate | None = None
    """config file that is copied for each trial, with its values filled in"""
    constants: ConstantTemplate | None = None
    """script whose constants are replaced in each trial's copy"""
    collect: tuple[MetricSource, ...] = ()
    """additional sources of metrics"""
    stdin: str = ""
    """standard input of the command: `json` for its parameters, otherwise empty"""
    program: ProgramKind = ProgramKind.COMMAND

    @property
    def most_parallelism(self) -> int:
        """Upper bound on concurrent attempts."""
        return self.budget * self.folds.count

    @property
    def objective(self) -> Metric:
        """The first metric, which decides which trial is best."""
        return self.metrics[0]

    def to_json(self) -> dict[str, Any]:
        """Return the complete document, as stored with the experiment and sent to the server."""
        return {
            "name": self.name,
            "run": self.run if isinstance(self.run, str) else list(self.run),
            "parameters": self.space.to_json(),
            "constraints": self.space.texts(),
            "metrics": [metric.to_json() for metric in self.metrics],
            "budget": self.budget,
            "parallelism": self.parallelism,
            "folds": asdict(self.folds),
            "resources": self.resources.to_json(),
            "preload": list(self.preload),
            "env": dict(self.env),
            "inherit_env": self.inherit_env,
            "secrets": [asdict(secret) for secret in self.secrets],
            "timeout": self.timeout,
            "grace": self.grace,
            "retries": self.retries,
            "oom_retries": self.oom_retries,
            "memory_factor": self.memory_factor,
            "stop": asdict(self.stop),
            "early_stopping": self.early_stopping.to_json() if self.early_stopping else None,
            "try_first": [dict(configuration) for configuration in self.try_first],
            "keep": {"patterns": list(self.keep.patterns), "best": self.keep.best, "limit": self.keep.limit},
            "checkpoint_every": self.checkpoint_every,
            "seed": self.seed,
            "engine": self.engine,
            "engine_options": dict(self.engine_options),
            "priority": self.priority,
            "labels": dict(self.labels),
            "notify": [hook.to_json() for hook in self.notify],
            "mlflow": self.mlflow.to_json() if self.mlflow else None,
            "placement": self.placement.to_json(),
            "config": self.config.to_json() if self.config else None,
            "constants": self.constants.to_json() if self.constants else None,
            "stdin": self.stdin,
            "program": self.program,
            "collect": [source.to_json() for source in self.collect],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, is_validated: bool = False) -> Specification:
        """Parse the output of `to_json`. Raises BadInput if the space is invalid, KeyError if a key is missing.

        `is_validated`: the space was validated when the document was stored, so that this is not repeated.
        """
        futile = (document.get("stop") or {}).get("futile")
        run, stop, keep = document["run"], document.get("stop") or {}, document.get("keep") or {}
        folds = document.get("folds") or {}
        return cls(
            name=document["name"],
            run=run if isinstance(run, str) else tuple(run),
            space=Space.from_json(document["parameters"], document.get("constraints") or (), is_validated=is_validated),
            metrics=tuple(Metric.from_json(item) for item in document["metrics"]),
            budget=int(document["budget"]),
            parallelism=int(document.get("parallelism", 1)),
            folds=Folds(int(folds.get("count", 1)), folds.get("prune_after")),
            resources=Resources.from_json(document.get("resources") or {}),
            preload=tuple(document.get("preload") or ()),
            env=dict(document.get("env") or {}),
            inherit_env=bool(document.get("inherit_env", True)),
            secrets=tuple(Secret(item["name"], item["source"]) for item in document.get("secrets") or ()),
            timeout=document.get("timeout"),
            grace=float(document.get("grace", 10.0)),
            retries=int(document.get("retries", 0)),
            oom_retries=int(document.get("oom_retries", 0)),
            memory_factor=float(document.get("memory_factor", 1.5)),
            stop=StopRules(
                stop.get("max_failures"),
                stop.get("target"),
                stop.get("time"),
                stop.get("patience"),
                FutileTrials(float(futile["limit"]), int(futile["after"]), futile["side"]) if futile else None,
            ),
            early_stopping=EarlyStopping.from_json(document.get("early_stopping")),
            try_first=tuple(document.get("try_first") or ()),
            keep=Keep(tuple(keep.get("patterns") or ()), keep.get("best"), int(keep.get("limit") or 2**30)),
            checkpoint_every=document.get("checkpoint_every"),
            seed=int(document.get("seed", 0)),
            engine=document.get("engine", "auto"),
            engine_options=dict(document.get("engine_options") or {}),
            priority=int(document.get("priority", 0)),
            labels=dict(document.get("labels") or {}),
            mlflow=Tracker.from_json(document.get("mlflow")),
            notify=tuple(Hook.from_json(item) for item in document.get("notify") or ()),
            placement=Placement.from_json(document.get("placement") or {}),
            config=ConfigTemplate.from_json(document.get("config")),
            constants=ConstantTemplate.from_json(document.get("constants")),
            stdin=str(document.get("stdin") or ""),
            program=ProgramKind(document.get("program", ProgramKind.COMMAND)),
            collect=tuple(MetricSource(item["kind"], item["where"]) for item in document.get("collect") or ()),
        )

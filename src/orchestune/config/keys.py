"""The table of all keys of an experiment file. Parser, JSON Schema and reference are derived from it."""

from __future__ import annotations

from orchestune.config.document.kinds import (
    GRACE,
    MAX_AT_ONCE,
    MAX_TRIALS,
    MAX_TRY_FIRST,
    PRIORITIES,
    TIME,
    Key,
    ValueKind,
    integer,
    one_of,
    string,
)
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import NamedEntry, converted, either, list_of, mapping_of, section
from orchestune.config.sections.collect import COLLECT
from orchestune.config.sections.early_stopping import EARLY_STOPPING
from orchestune.config.sections.engine import ENGINE
from orchestune.config.sections.environment import ENV, SECRETS
from orchestune.config.sections.keep import CHECKPOINT, KEEP
from orchestune.config.sections.metrics import METRICS
from orchestune.config.sections.mlflow import MLFLOW
from orchestune.config.sections.notify import NOTIFY
from orchestune.config.sections.parameters import PARAMETERS, VALUE
from orchestune.config.sections.placement import KEYS as PLACING
from orchestune.config.sections.run import RUN
from orchestune.config.sections.small import CODE, FOLDS, PRELOAD, RESOURCES, RETRY, STOP
from orchestune.config.sections.template import CONFIG, CONSTANTS
from orchestune.config.sections.tokens import looks_like_a_secret
from orchestune.config.sections.warm_start import WARM_START
from orchestune.domain.search.constraints import MAX_CONSTRAINT_CHARS
from orchestune.domain.search.space import MAX_CONSTRAINTS

CONFIGURATION = mapping_of(
    NamedEntry("a parameter", r"[^\0]+", "expected the name of a parameter"),
    VALUE,
    "a mapping from parameters to values",
)


_SECRET = "looks like a token or password, which everyone who can view the experiment could read"
_SECRET_HINT = "remove it; pass tokens and passwords to trials with `secrets`"


def _read_label(field: Field) -> str | None:
    if not isinstance(field.node, ScalarNode) or len(field.node.text) > 1000:
        field.expected("text of at most 1000 characters")
        return None
    if looks_like_a_secret(field.key.rpartition(".")[2], field.node.text):
        field.reject(_SECRET, _SECRET_HINT)
        return None
    return field.node.text


def _read_name(field: Field) -> str | None:
    name = _ANY_NAME.read(field)
    if name is not None and looks_like_a_secret("", name):
        field.reject(_SECRET, _SECRET_HINT)
        return None
    return name


LABELS = mapping_of(  # labels under orchestune.dev/ control the server: one makes it remove the experiment
    NamedEntry(
        "a label",
        r"(?!orchestune\.dev/)[A-Za-z0-9_./\-]+",
        "use letters, digits and _ . / -, and no prefix orchestune.dev/",
    ),
    ValueKind[str]("text", {"type": ["string", "number", "boolean"], "maxLength": 1000}, _read_label),
    "a mapping from names to texts",
)

_CONSTRAINT = string("a condition such as lr * 2 + momentum <= 1", most=MAX_CONSTRAINT_CHARS)
CONSTRAINTS = either(
    "a condition or a list of conditions",
    scalar=converted(_CONSTRAINT, lambda one: (one,)),
    listing=list_of(_CONSTRAINT, "a list of conditions", least=0, most=MAX_CONSTRAINTS),
)
_ANY_NAME = string(
    "a name of at most 200 characters on one line", r"[^\x00-\x1f\x7f\u0085\u2028\u2029]{1,200}", any_scalar=True
)
_NAME = _ANY_NAME.read_by(_read_name)

KEYS = (
    Key("name", _NAME,
        "The name of the experiment; its handle starts with it.", "the folder's name"),
    Key("run", RUN, "The command of one trial. Text with shell syntax goes to `sh -c`; a list is executed as it is."
        " `{args}`, `{hydra}` and `{NAME}` are replaced.", required=True),
    Key("parameters", PARAMETERS, "The search space: each parameter with its range or values.", required=True),
    Key("constraints", CONSTRAINTS, "Conditions that every configuration satisfies, such as `lr * 2 + momentum <= 1`. A"
        " condition on an inactive parameter counts as satisfied.", "none"),
    Key("metrics", METRICS, "The metrics; the first one decides which trial is best, all together the Pareto front.",
        required=True),
    Key("budget", integer(1, MAX_TRIALS), "The number of finished trials.", "with `engine: grid`, the number of"
        " configurations"),
    Key("parallelism", integer(1, MAX_AT_ONCE),
        "The maximum number of trials that run at the same time; with `folds`, of folds.",
        "1"),
    Key("folds", FOLDS, "The number of parts in which each trial is measured, for example the folds of a"
        " cross-validation. They run in parallel, each with its `$ORCHESTUNE_FOLD` (from 0) of `$ORCHESTUNE_FOLDS`; the"
        " trial's value is the mean of their values.", "1"),
    Key("resources", RESOURCES, "Resources requested by each trial; trials run side by side only as far as they fit."),
    Key("env", ENV, "Environment variables of the command. Never a token or password. On this machine trials also"
        " inherit the variables of your shell; `env: {inherit: false}` turns that off."),
    Key("secrets", SECRETS, "Environment variables whose values come from your environment or from files when the"
        " experiment is created, and are never stored in records."),
    Key("config", CONFIG, "A configuration file in the folder. Each trial gets a copy with its parameter values"
        " at their paths; `{config}` in `run` is the path of the copy."),
    Key("constants", CONSTANTS, "A Python or R script in the folder whose constants are parameters. In each trial's"
        " copy of it, the literals that are assigned to the parameters' names at its top level (`lr = 0.1`; `params.lr`"
        " in a dictionary or class) are replaced by the trial's values."),
    Key("collect", COLLECT, "Sources of metrics that the command does not print in a common format."),
    Key("stdin", one_of(("json", "none")), "Standard input of the command: its parameters as JSON, or"
        " nothing.", "none"),
    Key("preload", PRELOAD, "Installed Python modules, such as `sklearn.svm`, that are imported once per worker;"
        " each trial is a fork of the process that imported them. Only for commands that run a Python script.",
        "each trial imports its own"),
    Key("timeout", TIME, "Maximum duration of one attempt; it is then terminated and the trial has failed.",
        "no limit"),
    Key("grace", GRACE, "Time from SIGTERM to SIGKILL.", "10s"),
    Key("retry", RETRY, "How many times a failed trial is retried before it counts as failed.", "0"),
    Key("stop", STOP, "Rules that finish the experiment before its budget is used."),
    Key("early_stopping", EARLY_STOPPING, "Prunes trials early, by the values that they report while running.",
        "no trial is pruned"),
    Key("try_first", list_of(CONFIGURATION, "a list of configurations", least=0, most=MAX_TRY_FIRST),
        "Configurations to run before those that the engine suggests."),
    Key("warm_start", WARM_START, "Earlier results that the engine learns from before the first trial: other"
        " experiments, files (relative to this one), or results listed here. They are used for nothing else."),
    Key("keep", KEEP, "Files to keep from each trial."),
    Key("checkpoint", CHECKPOINT, "Publishes `$ORCHESTUNE_CHECKPOINT_DIR`, so that an interrupted trial resumes"
        " from there. `true` means every 5 minutes.", "no checkpoints"),
    Key("seed", integer(0, 2**53), "The same seed at parallelism 1 gives the same configurations.", "0"),
    Key("engine", ENGINE, "The algorithm that suggests configurations; `auto` selects one.", "auto"),
    Key("priority", integer(*PRIORITIES), "Experiments with a higher priority get free slots first.", "0"),
    Key("notify", NOTIFY, "Webhooks to call when the experiment finishes, fails, pauses, improves, or gets stuck."),
    Key("mlflow", MLFLOW, "An MLflow tracking server to which each trial is logged while the experiment runs."),
    Key("labels", LABELS, "Labels of your own, shown and exported with the experiment."),
    Key("code", CODE, "Which files of the folder are uploaded with the experiment."),
    *PLACING,
)  # fmt: skip

LATER = (
    "nodes", "data", "cost",
)  # fmt: skip

_ALSO = {
    "command": "run", "cmd": "run", "script": "run", "trials": "budget", "n_trials": "budget", "num_trials": "budget",
    "max_trials": "budget", "count": "budget", "workers": "parallelism", "n_jobs": "parallelism",
    "concurrency": "parallelism", "parallel": "parallelism", "params": "parameters", "space": "parameters",
    "search_space": "parameters", "objective": "metrics", "environment": "env", "retries": "retry",
    "artifacts": "keep", "tags": "labels", "algorithm": "engine", "sampler": "engine", "method": "engine",
    "imports": "preload",
    "title": "name", "container": "image", "docker_image": "image", "setup": "install",
    "node_pool": "pool", "checkpoints": "checkpoint", "random_seed": "seed", "stopping": "stop",
    "max_failures": "stop.max_failures", "patience": "stop.patience", "target": "stop.target", "time": "stop.time",
    "constraint": "constraints", "linear_constraints": "constraints", "parameter_constraints": "constraints",
    "warmstart": "warm_start", "history": "warm_start", "previous_runs": "warm_start",
    "mlflow_tracking_uri": "mlflow", "tracking_uri": "mlflow",
    "notifications": "notify", "webhook": "notify", "webhooks": "notify", "slack": "notify", "hooks": "notify",
    "futile": "stop.futile", "pruner": "early_stopping", "pruning": "early_stopping", "scheduler": "early_stopping",
    "gpu": "resources.gpu", "gpus": "resources.gpu", "cpu": "resources.cpu", "cpus": "resources.cpu",
    "memory": "resources.memory", "metric": "metrics",
    # Optuna, Hyperopt, scikit-learn, Ray Tune
    "max_evals": "budget", "n_iter": "budget", "num_samples": "budget", "search_alg": "engine",
    "max_concurrent_trials": "parallelism", "resources_per_trial": "resources", "points_to_evaluate": "try_first",
    # W&B, Katib
    "program": "run", "run_cap": "budget", "early_terminate": "early_stopping", "objectivemetricname": "metrics",
    "maxtrialcount": "budget", "paralleltrialcount": "parallelism", "maxfailedtrialcount": "stop.max_failures",
    "trialtemplate": "run", "earlystopping": "early_stopping",
    # NNI, Determined, SageMaker
    "experimentname": "name", "trialcommand": "run", "searchspace": "parameters", "maxtrialnumber": "budget",
    "trialconcurrency": "parallelism", "maxexperimentduration": "stop.time", "tuner": "engine",
    "assessor": "early_stopping", "trialgpunumber": "resources.gpu", "entrypoint": "run", "searcher": "engine",
    "hyperparameters": "parameters", "max_restarts": "retry", "parameterranges": "parameters",
    "maxnumberoftrainingjobs": "budget", "maxparalleltrainingjobs": "parallelism", "max_jobs": "budget",
    "max_parallel_jobs": "parallelism", "hyperparameter_ranges": "parameters", "strategy": "engine",
}  # fmt: skip

EXPERIMENT = section(KEYS, later=LATER, also=_ALSO)
USER_NAMED = frozenset({"parameters", "metrics", "env", "secrets", "labels"})
"""Sections whose keys are names chosen by the user, which may contain dots."""

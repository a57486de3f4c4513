"""The table of everything that an experiment file may say: parser, JSON Schema and reference all follow from it."""

from __future__ import annotations

from orchestune.config.document.kinds import (
    GRACE,
    MOST_AT_ONCE,
    MOST_TRIALS,
    MOST_TRY_FIRST,
    PRIORITIES,
    TIME,
    Key,
    ValueKind,
    one_of,
    text,
    whole,
)
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import NamedEntry, changed, either, list_of, mapping_of, section
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
from orchestune.config.sections.template import CONFIG
from orchestune.config.sections.tokens import looks_like_a_secret
from orchestune.config.sections.warm_start import WARM_START
from orchestune.domain.search.constraints import LONGEST
from orchestune.domain.search.space import MOST_CONSTRAINTS

CONFIGURATION = mapping_of(
    NamedEntry("a parameter", r"[^\0]+", "it must be the name of a parameter"),
    VALUE,
    "a mapping from parameters to values",
)


_SECRET = "looks like a token or password, which all who see the experiment could read"
_INSTEAD = "leave it out; what a trial needs of that kind stands under `secrets`"


def _read_label(found: Field) -> str | None:
    if not isinstance(found.node, ScalarNode) or len(found.node.text) > 1000:
        found.expected("text of at most 1000 characters")
        return None
    if looks_like_a_secret(found.key.rpartition(".")[2], found.node.text):
        found.wrong(_SECRET, _INSTEAD)
        return None
    return found.node.text


def _read_name(found: Field) -> str | None:
    name = _ANY_NAME.read(found)
    if name is not None and looks_like_a_secret("", name):
        found.wrong(_SECRET, _INSTEAD)
        return None
    return name


LABELS = mapping_of(  # those of orchestune.dev/ mean something to the server: one makes it remove the experiment
    NamedEntry(
        "a label",
        r"(?!orchestune\.dev/)[A-Za-z0-9_./\-]+",
        "letters, digits and _ . / - are allowed, and nothing of orchestune.dev/",
    ),
    ValueKind[str]("text", {"type": ["string", "number", "boolean"], "maxLength": 1000}, _read_label),
    "a mapping from names to texts",
)

_CONSTRAINT = text("a condition such as lr * 2 + momentum <= 1", most=LONGEST)
CONSTRAINTS = either(
    "a condition or a list of conditions",
    scalar=changed(_CONSTRAINT, lambda one: (one,)),
    listing=list_of(_CONSTRAINT, "a list of conditions", least=0, most=MOST_CONSTRAINTS),
)
_ANY_NAME = text(
    "a name of at most 200 characters on one line", r"[^\x00-\x1f\x7f\u0085\u2028\u2029]{1,200}", loose=True
)
_NAME = _ANY_NAME.read_by(_read_name)

KEYS = (
    Key("name", _NAME,
        "What the experiment is called; its handle begins with it.", "the folder's name"),
    Key("run", RUN, "The command of one trial. Text with shell syntax goes to `sh -c`; a list is executed as it stands."
        " `{args}`, `{hydra}` and `{NAME}` are replaced.", required=True),
    Key("parameters", PARAMETERS, "What is varied, and within which bounds.", required=True),
    Key("constraints", CONSTRAINTS, "What every configuration fulfils, such as `lr * 2 + momentum <= 1`. One that is"
        " about a parameter that does not apply holds.", "none"),
    Key("metrics", METRICS, "What is measured; the first one decides what is best, all together the Pareto front.",
        required=True),
    Key("budget", whole(1, MOST_TRIALS), "How many trials finish.", "with `engine: grid` the number of configurations"),
    Key("parallelism", whole(1, MOST_AT_ONCE),
        "How many trials run at the same time at most; with `folds`, how many folds.",
        "1"),
    Key("folds", FOLDS, "In how many parts each trial is measured, for example the folds of a cross-validation. They"
        " run in parallel, each with its `$ORCHESTUNE_FOLD` (from 0) of `$ORCHESTUNE_FOLDS`; what counts is the mean of"
        " their values.", "1"),
    Key("resources", RESOURCES, "What each trial needs; more than that is not started side by side."),
    Key("env", ENV, "Environment variables of the command. Never a token or password."),
    Key("secrets", SECRETS, "Environment variables whose values come from your environment or from files when the"
        " experiment is created, and stand in no record."),
    Key("config", CONFIG, "A configuration file of the folder. Each trial gets a copy with the values of the parameters"
        " at their paths; `{config}` in `run` is the copy."),
    Key("collect", COLLECT, "Where metrics are read that the command does not print in a usual spelling."),
    Key("stdin", one_of(("json", "none")), "What the command reads on its standard input: its parameters as JSON, or"
        " nothing.", "none"),
    Key("preload", PRELOAD, "Installed Python modules, such as `sklearn.svm`, that are imported once for each worker;"
        " each trial is a copy of the process that has imported them. For commands that are Python with a script.",
        "each trial imports for itself"),
    Key("timeout", TIME, "How long one attempt may take; then it is ended and the trial has failed.", "no limit"),
    Key("grace", GRACE, "From SIGTERM to SIGKILL.", "10s"),
    Key("retry", RETRY, "How often a failed trial is tried again before it counts as failed.", "0"),
    Key("stop", STOP, "When the experiment ends before its budget."),
    Key("early_stopping", EARLY_STOPPING, "Which trials are ended before they are through, by the values that they"
        " report on the way.", "all run to their end"),
    Key("try_first", list_of(CONFIGURATION, "a list of configurations", least=0, most=MOST_TRY_FIRST),
        "Configurations that are tried before the engine is asked."),
    Key("warm_start", WARM_START, "Results from elsewhere that the engine learns from before the first trial: of other"
        " experiments, of files (relative to this one), or listed here. They count for nothing else."),
    Key("keep", KEEP, "Files of each trial that are kept."),
    Key("checkpoint", CHECKPOINT, "Publishes `$ORCHESTUNE_CHECKPOINT_DIR`, so that a trial that was interrupted goes on"
        " from there. `true` means every 5 minutes.", "no checkpoints"),
    Key("seed", whole(0, 2**53), "The same seed at parallelism 1 gives the same configurations.", "0"),
    Key("engine", ENGINE, "What suggests configurations; `auto` chooses.", "auto"),
    Key("priority", whole(*PRIORITIES), "Experiments with a higher one get free places first.", "0"),
    Key("notify", NOTIFY, "Who is told when the experiment ends, fails, pauses, finds a value, or stands still."),
    Key("mlflow", MLFLOW, "A tracking server of MLflow that records the experiment while it runs, trial by trial."),
    Key("labels", LABELS, "Your own notes, shown and exported with the experiment."),
    Key("code", CODE, "What of the folder travels with the experiment."),
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
"""The sections whose keys are the user's names, dots included."""

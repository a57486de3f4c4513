"""Validation and atomic creation of experiments."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice

from sqlalchemy.exc import IntegrityError

from orchestune import documents
from orchestune.config.document.kinds import (
    MAX_AT_ONCE,
    MAX_ENTRIES,
    MAX_FOLDS,
    MAX_TRIALS,
    MAX_TRY_FIRST,
    PRIORITIES,
)
from orchestune.domain.lifecycle import ids
from orchestune.domain.lifecycle.states import Desired, ExperimentState
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.warm_start import MAX_COMPARISONS, WarmStart, comparisons, mapped, to_json
from orchestune.domain.specification.annotations import type_problems
from orchestune.domain.specification.experiment import MAX_GRACE_SECONDS, TEST_LABEL, Specification
from orchestune.errors import PROBLEMS_SHOWN, BadInput, Conflict, NotFound, Problem, TooLarge, UsageError
from orchestune.ports.clock import new_id
from orchestune.services import bundles, environments
from orchestune.services.commands.preflight import check_methods, check_workers
from orchestune.services.commands.size_limits import refuse_large, refuse_more_unfinished
from orchestune.services.core import Core
from orchestune.services.execution import trials
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.services.execution.points import MAX_AVERAGED
from orchestune.services.execution.trials import SuggestedTrial
from orchestune.services.memory.signals import ACTING, EXPERIMENTS, SUGGESTING
from orchestune.services.outgoing import store_key, validated_outgoing
from orchestune.services.queries.read_experiments import status_of
from orchestune.services.queries.trial_resources import runs_unscheduled
from orchestune.store import blobs, experiments, warm_starts
from orchestune.store import tracking_runs as tracking
from orchestune.store.experiments import ExperimentRow, NewExperimentRow

_log = logging.getLogger(__name__)

MAX_SECRETS_BYTES = 64 * 1024
"""bytes per experiment: Kubernetes stores them in etcd, which is small and shared"""
MAX_SECRETS_BYTES_PER_PRINCIPAL = 64 * 2**20
"""bytes per principal: etcd holds 2 GiB by default"""
MAX_CONFIGURATION_BYTES = 64 * 1024
"""bytes of a configuration as JSON: each trial stores one, and views list many trials"""

_MAX_IMAGE_CHARS = 500
"""characters, as for experiment files"""
_MAX_LABEL_NAME_CHARS, _MAX_LABEL_CHARS = 200, 1000
"""characters, as for experiment files"""
_MAX_BYTES = 2**60
"""bytes of memory or storage"""
_MIN_CORES_OR_GPUS, _MAX_CORES_OR_GPUS = 0.001, 10**6
"""cores or GPUs of one trial"""
_MAX_FACTOR = 100.0
"""memory factor, as for experiment files"""
_TAKE = re.compile(r"last|best|mean:[1-9][0-9]{0,3}")
"""`take` of a metric, as for experiment files"""
_HANDLE_ATTEMPTS = 5
"""handles tried before creation fails; each has other random characters"""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Owner, origin and secrets of an experiment to create: what `NewExperiment` and reruns have in common."""

    owner: str | None = None
    """None: the caller becomes the owner"""
    folder: str = ""
    """working directory of the submission, as `host:/abs/path`"""
    launch: Mapping[str, object] = field(default_factory=dict)
    """shell environment and code folder of the caller"""
    secrets: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """variables of the caller's shell that trials on this machine inherit, see `environments`"""
    outgoing: Mapping[str, str] = field(default_factory=dict)
    """addresses and secrets of `notify` and `mlflow` by name"""
    idempotency_key: str | None = None
    """Idempotency-Key of the request: a retry with the same key returns the experiment already created"""


@dataclass(frozen=True)
class WarmStartResults:
    """Results fed to the engine before the first trial; `source`: their origin, for display."""

    source: str
    results: Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class InitialTrial:
    """A given first trial, run before any suggestion."""

    parameters: Configuration
    seed: int


@dataclass(frozen=True, kw_only=True)
class NewExperiment(Submission):
    """A submission with its specification, not yet validated: the request of `POST /experiments`.

    Validated, it becomes a `NewExperimentRow`.
    """

    specification: Mapping[str, object]
    cluster: str | None = None
    """None: the server's default"""
    bundle: str | None = None
    """digest of the code"""
    warm_start: WarmStartResults | None = None
    first: InitialTrial | None = None


def create_experiment(core: Core, new: NewExperiment, actor: str, *, principal: str | None = None) -> documents.Status:
    """Create an experiment and return its `Status`.

    `principal`: the authenticated caller, see `ownership`. Raises BadInput if the description is invalid, PolicyRefused
    if the cluster's policy forbids it, Denied if an outgoing address is not allowed, NotFound if the cluster or bundle
    is absent, TooLarge if a part exceeds its limit, Conflict if the unfinished experiments exceed theirs, and
    UsageError if no trial can ever run, a method does not suit the experiment, a secret has no value, or no handle is
    free.
    """
    specification = parse(new.specification)
    cluster = new.cluster or core.default_cluster
    run_preflight(core, specification, cluster, new)
    warm = _warm_start(specification, new.warm_start)
    outgoing = validated_outgoing(core, specification, new.outgoing)
    if new.bundle is not None:
        bundles.need(core, new.bundle)
    first = _initial_trial(specification, new.first)
    return insert_and_queue(
        core,
        specification,
        replace(new, outgoing=outgoing),
        actor,
        cluster=cluster,
        bundle=new.bundle,
        first=first,
        warm=warm,
        principal=principal,
    )


def _initial_trial(specification: Specification, trial: InitialTrial | None) -> SuggestedTrial | None:
    """Return the given first trial as one to queue, None if absent. Raises BadInput if it is not in the space."""
    if trial is None:
        return None
    problems = specification.space.configuration_problems(trial.parameters)
    if problems:
        raise BadInput([replace(problem, key=f"first.{problem.key}") for problem in problems])
    return SuggestedTrial(specification.space.exact(trial.parameters), "user", seed=trial.seed)


def parse(document: Mapping[str, object]) -> Specification:
    """Parse and validate a specification. Raises BadInput with all problems found."""
    try:
        specification = Specification.from_json(document)
    except KeyError as error:
        raise BadInput.one(f"missing key in the specification: {error}") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadInput.one(f"cannot parse the specification: {error}") from error
    problems = [
        replace(problem, key=problem.key.removeprefix("space."))
        for problem in islice(type_problems(specification, Specification), PROBLEMS_SHOWN + 1)
    ]
    if problems:
        raise BadInput(problems)
    _check_list_lengths(specification)
    _check_text_lengths(specification)
    _refuse_large_configurations(specification.space)
    if not specification.metrics:
        problems.append(Problem("at least one metric is needed", key="metrics"))
    problems += _check_numbers(specification)
    problems += [
        Problem(f"must be last, best or mean:K, found {metric.take!r:.100}", key=f"metrics.{metric.name:.100}.take")
        for metric in specification.metrics
        if not _TAKE.fullmatch(metric.take)
    ]
    averaged = sum(metric.counted for metric in specification.metrics if _TAKE.fullmatch(metric.take))
    if averaged > MAX_AVERAGED + len(specification.metrics):
        text = f"average {averaged:,} values together with `take: mean:K` (expected at most {MAX_AVERAGED:,})"
        problems.append(Problem(text, key="metrics"))
    for index, configuration in enumerate(specification.try_first):
        if len(problems) > PROBLEMS_SHOWN:
            break  # each configuration may have a thousand problems
        problems += [
            replace(problem, key=f"try_first[{index}].{problem.key}")
            for problem in specification.space.configuration_problems(configuration)
        ]
    if problems:
        raise BadInput(problems)
    return specification


def _check_numbers(specification: Specification) -> list[Problem]:
    """Return a problem for each number outside its bounds."""
    early_stopping, resources = specification.early_stopping, specification.resources
    numbers: dict[str, tuple[float | None, float, float]] = {
        "budget": (specification.budget, 1, MAX_TRIALS),
        "parallelism": (specification.parallelism, 1, MAX_AT_ONCE),
        "folds": (specification.folds.count, 1, MAX_FOLDS),
        "priority": (specification.priority, *PRIORITIES),
        "grace": (specification.grace, 0, MAX_GRACE_SECONDS),
        "early_stopping.grace": (early_stopping.grace if early_stopping else None, 0, MAX_GRACE_SECONDS),
        "shm": (specification.placement.shm, 0, _MAX_BYTES),
        "resources.memory": (resources.memory, 0, _MAX_BYTES),
        "resources.gpu_memory": (resources.gpu_memory, 0, _MAX_BYTES),
        "memory_factor": (specification.memory_factor, 1, _MAX_FACTOR),
        "keep.best": (specification.keep.best, 0, MAX_TRIALS),
        "keep.limit": (specification.keep.limit, 0, _MAX_BYTES),
    }
    for key, count in (("resources.cpu", resources.cpu), ("resources.gpu", resources.gpu)):
        if count:  # 0: nothing is allocated
            numbers[key] = (count, _MIN_CORES_OR_GPUS, _MAX_CORES_OR_GPUS)
    problems = []
    for key, (number, minimum, maximum) in numbers.items():
        if number is not None and not minimum <= number <= maximum:
            bound = f"at least {minimum}" if number < minimum else f"at most {maximum:,}"
            problems.append(Problem(f"must be {bound}, found {str(number)[:40]}", key=key))
    return problems


def _check_list_lengths(specification: Specification) -> None:
    """Raise BadInput if a list or mapping is too long, as for files: views and controllers iterate over them."""
    for key, entries, maximum in (
        ("metrics", specification.metrics, MAX_ENTRIES),
        ("try_first", specification.try_first, MAX_TRY_FIRST),
        ("env", specification.env, MAX_ENTRIES),
        ("labels", specification.labels, MAX_ENTRIES),
        ("secrets", specification.secrets, MAX_ENTRIES),
        ("preload", specification.preload, MAX_ENTRIES),
        ("notify", specification.notify, MAX_ENTRIES),
        ("collect", specification.collect, MAX_ENTRIES),
        ("keep.patterns", specification.keep.patterns, MAX_ENTRIES),
        ("engine_options", specification.engine_options, MAX_ENTRIES),
    ):
        if len(entries) > maximum:
            raise BadInput.one(f"has {len(entries):,} entries (expected at most {maximum:,})", key)


def _check_text_lengths(specification: Specification) -> None:
    """Raise BadInput if a label or image name is too long, as for experiment files."""
    texts = [(f"labels.{name:.100}", text, _MAX_LABEL_CHARS) for name, text in specification.labels.items()]
    texts += [("labels", name, _MAX_LABEL_NAME_CHARS) for name in specification.labels]
    texts.append(("image", specification.placement.image or "", _MAX_IMAGE_CHARS))
    for key, text, maximum in texts:
        if len(text) > maximum:
            raise BadInput.one(f"has {len(text):,} characters (expected at most {maximum:,})", key)


def _refuse_large_configurations(space: Space) -> None:
    """Raise BadInput if a configuration of the space can take more than `MAX_CONFIGURATION_BYTES`."""
    size = space.configuration_bytes
    if size > MAX_CONFIGURATION_BYTES:
        text = f"a configuration takes up to {size:,} bytes as JSON (expected at most {MAX_CONFIGURATION_BYTES:,})"
        raise BadInput.one(text, "parameters", "give long values short names, which the program maps to them")


def run_preflight(core: Core, specification: Specification, cluster: str, submission: Submission) -> None:
    """Run the preflight checks: cluster, policy, resources of a trial, engine options, early stopping, secrets.

    Raises NotFound if there is no such cluster, PolicyRefused if its policy forbids the trials, TooLarge if a part
    exceeds its limit, BadInput if an environment is sent that no trial inherits, and UsageError if no trial can ever
    run, a method does not suit the experiment, or a secret has no value.
    """
    backend = core.backends.get(cluster)
    if backend is None:
        names = ", ".join(core.backends) or "none"
        raise NotFound(f"there is no cluster '{cluster}'", f"this server has {names}")
    must_fit = not runs_unscheduled(core, cluster, specification)
    for note in check_workers(backend, specification, submission.launch, must_fit=must_fit):
        _log.warning("%s: %s", cluster, note)
    environments.check(core, specification, cluster, submission.environment)
    refuse_large(specification, submission.launch)
    check_methods(specification)
    for key, values in (("secrets", submission.secrets), ("outgoing", submission.outgoing)):
        size = len(json.dumps(dict(values)))
        if size > MAX_SECRETS_BYTES:
            limit = f"expected at most {MAX_SECRETS_BYTES:,}: stopped experiments keep them too"
            text = f"{key}: take {size:,} bytes ({limit})"
            raise TooLarge(text, "pass large ones as files on a volume")
    missing = [secret.name for secret in specification.secrets if secret.name not in submission.secrets]
    if missing:
        raise UsageError(f"no value for the secrets {', '.join(missing)}", "set them in the environment of `run`")


def _refuse_many_secrets(core: Core, principal: str | None, size: int) -> None:
    """Raise TooLarge if secrets of `size` bytes exceed the limit together with the principal's other secrets.

    Finished experiments count too: their secrets are kept until they are purged. Concurrent requests may exceed the
    limit by their own secrets. The only user of an embedded server has no limit.
    """
    if not size or core.single_user:
        return
    with core.store.reading() as session:
        total = experiments.secret_bytes(session, principal) + size
    if total > MAX_SECRETS_BYTES_PER_PRINCIPAL:
        limit = f"expected at most {MAX_SECRETS_BYTES_PER_PRINCIPAL:,}"
        raise TooLarge(
            f"secrets: those of all your experiments would take {total:,} bytes ({limit})",
            "have an owner of the server remove old ones for good: orchestune delete EXPERIMENT --purge",
        )


def _warm_start(specification: Specification, source: WarmStartResults | None) -> WarmStart | None:
    """Map the results to the new space; None if none were given. Raises BadInput if none is usable."""
    if source is None:
        return None
    count = len(source.results)
    if comparisons(count, specification.space, specification.metrics) > MAX_COMPARISONS:
        text = f"has {count:,} results, too many for a space with so many parameters, choices and conditions"
        most = MAX_COMPARISONS // comparisons(1, specification.space, specification.metrics)
        raise BadInput.one(f"{text} (expected at most {most:,})", "warm_start")
    warm = mapped(source.source, source.results, specification.space, specification.metrics)
    if not warm.observations:
        raise BadInput.one("has no usable result", "warm_start", "; ".join(warm.notes))
    return warm


def insert_and_queue(
    core: Core,
    specification: Specification,
    submission: Submission,
    actor: str,
    *,
    cluster: str,
    bundle: str | None,
    rerun_of: str | None = None,
    first: SuggestedTrial | None = None,
    warm: WarmStart | None = None,
    principal: str | None = None,
) -> documents.Status:
    """Insert a validated experiment and queue `first`; for a repeated idempotency key, return the existing one.

    Secrets are stored before the row becomes visible. `rerun_of`: the trial that is rerun, as `handle/number`. Raises
    TooLarge if the principal's secrets exceed their limit, NotFound if the bundle is absent, Conflict if the checkpoint
    of `first` was deleted or the unfinished experiments exceed their limits, and UsageError if no handle is free.
    """
    if submission.idempotency_key:
        with core.store.reading() as session:
            existing = experiments.id_by_idempotency_key(session, submission.idempotency_key)
            if existing is not None:
                return status_of(core, session, experiments.get(session, existing), details=True)
    experiment_id = new_id(core.clock)
    secrets_by_name = {experiment_id: submission.secrets, store_key(experiment_id): submission.outgoing}
    sizes = (submission.environment, *secrets_by_name.values())
    size = sum(len(json.dumps(dict(values))) for values in sizes if values)
    _refuse_many_secrets(core, principal, size)
    new = NewExperimentRow(
        id=experiment_id,
        name=specification.name,
        owner=submission.owner or actor,
        principal=principal,
        secret_bytes=size,
        cluster=cluster,
        folder=submission.folder,
        specification=json.dumps(specification.to_json()),
        launch=json.dumps(submission.launch),
        bundle=bundle,
        program=specification.program,
        rerun_of=rerun_of,
        idempotency_key=submission.idempotency_key,
        budget=specification.budget,
        parallelism=min(specification.parallelism, specification.most_parallelism),
        priority=specification.priority,
        labels=json.dumps(dict(specification.labels)),
        desired=Desired.RUNNING,
        state=ExperimentState.PENDING,
    )
    with ExitStack() as undo:
        for name, secrets in secrets_by_name.items():
            if secrets:
                undo.callback(core.secrets.delete, name)
                core.secrets.put(name, secrets)
        if submission.environment:
            undo.callback(environments.delete, core, experiment_id)
            environments.store(core, experiment_id, submission.environment)
        row = _insert(core, new, actor, first, warm, tracked=_is_tracked(core, specification))
        undo.pop_all()
    core.signals.notify(ACTING, SUGGESTING, EXPERIMENTS, f"events:{row.id}")
    with core.store.reading() as session:
        return status_of(core, session, experiments.get(session, row.id), details=True)


def _is_tracked(core: Core, specification: Specification) -> bool:
    """Return True if a tracking server records the experiment."""
    if TEST_LABEL in specification.labels:
        return False
    return specification.mlflow is not None or core.outgoing.tracker is not None


def _insert(
    core: Core,
    new: NewExperimentRow,
    actor: str,
    first: SuggestedTrial | None,
    warm: WarmStart | None,
    tracked: bool,
) -> ExperimentRow:
    for _ in range(_HANDLE_ATTEMPTS):
        handle = ids.handle(new.name, core.clock.entropy(4))
        try:
            with core.store.transaction() as session:
                if new.bundle is not None and not blobs.use(session, new.bundle):
                    raise bundles.missing(new.bundle)
                if first and first.checkpoint and not blobs.use(session, first.checkpoint["digest"]):
                    raise Conflict(f"the checkpoint of {new.rerun_of} was deleted", "rerun it from the start")
                row = experiments.add(session, new, handle, actor)
                refuse_more_unfinished(session, row)
                ledger = Ledger(session, row, actor)
                ledger.record("experiment_created", {"handle": handle, "budget": row.budget, "name": row.name})
                if tracked:
                    tracking.begin(session, row.id, [tracking.WHOLE])
                if warm is not None:
                    warm_starts.add(
                        session, row.id, warm.source, [to_json(observation) for observation in warm.observations]
                    )
                if first is not None:
                    trials.queue(ledger, [first])
                ledger.close()
                return row
        except IntegrityError:
            continue  # the handle is taken: retry with other random characters
    raise UsageError("no free handle was found", "retry, or use another name")

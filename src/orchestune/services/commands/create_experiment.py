"""Validation and atomic creation of experiments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from json.encoder import encode_basestring_ascii

from sqlalchemy.exc import IntegrityError

from orchestune import documents
from orchestune.config.document.kinds import (
    MOST_AT_ONCE,
    MOST_ENTRIES,
    MOST_FOLDS,
    MOST_TRIALS,
    MOST_TRY_FIRST,
    PRIORITIES,
)
from orchestune.domain.lifecycle import ids
from orchestune.domain.lifecycle.states import Desired, ExperimentState
from orchestune.domain.resources.resources import fits
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.warm_start import WarmStart, mapped, to_json
from orchestune.domain.specification.annotations import misfits
from orchestune.domain.specification.experiment import MOST_GRACE, TEST_LABEL, Specification
from orchestune.engines import registry
from orchestune.errors import PROBLEMS_SHOWN, BadInput, Conflict, NotFound, Problem, TooLarge, UsageError
from orchestune.ports.backend import Guard
from orchestune.ports.clock import new_id
from orchestune.pruners import registry as pruners
from orchestune.services import bundles
from orchestune.services.core import Core
from orchestune.services.execution import trials
from orchestune.services.execution.ledger import Ledger
from orchestune.services.execution.trials import SuggestedTrial
from orchestune.services.memory.signals import ACTING, EXPERIMENTS, SUGGESTING
from orchestune.services.outgoing import settled, store_key
from orchestune.services.queries.read_experiments import status_of
from orchestune.store import blobs, experiments, warm_starts
from orchestune.store import tracking_runs as tracking
from orchestune.store.experiments import ExperimentRow, NewExperimentRow

MOST_SECRETS = 64 * 1024  # bytes per experiment: Kubernetes stores them in etcd, which is small and shared
MOST_SECRETS_OF_ONE = 64 * 2**20  # bytes per principal: etcd holds 2 GiB by default
_MOST_IMAGE = 500  # characters, as for experiment files
_MOST_LABEL_NAME, _MOST_LABEL = 200, 1000  # characters

_MOST_BYTES = 2**60
_LEAST_UNITS, _MOST_UNITS = 0.001, 10**6  # cores or GPUs of one trial
_MOST_FACTOR = 100.0  # as for experiment files
_TAKE = re.compile(r"last|best|mean:[1-9][0-9]{0,5}")  # as for experiment files
_NUMBER_SIZE = 25  # bytes of the longest float as JSON
MOST_CONFIGURATION = 64 * 1024
"""maximum bytes of a configuration as JSON: each trial stores one, and views list many trials"""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Origin, owner and secrets of a new experiment."""

    owner: str | None = None
    """None: the caller becomes the owner"""
    folder: str = ""
    """working directory of the submission, as `host:/abs/path`"""
    launch: Mapping[str, object] = field(default_factory=dict)
    """shell environment and code folder of the caller"""
    secrets: Mapping[str, str] = field(default_factory=dict)
    outgoing: Mapping[str, str] = field(default_factory=dict)
    """addresses and secrets of `notify` and `mlflow` by name"""
    request_key: str | None = None
    """Idempotency-Key of the request: a retry with the same key returns the experiment already created"""


@dataclass(frozen=True)
class WarmResults:
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
    """An experiment as `POST /experiments` describes it."""

    specification: Mapping[str, object]
    cluster: str | None = None
    """None: the server's default"""
    bundle: str | None = None
    """digest of the code"""
    warm_start: WarmResults | None = None
    first: InitialTrial | None = None


def create_experiment(core: Core, new: NewExperiment, actor: str, *, principal: str | None = None) -> documents.Status:
    """Create an experiment and return its `Status`. Raises BadInput if the description is invalid.

    `principal`: the authenticated caller, see `ownership`.
    """
    specification = parse(new.specification)
    cluster = new.cluster or core.default_cluster
    check(core, specification, cluster, new)
    warm = _warm_start(specification, new.warm_start)
    outgoing = settled(core, specification, new.outgoing)
    if new.bundle is not None:
        bundles.need(core, new.bundle)
    first = _first(specification, new.first)
    return add(
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


def _first(specification: Specification, trial: InitialTrial | None) -> SuggestedTrial | None:
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
        raise BadInput.one(f"the specification lacks {error}") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadInput.one(f"the specification cannot be read: {error}") from error
    problems = [
        replace(problem, key=problem.key.removeprefix("space."))
        for problem in islice(misfits(specification, Specification), PROBLEMS_SHOWN + 1)
    ]
    if problems:
        raise BadInput(problems)
    _refuse_long_lists(specification)
    _refuse_long_texts(specification)
    _refuse_large_configurations(specification.space)
    if not specification.metrics:
        problems.append(Problem("at least one metric is needed", key="metrics"))
    rule, each = specification.early_stopping, specification.resources
    numbers: dict[str, tuple[float | None, float, float]] = {
        "budget": (specification.budget, 1, MOST_TRIALS),
        "parallelism": (specification.parallelism, 1, MOST_AT_ONCE),
        "folds": (specification.folds.count, 1, MOST_FOLDS),
        "priority": (specification.priority, *PRIORITIES),
        "grace": (specification.grace, 0, MOST_GRACE),
        "early_stopping.grace": (rule.grace if rule else None, 0, MOST_GRACE),
        "shm": (specification.placement.shm, 0, _MOST_BYTES),
        "resources.memory": (each.memory, 0, _MOST_BYTES),
        "resources.gpu_memory": (each.gpu_memory, 0, _MOST_BYTES),
        "memory_factor": (specification.memory_factor, 1, _MOST_FACTOR),
        "keep.best": (specification.keep.best, 0, MOST_TRIALS),
        "keep.limit": (specification.keep.limit, 0, _MOST_BYTES),
    }
    for key, units in (("resources.cpu", each.cpu), ("resources.gpu", each.gpu)):
        if units:  # 0: nothing is allocated
            numbers[key] = (units, _LEAST_UNITS, _MOST_UNITS)
    for key, (number, least, most) in numbers.items():
        if number is not None and not least <= number <= most:
            bound = f"at least {least}" if number < least else f"at most {most:,}"
            problems.append(Problem(f"must be {bound}, found {str(number)[:40]}", key=key))
    problems += [
        Problem(f"must be last, best or mean:K, found {metric.take!r:.100}", key=f"metrics.{metric.name:.100}.take")
        for metric in specification.metrics
        if not _TAKE.fullmatch(metric.take)
    ]
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


def _refuse_long_lists(specification: Specification) -> None:
    """Raise BadInput if a list or mapping is too long, as for files: views and controllers iterate over them."""
    for key, entries, most in (
        ("metrics", specification.metrics, MOST_ENTRIES),
        ("try_first", specification.try_first, MOST_TRY_FIRST),
        ("env", specification.env, MOST_ENTRIES),
        ("labels", specification.labels, MOST_ENTRIES),
        ("secrets", specification.secrets, MOST_ENTRIES),
        ("preload", specification.preload, MOST_ENTRIES),
        ("notify", specification.notify, MOST_ENTRIES),
        ("collect", specification.collect, MOST_ENTRIES),
        ("keep.patterns", specification.keep.patterns, MOST_ENTRIES),
        ("engine_options", specification.engine_options, MOST_ENTRIES),
    ):
        if len(entries) > most:
            raise BadInput.one(f"has {len(entries):,} entries (expected at most {most:,})", key)


def _refuse_long_texts(specification: Specification) -> None:
    """Raise BadInput if a label or image name is too long, as for experiment files."""
    texts = [(f"labels.{name:.100}", text, _MOST_LABEL) for name, text in specification.labels.items()]
    texts += [("labels", name, _MOST_LABEL_NAME) for name in specification.labels]
    texts.append(("image", specification.placement.image or "", _MOST_IMAGE))
    for key, text, most in texts:
        if len(text) > most:
            raise BadInput.one(f"has {len(text):,} characters (expected at most {most:,})", key)


def _refuse_large_configurations(space: Space) -> None:
    """Raise BadInput if a configuration of the space can take more than `MOST_CONFIGURATION`."""
    size = sum(
        len(encode_basestring_ascii(parameter.name))
        + max((_size(choice) for choice in parameter.choices), default=_NUMBER_SIZE)
        for parameter in space.parameters
    )
    if size > MOST_CONFIGURATION:
        text = f"a configuration takes up to {size:,} bytes as JSON (expected at most {MOST_CONFIGURATION:,})"
        raise BadInput.one(text, "parameters", "give long values short names, which the program maps to them")


def _size(choice: Value) -> int:
    return len(encode_basestring_ascii(choice)) if isinstance(choice, str) else _NUMBER_SIZE


def check(core: Core, specification: Specification, cluster: str, submission: Submission) -> None:
    """Run the preflight checks: cluster, policy, resources of a trial, engine options, early stopping, secrets."""
    backend = core.backends.get(cluster)
    if backend is None:
        known = ", ".join(core.backends) or "none"
        raise NotFound(f"there is no cluster '{cluster}'", f"known here: {known}")
    each = backend.needs(specification.resources, submission.launch)
    placement = specification.placement
    if isinstance(backend, Guard):
        backend.refuse(each, placement, submission.launch)
    backend.check(each, placement)
    capacity, taken = backend.capacity(), backend.takes(each, placement)
    problem = fits(capacity, taken, placement.pool, backend.closed_to(each, placement))
    if problem:
        hint = "name another `pool`, or lower `resources`" if placement.pool else "lower `resources`"
        hint += "" if taken == each else ", or what `pod:` asks for beside them"
        if each.gpu_ids is not None:
            hint += ", or let CUDA_VISIBLE_DEVICES name more cards"
        elif each.gpu and (hides := next((one.hides for one in capacity.machines if one.hides), "")):
            hint += f", or start the server where {hides.partition('=')[0]} names more cards"
        raise UsageError(f"this can never run: {problem}", hint)
    registry.check(specification.engine, specification.engine_options, specification.space, specification.metrics)
    if specification.early_stopping is not None:
        pruners.check(specification.early_stopping, specification.metrics)
    for key, values in (("secrets", submission.secrets), ("outgoing", submission.outgoing)):
        size = len(json.dumps(dict(values)))
        if size > MOST_SECRETS:
            text = f"{key}: take {size:,} bytes (expected at most {MOST_SECRETS:,}: stopped experiments keep them too)"
            raise TooLarge(text, "give large ones as files on a volume")
    missing = [secret.name for secret in specification.secrets if secret.name not in submission.secrets]
    if missing:
        raise UsageError(f"no value came for the secrets {', '.join(missing)}", "set them where you call `run`")


def _refuse_many_secrets(core: Core, principal: str | None, size: int) -> None:
    """Raise TooLarge if secrets of `size` bytes are too many besides those of the principal's other experiments.

    Finished experiments count too: their secrets are kept until they are purged. Concurrent requests may exceed the
    limit by their own secrets. The only user of an embedded server has no limit.
    """
    if not size or core.single_user:
        return
    with core.store.reading() as session:
        total = experiments.secret_bytes(session, principal) + size
    if total > MOST_SECRETS_OF_ONE:
        limit = f"expected at most {MOST_SECRETS_OF_ONE:,}"
        raise TooLarge(
            f"secrets: those of all your experiments would take {total:,} bytes ({limit})",
            "have an owner of the server remove old ones for good: orchestune delete EXPERIMENT --purge",
        )


def _warm_start(specification: Specification, given: WarmResults | None) -> WarmStart | None:
    """Map the results to the new space; None if none were given. Raises BadInput if none is usable."""
    if given is None:
        return None
    made = mapped(given.source, given.results, specification.space, specification.metrics)
    if not made.observations:
        raise BadInput.one("none of its results can be used", "warm_start", "; ".join(made.notes))
    return made


def add(
    core: Core,
    specification: Specification,
    submission: Submission,
    actor: str,
    *,
    cluster: str,
    bundle: str | None,
    origin: str | None = None,
    first: SuggestedTrial | None = None,
    warm: WarmStart | None = None,
    principal: str | None = None,
) -> documents.Status:
    """Insert a validated experiment and queue `first`. Secrets are stored before the row becomes visible."""
    if submission.request_key:
        with core.store.reading() as session:
            made = experiments.made_by(session, submission.request_key)
            if made is not None:
                return status_of(core, session, experiments.get(session, made), details=True)
    identity = new_id(core.clock)
    kept = {identity: submission.secrets, store_key(identity): submission.outgoing}
    size = sum(len(json.dumps(dict(secrets))) for secrets in kept.values() if secrets)
    _refuse_many_secrets(core, principal, size)
    new = NewExperimentRow(
        id=identity,
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
        rerun_of=origin,
        idempotency_key=submission.request_key,
        budget=specification.budget,
        parallelism=min(specification.parallelism, specification.most_parallelism),
        priority=specification.priority,
        labels=json.dumps(dict(specification.labels)),
        desired=Desired.RUNNING,
        state=ExperimentState.PENDING,
    )
    try:
        for name, secrets in kept.items():
            if secrets:
                core.secrets.put(name, secrets)
        row = _insert(core, new, actor, first, warm, tracked=_is_tracked(core, specification))
    except BaseException:
        for name in kept:
            core.secrets.delete(name)
        raise
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
    for _ in range(5):
        handle = ids.handle(new.name, core.clock.entropy(4))
        try:
            with core.store.transaction() as session:
                if new.bundle is not None and not blobs.use(session, new.bundle):
                    raise bundles.missing(new.bundle)
                if first and first.checkpoint and not blobs.use(session, first.checkpoint["digest"]):
                    raise Conflict(f"the checkpoint of {new.rerun_of} is no longer here", "rerun it from the start")
                row = experiments.add(session, new, handle, actor)
                ledger = Ledger(session, row, actor)
                ledger.record("experiment_created", {"handle": handle, "budget": row.budget, "name": row.name})
                if tracked:
                    tracking.begin(session, row.id, [tracking.WHOLE])
                if warm is not None:
                    warm_starts.add(session, row.id, warm.source, [to_json(seen) for seen in warm.observations])
                if first is not None:
                    trials.queue(ledger, [first])
                ledger.close()
                return row
        except IntegrityError:
            continue  # the handle is taken: retry with other random characters
    raise UsageError("no free handle was found", "try again, or use another name")

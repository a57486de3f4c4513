"""A new experiment: checked as a whole, then there as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy.exc import IntegrityError

from orchestune.config.kinds import MOST_AT_ONCE, MOST_ENTRIES, MOST_FOLDS, MOST_TRIALS, MOST_TRY_FIRST, PRIORITIES
from orchestune.domain import ids
from orchestune.domain.annotations import misfits
from orchestune.domain.experiment import MOST_GRACE, TEST_LABEL, Specification
from orchestune.domain.resources import fits
from orchestune.domain.states import Desired, ExperimentState
from orchestune.domain.warm_start import WarmStart, mapped, to_json
from orchestune.engines import registry
from orchestune.errors import PROBLEMS_SHOWN, BadInput, Conflict, NotFound, Problem, UsageError
from orchestune.ports.backend import Guard
from orchestune.ports.clock import new_id
from orchestune.pruners import registry as pruners
from orchestune.services import bundles, trials
from orchestune.services.core import Core
from orchestune.services.ledger import Ledger
from orchestune.services.outgoing import settled, store_key
from orchestune.services.read_experiments import document
from orchestune.services.signals import ACTING, EXPERIMENTS, SUGGESTING
from orchestune.services.trials import Suggestion
from orchestune.store import blobs, experiments, warm_starts
from orchestune.store import tracked as tracking
from orchestune.store.experiments import ExperimentRow

_MOST_BYTES = 2**60
_MOST_UNITS = 10**6  # cores or GPUs of one trial


def create_experiment(
    core: Core, body: Mapping[str, Any], actor: str, *, principal: str | None = None
) -> dict[str, Any]:
    """Create what `POST /experiments` describes and return its `Status`. BadInput where the description is wrong.

    `principal`: the authenticated caller, see `ownership`.
    """
    specification = parse(body.get("specification") or {})
    cluster = str(body.get("cluster") or core.default_cluster)
    check(core, specification, cluster, body)
    warm = _warm_start(specification, body.get("warm_start"))
    outgoing = settled(core, specification, body.get("outgoing") or {})
    bundle = body.get("bundle")
    if bundle is not None:
        bundles.need(core, bundle)
    first = _first(specification, body.get("first"))
    body = {**body, "outgoing": outgoing}
    return add(
        core,
        specification,
        body,
        actor,
        cluster=cluster,
        bundle=bundle,
        first=first,
        warm=warm,
        principal=principal,
    )


def _first(specification: Specification, document: Mapping[str, Any] | None) -> Suggestion | None:
    if document is None:
        return None
    problems = specification.space.configuration_problems(document["parameters"])
    if problems:
        raise BadInput([replace(problem, key=f"first.{problem.key}") for problem in problems])
    return Suggestion(specification.space.exact(document["parameters"]), "user", seed=document["seed"])


def parse(document: Mapping[str, Any]) -> Specification:
    """A specification from JSON; every mistake as `BadInput`."""
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
        "resources.cpu": (each.cpu, 0, _MOST_UNITS),
        "resources.memory": (each.memory, 0, _MOST_BYTES),
        "resources.gpu": (each.gpu, 0, _MOST_UNITS),
        "resources.gpu_memory": (each.gpu_memory, 0, _MOST_BYTES),
    }
    for key, (number, least, most) in numbers.items():
        if number is not None and not least <= number <= most:
            bound = f"at least {least}" if number < least else f"at most {most:,}"
            problems.append(Problem(f"must be {bound}, found {str(number)[:40]}", key=key))
    for index, configuration in enumerate(specification.try_first):
        if len(problems) > PROBLEMS_SHOWN:
            break  # each configuration may lack a thousand parameters
        problems += [
            replace(problem, key=f"try_first[{index}].{problem.key}")
            for problem in specification.space.configuration_problems(configuration)
        ]
    if problems:
        raise BadInput(problems)
    return specification


def _refuse_long_lists(specification: Specification) -> None:
    """BadInput for lists and mappings that no experiment file may have: views and controllers walk through them."""
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


def check(core: Core, specification: Specification, cluster: str, body: Mapping[str, Any]) -> None:
    """What can be known now to go wrong later: the cluster, what a trial needs, the engine's options, the secrets.

    `body`: the request, of which `launch` and `secrets` count.
    """
    backend = core.backends.get(cluster)
    if backend is None:
        known = ", ".join(core.backends) or "none"
        raise NotFound(f"there is no cluster '{cluster}'", f"known here: {known}")
    each = backend.needs(specification.resources, body.get("launch") or {})
    placement = specification.placement
    if isinstance(backend, Guard):
        backend.refuse(each, placement, body.get("launch") or {})
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
    missing = [secret.name for secret in specification.secrets if secret.name not in (body.get("secrets") or {})]
    if missing:
        raise UsageError(f"no value came for the secrets {', '.join(missing)}", "set them where you call `run`")


def _warm_start(specification: Specification, found: Mapping[str, Any] | None) -> WarmStart | None:
    """BadInput where results came of which none can be used."""
    if not found:
        return None
    made = mapped(found["source"], found["results"], specification.space, specification.metrics)
    if not made.observations:
        raise BadInput.one("none of its results can be used", "warm_start", "; ".join(made.notes))
    return made


def add(
    core: Core,
    specification: Specification,
    body: Mapping[str, Any],
    actor: str,
    *,
    cluster: str,
    bundle: str | None,
    origin: str | None = None,
    first: Suggestion | None = None,
    warm: WarmStart | None = None,
    principal: str | None = None,
) -> dict[str, Any]:
    """Insert a checked experiment; `first` is queued with it. Secrets are kept before the row is there, not after.

    `request_key` in the body is the request's Idempotency-Key: the same one again finds the experiment that it made.
    """
    if request_key := body.get("request_key"):
        with core.store.reading() as session:
            made = experiments.made_by(session, request_key)
            if made is not None:
                return document(core, session, experiments.get(session, made), details=True)
    identity = new_id(core.clock)
    kept = {identity: body.get("secrets"), store_key(identity): body.get("outgoing")}
    values = {
        "id": identity,
        "name": specification.name,
        "owner": str(body.get("owner") or actor),
        "principal": principal,
        "cluster": cluster,
        "folder": str(body.get("folder") or ""),
        "specification": json.dumps(specification.to_json()),
        "launch": json.dumps(body.get("launch") or {}),
        "bundle": bundle,
        "origin": origin,
        "request_key": request_key,
        "budget": specification.budget,
        "parallelism": min(specification.parallelism, specification.most_parallelism),
        "priority": specification.priority,
        "labels": json.dumps(dict(specification.labels)),
        "desired": Desired.RUNNING,
        "state": ExperimentState.PENDING,
    }
    try:
        for name, secrets in kept.items():
            if secrets:
                core.secrets.put(name, secrets)
        row = _insert(core, values, actor, first, warm, tracked=_is_tracked(core, specification))
    except BaseException:
        for name in kept:
            core.secrets.delete(name)
        raise
    core.signals.notify(ACTING, SUGGESTING, EXPERIMENTS, f"events:{row.id}")
    with core.store.reading() as session:
        return document(core, session, experiments.get(session, row.id), details=True)


def _is_tracked(core: Core, specification: Specification) -> bool:
    """Whether a tracking server records it."""
    if TEST_LABEL in specification.labels:
        return False
    return specification.mlflow is not None or core.outgoing.tracker is not None


def _insert(
    core: Core,
    values: dict[str, Any],
    actor: str,
    first: Suggestion | None,
    warm: WarmStart | None,
    tracked: bool,
) -> ExperimentRow:
    for _ in range(5):
        handle = ids.handle(values["name"], core.clock.entropy(4))
        try:
            with core.store.transaction() as session:
                if values["bundle"] is not None and not blobs.use(session, values["bundle"]):
                    raise bundles.missing(values["bundle"])
                if first and first.checkpoint and not blobs.use(session, first.checkpoint["digest"]):
                    raise Conflict(f"the checkpoint of {values['origin']} is no longer here", "rerun it from the start")
                row = experiments.add(session, values | {"handle": handle, "created_at": session.now}, actor)
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
            continue  # the four characters are taken: others then
    raise UsageError("no free handle was found", "try again, or use another name")

"""Outgoing connections of experiments: webhooks and tracking servers, set by the server or by users.

The users' addresses and secrets live in the secret store; no record contains them.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestune.domain.specification.experiment import Specification
from orchestune.domain.specification.notify import Hook, is_address
from orchestune.domain.specification.tracker import Tracker
from orchestune.errors import UsageError
from orchestune.outgoing.destinations import parse
from orchestune.outgoing.mlflow import authorization
from orchestune.services.core import Core
from orchestune.store.notifications import SERVER


def store_key(experiment: str) -> str:
    """Return the secret store's key for an experiment's addresses; workers never get what is stored below it."""
    return f"{experiment}-outgoing"


def validated_outgoing(core: Core, specification: Specification, resolved: Mapping[str, str]) -> dict[str, str]:
    """Return the validated addresses and secrets of a specification, keyed by names such as `notify.0.url`.

    `resolved`: values from the caller's machine. Raises UsageError if a value is missing, BadInput or Denied if an
    address is invalid or not allowed.
    """
    sources: dict[str, str] = {}
    for index, hook in enumerate(specification.notify):
        sources[f"notify.{index}.url"] = hook.url
        sources |= {f"notify.{index}.secret": hook.secret} if hook.secret else {}
    if specification.mlflow is not None:
        sources["mlflow.uri"] = specification.mlflow.uri
        sources |= {"mlflow.token": specification.mlflow.token} if specification.mlflow.token else {}
    values = {name: resolved.get(name) or (source if is_address(source) else "") for name, source in sources.items()}
    missing = [f"{name} ({sources[name]})" for name, value in values.items() if not value]
    if missing:
        raise UsageError(
            f"no value for {', '.join(missing)}", "set them in the environment of `run`; they must not be empty"
        )
    for name, value in values.items():
        if name.endswith((".url", ".uri")):
            parse(value, name)
            core.outgoing.reach.check(value, name)
        if name.endswith(".token"):
            authorization(value, name)
    return values


def hook_of(core: Core, specification: Specification, experiment: str, name: str) -> Hook | None:
    """Return the hook `name` with its resolved address and secret; None if absent or deleted."""
    if name == SERVER:
        return core.outgoing.hook
    values = core.secrets.get(store_key(experiment))
    hooks, index = specification.notify, int(name)
    url = values.get(f"notify.{name}.url")
    if url is None or index >= len(hooks):
        return None
    hook = hooks[index]
    return Hook(url, values.get(f"notify.{name}.secret", ""), hook.on, hook.better, hook.stuck, hook.format)


def tracker_of(core: Core, specification: Specification, experiment: str) -> Tracker | None:
    """Return the experiment's tracking server with resolved values; the default is the one of the server."""
    own = specification.mlflow
    if own is None:
        return core.outgoing.tracker
    values = core.secrets.get(store_key(experiment))
    uri = values.get("mlflow.uri")
    return Tracker(uri, values.get("mlflow.token", ""), own.experiment) if uri is not None else None

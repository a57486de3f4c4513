"""Where a server sends something of its experiments: settings of it, and what users name, which no record has."""

from __future__ import annotations

from collections.abc import Mapping

from orchestune.domain.experiment import Specification
from orchestune.domain.notify import Hook, is_address
from orchestune.domain.tracker import Tracker
from orchestune.errors import UsageError
from orchestune.outgoing.mlflow import authorization
from orchestune.outgoing.reach import parse
from orchestune.services.core import Core
from orchestune.store.notices import SERVER


def store_key(experiment: str) -> str:
    """Under which name the secret store has an experiment's addresses: apart from the secrets that workers get."""
    return f"{experiment}-outgoing"


def settled(core: Core, specification: Specification, given: Mapping[str, str]) -> dict[str, str]:
    """The addresses and secrets of a specification by name, such as `notify.0.url`, checked.

    `given` has those that the caller's machine knew alone. BadInput, Denied, UsageError where one is missing.
    """
    wanted: dict[str, str] = {}
    for index, hook in enumerate(specification.notify):
        wanted[f"notify.{index}.url"] = hook.url
        wanted |= {f"notify.{index}.secret": hook.secret} if hook.secret else {}
    if specification.mlflow is not None:
        wanted["mlflow.uri"] = specification.mlflow.uri
        wanted |= {"mlflow.token": specification.mlflow.token} if specification.mlflow.token else {}
    found = {name: given.get(name) or (source if is_address(source) else "") for name, source in wanted.items()}
    missing = [f"{name} ({wanted[name]})" for name, value in found.items() if not value]
    if missing:
        raise UsageError(
            f"no value came for {', '.join(missing)}", "set them where you call `run`; an empty one is none"
        )
    for name, value in found.items():
        if name.endswith((".url", ".uri")):
            parse(value, name)
            core.outgoing.reach.check(value, name)
        if name.endswith(".token"):
            authorization(value, name)
    return found


def hook_of(core: Core, specification: Specification, experiment: str, name: str) -> Hook | None:
    """The hook of that name with the values themselves; None where there is none, or no longer."""
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
    """The tracking server of an experiment, its own before the server's, with the values themselves."""
    own = specification.mlflow
    if own is None:
        return core.outgoing.tracker
    values = core.secrets.get(store_key(experiment))
    uri = values.get("mlflow.uri")
    return Tracker(uri, values.get("mlflow.token", ""), own.experiment) if uri is not None else None

"""The environment that trials on this machine inherit from the shell that started their experiment.

It is kept apart from the record, as secrets are, and deleted when the experiment ends. Values that look like tokens or
passwords are stored apart from the others, since workers and the server mask them in texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from orchestune.config.sections.tokens import looks_like_a_secret
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput, TooLarge
from orchestune.services.core import Core

MAX_ENVIRONMENT_BYTES = 2**18
"""bytes per experiment, as for the part of the environment that is stored with the record"""
_MASKED = "-masked"
"""suffix of the store's keys for the values that are masked"""


def check(core: Core, specification: Specification, cluster: str, values: Mapping[str, str]) -> None:
    """Raise BadInput if trials in the cluster inherit no environment, TooLarge if it exceeds its limit."""
    if not values:
        return
    backend = core.backends.get(cluster)  # None for an imported experiment of another server
    if core.environments is None or backend is None or backend.name != "local":
        raise BadInput.one(f"trials in '{cluster}' inherit no environment", "environment", "use `env` and `secrets`")
    if not specification.inherit_env:
        raise BadInput.one("sent although `env` has `inherit: false`", "environment", "leave it out")
    size = len(json.dumps(dict(values)))
    if size > MAX_ENVIRONMENT_BYTES:
        text = f"environment: {size:,} bytes as JSON (expected at most {MAX_ENVIRONMENT_BYTES:,})"
        raise TooLarge(text, "unset large variables, or turn it off with `env: {inherit: false}`")


def store(core: Core, experiment: str, values: Mapping[str, str]) -> None:
    """Store a checked environment; it replaces that of an earlier start."""
    if core.environments is None:
        return
    masked = {name: value for name, value in values.items() if looks_like_a_secret(name, value)}
    core.environments.put(experiment + _MASKED, masked)
    core.environments.put(experiment, {name: value for name, value in values.items() if name not in masked})


def delete(core: Core, experiment: str) -> None:
    """Delete the environment of an experiment, if any. Idempotent."""
    if core.environments is not None:
        core.environments.delete(experiment)
        core.environments.delete(experiment + _MASKED)


def stored(core: Core) -> frozenset[str]:
    """Return the experiments whose environments are stored."""
    names = () if core.environments is None else core.environments.names()
    return frozenset(name.removesuffix(_MASKED) for name in names)


def whole(core: Core, experiment: str) -> dict[str, str]:
    """Return all variables; empty if none are stored."""
    return {**_get(core, experiment), **_get(core, experiment + _MASKED)}


def plain(core: Core, experiment: str) -> dict[str, str]:
    """Return the variables that are not masked."""
    return _get(core, experiment)


def secrets_of(core: Core, experiment: str) -> dict[str, str]:
    """Return the secrets of an experiment: those of its specification, and the masked variables that it inherits."""
    return {**_get(core, experiment + _MASKED), **core.secrets.get(experiment)}


def _get(core: Core, name: str) -> dict[str, str]:
    return {} if core.environments is None else core.environments.get(name)

"""Reads a kubeconfig with the official client, login programs included, and says what is wrong with it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from orchestune.errors import Denied, UsageError


def load(kubeconfig: str | None, context: str | None, environ: Mapping[str, str] = os.environ) -> Any:
    """The official client's configuration for `context` (None: the current one) of the file or files `kubeconfig`.

    None: those that KUBECONFIG names, else ~/.kube/config. Runs the login program that stands there. UsageError where
    file or context are missing or wrong, Denied where the login program fails. Costs half a second at the first call.
    """
    import kubernetes  # its import takes nearly all of that half second
    from kubernetes.config.config_exception import ConfigException

    named = kubeconfig or environ.get("KUBECONFIG") or "~/.kube/config"
    paths = [os.path.expanduser(path) for path in named.split(os.pathsep) if path]
    if not any(os.path.exists(path) for path in paths):
        raise UsageError(f"there is no kubeconfig at {named}", "name one with --kubeconfig, or set KUBECONFIG")
    configuration = kubernetes.client.Configuration()
    heard = _Heard()
    logging.getLogger().addHandler(heard)  # a login program that fails is only logged there
    try:
        kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
            os.pathsep.join(paths), context, configuration
        )
    except ConfigException as exc:
        raise _refused(named, context, str(exc)) from exc
    except Exception as exc:  # a file of another shape fails in any way, with each parser's own errors
        raise UsageError(f"the kubeconfig {named} cannot be used: {exc}", "mend it, or name another one") from exc
    finally:
        logging.getLogger().removeHandler(heard)
    if heard.said:
        raise Denied(
            f"the login program of the kubeconfig {named} fails: {heard.said[-1].removeprefix('exec: ')}",
            "log in to the cluster again; `kubectl get pods` has to work there",
        )
    configuration.retries = False  # it is decided here what is repeated
    return configuration


def _refused(named: str, context: str | None, why: str) -> UsageError:
    wanted = f" has no context '{context}' that can be used" if context else " cannot be used"
    return UsageError(
        f"the kubeconfig {named}{wanted}: {why}",
        "`kubectl config get-contexts` lists what is there; `orchestune cluster connect` chooses with --context",
    )


class _Heard(logging.Handler):
    """What was logged as an error meanwhile."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())

"""The API server of a cluster, as the Orchestune server uses it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.kubeapi.client import ApiServer, RequestPolicy
from orchestune.kubeapi.endpoint import Endpoint
from orchestune.kubeapi.errors import ApiCaller, Unauthenticated
from orchestune.kubeapi.kubeconfig import load
from orchestune.kubeapi.pod_account import of_this_pod

_POLICY = RequestPolicy(connections=16, login_interval=30.0, outage_pause=1.0)
_SERVER = ApiCaller(
    "the server",
    lambda remedy: Unauthenticated("the cluster's API server does not know the token", "is its ServiceAccount there?"),
    lambda verb, resource: f"grant its ServiceAccount the verb `{verb}` on `{resource}`",
    is_retrying=True,
)


def connect(config: KubernetesConfig) -> ApiServer:
    """Connect with the pod's service account, or with a kubeconfig if one is configured. Raises UsageError."""
    if config.kubeconfig or config.context:
        return as_server(partial(load, config.kubeconfig, config.context))
    return as_server(of_this_pod)


def as_server(load: Callable[[], Endpoint]) -> ApiServer:
    """Return the API server at an endpoint, with errors for the log of the Orchestune server."""
    api = ApiServer(load, _SERVER, _POLICY)
    api.open()
    return api

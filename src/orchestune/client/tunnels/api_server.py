"""The API server of a Kubernetes cluster, as a user's tunnel to the Orchestune server in it uses it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

from orchestune.client.clusters import ConnectedCluster
from orchestune.errors import Denied
from orchestune.kubeapi.client import ApiServer, RequestPolicy
from orchestune.kubeapi.errors import ApiCaller
from orchestune.kubeapi.kubeconfig import load

_POLICY = RequestPolicy(read_timeout=15.0, max_idle=3.0)


def api_server(cluster: ConnectedCluster, environ: Mapping[str, str] = os.environ) -> ApiServer:
    """Return the API server of a connected cluster. The kubeconfig is read at the first request, and again after a 401.

    An untrusted certificate raises Denied, so that the client does not retry.
    """
    return ApiServer(partial(load, cluster.kubeconfig, cluster.context, environ), _user(cluster.name), _POLICY)


def _user(cluster: str) -> ApiCaller:
    return ApiCaller(
        "you",
        lambda remedy: Denied(
            f"the cluster '{cluster}' does not accept your login: it has expired, or belongs to another cluster",
            remedy,
        ),
        lambda verb, resource: (
            "ask its administrator for one of the Roles orchestune-viewer, orchestune-editor and orchestune-owner of "
            f"that namespace, or for the verb `{verb}` on `{resource}`"
        ),
        f"cluster '{cluster}'",
        network_hint="check the network and the VPN: `kubectl get pods` must work",
        certificate_error=Denied,
    )

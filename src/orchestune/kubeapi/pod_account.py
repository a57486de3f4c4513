"""The API server of the surrounding cluster, with the service account of this pod."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from orchestune.errors import UsageError
from orchestune.kubeapi.endpoint import Endpoint
from orchestune.kubeapi.logins import TokenFile
from orchestune.kubeapi.proxies import proxy_for
from orchestune.kubeapi.tls import trusting

FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def of_this_pod(environ: Mapping[str, str] = os.environ, folder: Path = FOLDER) -> Endpoint:
    """Return the API server. Raises UsageError outside of a pod, or if the pod has no service account."""
    name, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not name or not port:
        raise UsageError("this program runs in no pod of Kubernetes", "name a kubeconfig")
    host = f"https://[{name}]:{port}" if ":" in name else f"https://{name}:{port}"
    try:
        tls = trusting({"certificate-authority": "ca.crt"}, folder)
        (folder / "token").read_bytes()
    except (OSError, ValueError) as exc:
        raise UsageError(f"this pod's account cannot be used for the cluster: {exc}") from exc
    return Endpoint(host, TokenFile(folder / "token").headers, tls, None, proxy_for(host, None, environ))

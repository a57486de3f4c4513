"""Detection of namespaces where pods must not run as root, by labels or by a rejected pod."""

from __future__ import annotations

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.runtime_delivery import ApiClient
from orchestune.backends.kubernetes.observation.worker_state import NonRoot
from orchestune.errors import Denied, NotFound
from orchestune.kubeapi.labels import is_restricted


class Security:
    """Reads the namespace once; a server without that right learns from the first rejection."""

    def __init__(self, api: ApiClient, config: KubernetesConfig) -> None:
        self._api, self._config = api, config
        self._is_restricted = config.restricted
        self._experiments: set[str] = set()

    def restricted(self, experiment: str = "") -> bool:
        """Return True if pods (of that experiment) must declare that they do not run as root. Raises TemporaryError."""
        if self._is_restricted is None:
            try:
                namespace = self._api.call("GET", f"/api/v1/namespaces/{self._config.namespace}")
            except (Denied, NotFound):
                self._is_restricted = False
            else:
                self._is_restricted = is_restricted(namespace)
        return self._is_restricted or experiment in self._experiments

    def learn(self, non_root: NonRoot, experiment: str) -> bool:
        """Record a rejection of one of the experiment's pods. Return True if its next pod will be different."""
        if non_root is NonRoot.UNKNOWN or self._config.restricted is not None or self.restricted(experiment):
            return False
        if non_root is NonRoot.NAMESPACE:
            self._is_restricted = True
        else:
            self._experiments.add(experiment)
        return True

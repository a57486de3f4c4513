"""Whether the namespace lets pods run as root: by its labels, or by what it refused."""

from __future__ import annotations

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.delivering import Caller
from orchestune.errors import Denied, NotFound
from orchestune.kubeapi.labels import is_restricted


class Security:
    """Asks once; a server without the right to see its namespace learns from the first refusal."""

    def __init__(self, api: Caller, config: KubernetesConfig) -> None:
        self._api, self._config = api, config
        self._known = config.restricted

    def restricted(self) -> bool:
        """Whether pods must say that they do not run as root. TemporaryError."""
        if self._known is None:
            try:
                found = self._api.call("GET", f"/api/v1/namespaces/{self._config.namespace}")
            except (Denied, NotFound):
                self._known = False
            else:
                self._known = is_restricted(found)
        return self._known

    def learn(self, words: str) -> bool:
        """From the words of a refusal; whether the next pod will be another one than that which was refused."""
        if self._config.restricted is not None or self._known or "runAsNonRoot" not in words:
            return False
        self._known = True
        return True

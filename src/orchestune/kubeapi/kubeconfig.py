"""Parsing of kubeconfigs: API server and login of a context, with readable errors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestune.errors import UsageError
from orchestune.kubeapi.eks import REMEDY
from orchestune.kubeapi.endpoint import Endpoint
from orchestune.kubeapi.impersonation import impersonation
from orchestune.kubeapi.logins import Fixed, login
from orchestune.kubeapi.proxies import proxy_for
from orchestune.kubeapi.tls import trusting

DEFAULT_PATH = "~/.kube/config"
_NO_TLS = "the server in the kubeconfig {} is an http:// URL, to which no login is sent: use its https:// URL"


@dataclass(frozen=True)
class KubeconfigEntry:
    """A context, a cluster or a user."""

    folder: Path
    """base of its relative paths"""
    values: Mapping[str, Any]


@dataclass
class Kubeconfig:
    """One file, or several merged with precedence for the first, as in `kubectl`."""

    named: str
    current: str = ""
    contexts: dict[str, KubeconfigEntry] = field(default_factory=dict)
    clusters: dict[str, KubeconfigEntry] = field(default_factory=dict)
    users: dict[str, KubeconfigEntry] = field(default_factory=dict)

    @classmethod
    def read(cls, kubeconfig: str | None, environ: Mapping[str, str] = os.environ) -> Kubeconfig:
        """Read `kubeconfig`; if None, KUBECONFIG or ~/.kube/config. Raises UsageError if it is invalid."""
        import yaml  # imported on demand, only for clusters

        merged = cls(kubeconfig or environ.get("KUBECONFIG") or DEFAULT_PATH)
        paths = [Path(os.path.expanduser(path)) for path in merged.named.split(os.pathsep) if path]
        paths = [path for path in paths if path.exists()]
        if not paths:
            raise UsageError(
                f"there is no kubeconfig at {merged.named}", "name one with --kubeconfig, or set KUBECONFIG"
            )
        for path in paths:
            try:
                merged._add(path)
            except (OSError, AttributeError, LookupError, TypeError, ValueError, RecursionError, yaml.YAMLError) as exc:
                raise merged.unusable(exc) from exc
        return merged

    def context(self, name: str | None) -> tuple[str, Mapping[str, Any]]:
        """Return name and content of a context (None: the current one). Raises UsageError if absent."""
        selected = name or self.current
        if selected in self.contexts:
            return selected, self.contexts[selected].values
        problem = (
            f"has no context '{selected}'" if selected else "does not say which of its contexts is the current one"
        )
        names = ", ".join(sorted(self.contexts)) or "none"
        raise UsageError(f"the kubeconfig {self.named} {problem}", f"it has {names}; --context chooses one")

    def server(self, context: str | None) -> str:
        """Return the URL of a context's API server, without a trailing slash. Raises UsageError if absent."""
        name, selected = self.context(context)
        try:
            host = str(self.clusters[str(selected.get("cluster"))].values["server"]).rstrip("/")
        except KeyError as exc:
            raise self.unusable(f"it has no {exc}, which its context '{name}' needs") from exc
        except (AttributeError, TypeError) as exc:
            raise self.unusable(exc) from exc
        scheme, separator, rest = host.partition("://")
        if "@" in (rest or scheme).partition("/")[0]:
            raise self.unusable("the URL of its API server contains a user name or password")
        return f"{scheme.lower()}://{rest}" if separator else f"https://{host}"

    def unusable(self, why: object) -> UsageError:
        """Return an error with the reason why the kubeconfig is unusable."""
        return UsageError(f"the kubeconfig {self.named} cannot be used: {why}", "correct it, or name another one")

    def _add(self, path: Path) -> None:
        import yaml  # imported on demand, only for clusters

        document = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
        self.current = self.current or str(document.get("current-context") or "")
        folder = path.absolute().parent
        for kind, target in (("context", self.contexts), ("cluster", self.clusters), ("user", self.users)):
            for item in document.get(f"{kind}s") or ():
                target.setdefault(str(item["name"]), KubeconfigEntry(folder, item.get(kind) or {}))


def load(kubeconfig: str | None, context: str | None, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Return the API server of a context. Runs the login program that the kubeconfig configures.

    Without TLS nothing is logged in, as in kubectl: anybody on the way, or on the port of a `kubectl proxy` that ended,
    could read the token. Raises UsageError if the file or context is missing or invalid, Denied if the login program
    fails.
    """
    merged = Kubeconfig.read(kubeconfig, environ)
    (name, selected), host = merged.context(context), merged.server(context)
    try:
        cluster = merged.clusters[str(selected.get("cluster"))]
        user = merged.users[str(selected["user"])] if selected.get("user") else KubeconfigEntry(cluster.folder, {})
        proxy = proxy_for(host, cluster.values.get("proxy-url"), environ)
        if not host.startswith("https://"):
            return Endpoint(host, Fixed({}).headers, proxy=proxy, remedy=_NO_TLS.format(merged.named))
        account = login(user.values, user.folder, cluster.values, merged.named)
        impersonation_headers = impersonation(user.values)
        tls = trusting(cluster.values, cluster.folder, account.certificate())
    except KeyError as exc:
        raise merged.unusable(f"it has no {exc}, which its context '{name}' needs") from exc
    except (AttributeError, OSError, TypeError, ValueError) as exc:
        raise merged.unusable(exc) from exc
    remedy = REMEDY if user.values.get("eks") else Endpoint.remedy
    headers = account.headers
    if impersonation_headers:
        headers = lambda: {**account.headers(), **impersonation_headers}
    return Endpoint(host, headers, tls, cluster.values.get("tls-server-name") or None, proxy, remedy)

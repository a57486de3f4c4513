"""Connection settings of a cluster, stored in the cluster as a ConfigMap."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from orchestune.domain.access.allowances import Allowances
from orchestune.domain.access.allowances import parse as parse_allowance
from orchestune.domain.clusters.builtin import BUILTIN_CLUSTERS
from orchestune.domain.resources.resources import parse_bytes
from orchestune.errors import BadInput, OrchestuneError, Problem, UsageError
from orchestune.images.registries.manifests import Platform
from orchestune.images.registries.reference import parse
from orchestune.kubeapi.forwarding import SERVER_ACCOUNT
from orchestune.kubeapi.labels import POOL
from orchestune.kubeapi.stored_settings import CONFIG_MAP

MANAGER = "orchestune"
"""field manager for server-side apply"""

SERVER = SERVER_ACCOUNT
SERVICE = "orchestune"
DATA = "orchestune-data"
CONFIG = CONFIG_MAP
WORKER = "orchestune-worker"
PORT = 8470
RETIREMENT = "retirement.json"
SETTINGS = "connection.json"
"""key of the ConfigMap entry that holds these settings"""
AUTHORITIES = "ca.crt"
"""key of the ConfigMap entry that holds the certificates of `--ca`"""

_CLAIM = "claim:"
_UNPROXIED = ("localhost", "127.0.0.1", ".svc", ".cluster.local", "kubernetes.default")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUALIFIED = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PASSWORD = re.compile(r"^(?:[a-z0-9]+://)?[^/@]*:[^/@]*@")
_SIZE = re.compile(r"\d+(\.\d+)?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
"""Kubernetes quantities"""
_OPTIONAL = (
    "registry", "default_image", "claim", "files", "retention", "env_secret", "proxy", "no_proxy", "retirement",
)  # fmt: skip
"""optional settings: an empty value unsets them. `storage_class` is not listed: empty selects claims without a class"""


@dataclass(frozen=True)
class ConnectionSettings:
    """Settings of one server in one namespace. Contains no secrets."""

    name: str
    namespace: str
    server_image: str = ""
    """full reference with digest; empty until known"""
    version: str = ""
    """version of the server in `server_image`"""
    registry: str | None = None
    """registry that images are pushed to and pulled from: `host:port[/path]`"""
    default_image: str | None = None
    """image for trials that name none"""
    storage_class: str | None = None
    """None: the cluster's default class"""
    claim: str | None = None
    """existing PersistentVolumeClaim of the user; never deleted"""
    size: str = "20Gi"
    database: bool = False
    """True if the server uses PostgreSQL; its URL is in the Secret"""
    files: str | None = None
    """storage for logs and artifacts instead of the claim: s3://BUCKET/PREFIX, or claim:NAME, a claim of the user that
    several pods can mount (ReadWriteMany); never deleted"""
    retention: str | None = None
    """retention of logs and files after the end, such as 90d; None: forever"""
    gpu_resource: str = "nvidia.com/gpu"
    pool_label: str = POOL
    elastic: bool = False
    """True if the cluster adds nodes on demand"""
    create_namespace: bool = False
    pull_secrets: tuple[str, ...] = ()
    env_secret: str | None = None
    """Secret in the namespace whose entries become environment variables of the server"""
    proxy: str | None = None
    no_proxy: str | None = None
    certificates: bool = False
    """True if the ConfigMap contains a CA bundle"""
    user: int | None = 65532
    """user and group ID of the server; None: assigned by the cluster (OpenShift)"""
    queues: bool = False
    """True if Kueue is installed and the server may read its workloads"""
    replicas: int = 1
    architecture: str = ""
    """architecture of the nodes that can run the server's image, such as arm64; empty: any or unknown"""
    image_volumes: str = "auto"
    """mounting of the worker's Python as an image volume: auto, yes or no"""
    retirement: Mapping[str, Any] | None = None
    """configuration of the automatic destruction of an idle cluster; empty or None: never"""
    allow: tuple[str, ...] = ()
    """permissions beyond the default for experiments, such as claim:datasets"""

    @property
    def url(self) -> str:
        """URL at which workers reach the server."""
        return f"http://{SERVICE}.{self.namespace}.svc:{PORT}"

    @property
    def platform(self) -> Platform:
        """Platform for pods with the server's image. Windows nodes need exclusion: they often have no taint."""
        return Platform(self.architecture)

    @property
    def way_out(self) -> dict[str, str]:
        """Proxy environment variables for containers (Kubernetes expands references); empty without a proxy."""
        if not self.proxy:
            return {}
        no_proxy = ",".join(filter(None, (*_UNPROXIED, self.no_proxy, "$(KUBERNETES_SERVICE_HOST)")))
        variables = {"HTTP_PROXY": self.proxy, "HTTPS_PROXY": self.proxy, "NO_PROXY": no_proxy}
        return {**variables, **{name.lower(): value for name, value in variables.items()}}

    @property
    def files_claim(self) -> str | None:
        """Claim with the logs and artifacts, if they have one of their own."""
        return self.files.removeprefix(_CLAIM) if self.files and self.files.startswith(_CLAIM) else None

    @property
    def makes_claim(self) -> bool:
        """True if Orchestune creates the claim, and deletes it with the server."""
        return self.claim is None and not self.stateless

    @property
    def stateless(self) -> bool:
        """True if several servers can run: the database is external, and the files are in a bucket or shared claim."""
        return self.database and self.files is not None

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name, ready for JSON."""
        return {setting.name: _plain(getattr(self, setting.name)) for setting in fields(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ConnectionSettings:
        """Build a connection from `to_json` output, ignoring unknown fields written by later versions."""
        field_names = {setting.name for setting in fields(cls)}
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        return cls(**{key: value for key, value in values.items() if key in field_names})

    def with_changes(self, changes: Mapping[str, Any]) -> ConnectionSettings:
        """Return a changed copy (None: unchanged). `claim` and `storage_class` unset each other.

        Raises BadInput with all problems.
        """
        settings = {key: _without_empty(key, value) for key, value in changes.items() if value is not None}
        if "claim" in settings:
            settings.setdefault("storage_class", None)
        elif "storage_class" in settings:
            settings.setdefault("claim", None)
        added, removed = settings.pop("allow", ()), settings.pop("disallow", ())
        problems = [
            *_check_settings(settings),
            *_check_allowances("allow", (*self.allow, *added)),
            *_check_allowances("disallow", removed),
        ]
        if problems:
            raise BadInput(problems)
        allowed = {parse_allowance(text) for text in (*self.allow, *added)} - set(map(parse_allowance, removed))
        return checked(replace(self, **settings, allow=tuple(map(str, sorted(allowed)))))


def refuse_moves(current: ConnectionSettings, changes: Mapping[str, Any]) -> None:
    """Raise UsageError if a change would move the server away from its data, which is not migrated."""
    for name in ("storage_class", "claim", "size", "files", "database"):
        requested = changes.get(name)
        if requested is not None and _without_empty(name, requested) != getattr(current, name):
            raise UsageError(
                f"cannot move the server's data: {name} is {getattr(current, name) or 'not set'} already",
                "archive it with `orchestune cluster destroy`, then connect again",
            )


def read(data: Mapping[str, str]) -> ConnectionSettings:
    """Parse the data of a cluster's ConfigMap. Raises OrchestuneError if it is invalid."""
    if SETTINGS not in data:
        raise OrchestuneError(f"the ConfigMap {CONFIG} has no entry {SETTINGS}", "undo manual changes to it")
    try:
        return ConnectionSettings.from_json(json.loads(data[SETTINGS]))
    except (AttributeError, ValueError, TypeError, KeyError) as exc:
        raise OrchestuneError(
            f"cannot parse {SETTINGS} in the ConfigMap {CONFIG}: {exc}", "undo manual changes to it"
        ) from exc


def checked(connection: ConnectionSettings) -> ConnectionSettings:
    """Return the connection unchanged, or raise BadInput with all its problems."""
    problems = []
    if not _NAME.fullmatch(connection.name):
        problems.append(
            Problem(f"invalid cluster name: '{connection.name}'", "name", hint="use a-z, 0-9 and -, at most 40")
        )
    if not _NAMESPACE.fullmatch(connection.namespace):
        problems.append(Problem(f"invalid namespace name: '{connection.namespace}'", "namespace"))
    if connection.name in BUILTIN_CLUSTERS:
        problems.append(
            Problem(
                f"reserved name: '{connection.name}' means {BUILTIN_CLUSTERS[connection.name]}",
                "name",
                hint="choose another name",
            )
        )
    if not _SIZE.fullmatch(connection.size) or not parse_bytes(connection.size):
        problems.append(Problem(f"invalid disk size: '{connection.size}'", "size", hint="write it like 20Gi or 1Ti"))
    if connection.files is not None and not re.fullmatch(rf"s3://.+|{_CLAIM}{_NAMESPACE.pattern}", connection.files):
        text = f"unsupported file storage: '{connection.files}' (expected s3://BUCKET/PREFIX or claim:NAME)"
        problems.append(Problem(text, "files"))
    if connection.files_claim is not None and not connection.database:
        hint = "use --database-url too, or --claim NAME for the database and the files"
        problems.append(Problem("a claim for the files alone needs a PostgreSQL database", "files", hint=hint))
    if connection.replicas > 1 and not connection.stateless:
        problems.append(
            Problem(
                f"{connection.replicas} replicas cannot share one claim",
                "replicas",
                hint="use --database-url and --files",
            )
        )
    own = {f"claim:{connection.claim}", f"claim:{connection.files_claim}", f"secret:{connection.env_secret}"}
    server_resources = own & set(connection.allow)
    problems += [
        Problem(f"cannot allow '{text}' to experiments: the server itself uses it", "allow")
        for text in sorted(server_resources)
    ]
    problems += _check_nested_folders(connection.allow)
    if problems:
        raise BadInput(problems)
    return connection


def _check_settings(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of changed settings. Existing settings are not checked: this user did not write them."""
    examples = {"gpu_resource": ("resource", "nvidia.com/gpu"), "pool_label": ("label", "team.lab/pool")}
    for name, (noun, example) in examples.items():
        if name in settings and not _QUALIFIED.fullmatch(settings[name]):
            yield Problem(f"invalid {noun} name: '{settings[name]}'", name, hint=f"write it like {example}")
    if settings.get("default_image"):
        try:
            parse(settings["default_image"])
        except BadInput as exc:
            yield from (replace(problem, key="default_image") for problem in exc.problems)
    if _PASSWORD.search(settings.get("proxy") or ""):
        hint = "leave it out, and put HTTPS_PROXY and NO_PROXY into a Secret named by --env-secret"
        yield Problem("its password would be readable for all users of the cluster", "proxy", hint=hint)


def _check_allowances(key: str, texts: Iterable[str]) -> Iterator[Problem]:
    for text in texts:
        try:
            parse_allowance(text)
        except ValueError as exc:
            yield Problem(str(exc), key)


def _check_nested_folders(texts: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem for each allowed folder inside another allowed one.

    A trial with access to the outer folder could replace the inner one by a symlink, and the next trial would then
    mount an arbitrary folder.
    """
    allowances = Allowances.of(texts)
    for allowance in sorted(allowances.granted):
        outer = allowances.around(allowance.name) if allowance.kind == "path" else None
        if outer is not None:
            hint = f"revoke one of them: --disallow {allowance}"
            yield Problem(f"cannot allow '{allowance}' beside 'path:{outer}', which contains it", "allow", hint=hint)


def _without_empty(name: str, value: Any) -> Any:
    """Return None for an empty value of an optional setting, otherwise the value."""
    return (value or None) if name in _OPTIONAL else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

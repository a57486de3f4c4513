"""What a connection to a cluster is made of: the settings, kept in the cluster beside what they made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from orchestune.domain.allowances import Allowances
from orchestune.domain.allowances import parse as parse_allowance
from orchestune.domain.places import OWN
from orchestune.domain.resources import parse_bytes
from orchestune.errors import BadInput, OrchestuneError, Problem, UsageError
from orchestune.images.manifests import Platform
from orchestune.images.reference import parse
from orchestune.kubeapi.forwarding import SERVER_ACCOUNT
from orchestune.kubeapi.labels import POOL

MANAGER = "orchestune"
"""the field manager of what we apply"""

SERVER = SERVER_ACCOUNT
SERVICE = "orchestune"
DATA = "orchestune-data"
CONFIG = "orchestune-config"
WORKER = "orchestune-worker"
PORT = 8470
RETIREMENT = "retirement.json"
SETTINGS = "connection.json"
"""the key of the ConfigMap that holds these settings"""
AUTHORITIES = "ca.crt"
"""the key that holds the certificates of `--ca`"""

_CLUSTER_INSIDE = ("localhost", "127.0.0.1", ".svc", ".cluster.local", "kubernetes.default")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUALIFIED = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PASSWORD = re.compile(r"^(?:[a-z0-9]+://)?[^/@]*:[^/@]*@")
_SIZE = re.compile(r"\d+(\.\d+)?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
"""amounts as Kubernetes takes them"""
_OPTIONAL = (
    "registry", "default_image", "claim", "files", "retention", "env_secret", "proxy", "no_proxy", "retirement",
)  # fmt: skip
"""settings that a server does without; `storage_class` has a meaning for nothing: the claims of no class"""


@dataclass(frozen=True)
class Connection:
    """One server in one namespace. Nothing secret stands in it."""

    name: str
    namespace: str
    server_image: str = ""
    """full reference by digest; empty until it is known"""
    version: str = ""
    """of the server that `server_image` holds"""
    registry: str | None = None
    """where images are pushed to and pulled from: `host:port[/path]`"""
    default_image: str | None = None
    """what trials run in that name no image"""
    storage_class: str | None = None
    """None: the cluster's default"""
    claim: str | None = None
    """a claim that exists already, and stays when the server goes"""
    size: str = "20Gi"
    database: bool = False
    """PostgreSQL, whose address stands in the Secret"""
    files: str | None = None
    """where logs and artifacts live, if not on the claim: s3://BUCKET/PREFIX"""
    retention: str | None = None
    """how long after the end logs and files are kept, such as 90d; None: for ever"""
    gpu_resource: str = "nvidia.com/gpu"
    pool_label: str = POOL
    elastic: bool = False
    """the cluster starts machines on demand"""
    create_namespace: bool = False
    pull_secrets: tuple[str, ...] = ()
    env_secret: str | None = None
    """a Secret of the namespace whose entries become environment variables of the server"""
    proxy: str | None = None
    no_proxy: str | None = None
    certificates: bool = False
    """a CA bundle is in the ConfigMap"""
    user: int | None = 65532
    """the server's user and group; None: the cluster assigns one (OpenShift)"""
    queues: bool = False
    """Kueue is installed: the server may look at its workloads"""
    replicas: int = 1
    architecture: str = ""
    """of the nodes that run the server's image, such as arm64; empty: all of them, or it is not known"""
    image_volumes: str = "auto"
    """whether the worker's Python comes into pods by an image volume: auto, yes, no"""
    retirement: Mapping[str, Any] | None = None
    """when the server has the cluster destroyed; empty or None: never"""
    allow: tuple[str, ...] = ()
    """access beyond the default that experiments may have, such as claim:datasets"""

    @property
    def url(self) -> str:
        """How workers reach the server."""
        return f"http://{SERVICE}.{self.namespace}.svc:{PORT}"

    @property
    def platform(self) -> Platform:
        """Where pods of the server's image run; nodes of Windows are often tainted for nobody."""
        return Platform(self.architecture)

    @property
    def way_out(self) -> dict[str, str]:
        """What makes programs in a pod use the proxy, where there is one: variables as Kubernetes expands them."""
        if not self.proxy:
            return {}
        inside = ",".join(filter(None, (*_CLUSTER_INSIDE, self.no_proxy, "$(KUBERNETES_SERVICE_HOST)")))
        found = {"HTTP_PROXY": self.proxy, "HTTPS_PROXY": self.proxy, "NO_PROXY": inside}
        return {**found, **{name.lower(): value for name, value in found.items()}}

    @property
    def makes_claim(self) -> bool:
        """Whether the server's storage is ours, and goes when the server goes."""
        return self.claim is None and not self.stateless

    @property
    def stateless(self) -> bool:
        """Nothing of the server lies on a claim: the database and the files are elsewhere."""
        return self.database and self.files is not None

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Connection:
        """The inverse of `to_json`; what a later version has written beside it is left out."""
        known = {item.name for item in fields(cls)}
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        return cls(**{key: value for key, value in values.items() if key in known})

    def with_changes(self, changes: Mapping[str, Any]) -> Connection:
        """The same with what was said anew; None: nothing was said. One kind of storage takes the place of another."""
        given = {key: _meant(key, value) for key, value in changes.items() if value is not None}
        if "claim" in given:
            given.setdefault("storage_class", None)
        elif "storage_class" in given:
            given.setdefault("claim", None)
        added, removed = given.pop("allow", ()), given.pop("disallow", ())
        problems = [
            *_unfit(given),
            *_unfit_allowances("allow", (*self.allow, *added)),
            *_unfit_allowances("disallow", removed),
        ]
        if problems:
            raise BadInput(problems)
        kept = {parse_allowance(text) for text in (*self.allow, *added)} - set(map(parse_allowance, removed))
        return checked(replace(self, **given, allow=tuple(map(str, sorted(kept)))))


def refuse_moves(now: Connection, changes: Mapping[str, Any]) -> None:
    """UsageError where the server would go on elsewhere than its data, which does not follow by itself."""
    for name in ("storage_class", "claim", "size", "files", "database"):
        wanted = changes.get(name)
        if wanted is not None and _meant(name, wanted) != getattr(now, name):
            raise UsageError(
                f"the server's data lies elsewhere already ({name} is {getattr(now, name) or 'not set'})",
                "`orchestune cluster destroy` archives it; then connect anew",
            )


def read(data: Mapping[str, str]) -> Connection:
    """What stands in the ConfigMap of a cluster. OrchestuneError where it cannot be understood."""
    if SETTINGS not in data:
        raise OrchestuneError(f"the ConfigMap {CONFIG} has no {SETTINGS}", "was it changed by hand?")
    try:
        return Connection.from_json(json.loads(data[SETTINGS]))
    except (AttributeError, ValueError, TypeError, KeyError) as exc:
        raise OrchestuneError(
            f"the ConfigMap {CONFIG} holds a {SETTINGS} that cannot be read: {exc}", "was it changed by hand?"
        ) from exc


def checked(connection: Connection) -> Connection:
    """The same, or BadInput with everything that is wrong about it."""
    problems = []
    if not _NAME.fullmatch(connection.name):
        problems.append(
            Problem(f"'{connection.name}' is no name of a cluster", "name", hint="a-z, 0-9 and -, at most 40")
        )
    if not _NAMESPACE.fullmatch(connection.namespace):
        problems.append(Problem(f"'{connection.namespace}' is no name of a namespace", "namespace"))
    if connection.name in OWN:
        problems.append(Problem(f"'{connection.name}' means {OWN[connection.name]}; choose another name", "name"))
    if not _SIZE.fullmatch(connection.size) or not parse_bytes(connection.size):
        problems.append(Problem(f"'{connection.size}' is no size of a disk", "size", hint="write it like 20Gi or 1Ti"))
    if connection.files is not None and not connection.files.startswith("s3://"):
        problems.append(Problem(f"'{connection.files}' is no place for files", "files", hint="s3://BUCKET/PREFIX"))
    if connection.replicas > 1 and not connection.stateless:
        problems.append(
            Problem(
                f"{connection.replicas} replicas cannot share one claim",
                "replicas",
                hint="several need --database-url and --files",
            )
        )
    own = {f"claim:{connection.claim}", f"secret:{connection.env_secret}"} & set(connection.allow)
    problems += [
        Problem(f"cannot allow '{text}' to experiments: the server itself uses it", "allow") for text in sorted(own)
    ]
    problems += _nested(connection.allow)
    if problems:
        raise BadInput(problems)
    return connection


def _unfit(given: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with single settings. What a cluster has is not looked at: whoever joins it has not said it."""
    for name, noun, like in (("gpu_resource", "resource", "nvidia.com/gpu"), ("pool_label", "label", "team.lab/pool")):
        if name in given and not _QUALIFIED.fullmatch(given[name]):
            yield Problem(f"'{given[name]}' is no name of a {noun}", name, hint=f"write it like {like}")
    if given.get("default_image"):
        try:
            parse(given["default_image"])
        except BadInput as exc:
            yield from (replace(problem, key="default_image") for problem in exc.problems)
    if _PASSWORD.search(given.get("proxy") or ""):
        hint = "leave it out; a Secret that --env-secret names may hold HTTPS_PROXY and NO_PROXY for the server instead"
        yield Problem("its password would stand in the cluster for everybody to read", "proxy", hint=hint)


def _unfit_allowances(key: str, texts: Iterable[str]) -> Iterator[Problem]:
    for text in texts:
        try:
            parse_allowance(text)
        except ValueError as exc:
            yield Problem(str(exc), key)


def _nested(texts: Iterable[str]) -> Iterator[Problem]:
    """Folders that lie in others: a trial may replace one by a link, by which the next one would mount any folder."""
    allowances = Allowances.of(texts)
    for each in sorted(allowances.granted):
        outer = allowances.around(each.name) if each.kind == "path" else None
        if outer is not None:
            hint = f"leave out one of them: --disallow {each}"
            yield Problem(f"cannot allow '{each}' beside 'path:{outer}', in which it lies", "allow", hint=hint)


def _meant(name: str, value: Any) -> Any:
    """What was said of a setting: nothing in its place takes it away."""
    return (value or None) if name in _OPTIONAL else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

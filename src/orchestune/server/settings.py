"""What an operator may set: by flag, by environment variable, in a TOML file, in this order of precedence."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestune.arguments import unrecognized
from orchestune.client.local.home import data_folder, state_folder
from orchestune.domain.specification.notify import Hook
from orchestune.domain.specification.tracker import Tracker
from orchestune.domain.words import did_you_mean
from orchestune.errors import BadInput, Problem
from orchestune.outgoing.destinations import AllowedDestinations
from orchestune.outgoing.settings import Outgoing
from orchestune.server import options
from orchestune.server.caller_address import Network
from orchestune.server.options import setting
from orchestune.server.owners import read_owners
from orchestune.system.private import access_of_others

HOSTED_PORT = 8470
_UNIX = "unix:"
_LEAST = {"lease_seconds": 3.0, "beat_seconds": 0.2}
"""below these a busy machine, or one slow answer, makes workers lost that are well, or the beats alone keep it busy"""


@dataclass(frozen=True)
class Settings:
    """One server's settings. Not shown by `repr`: what may hold a password or a token."""

    host: str = setting(
        "text",
        "127.0.0.1",
        "127.0.0.1",
        "address to listen on; :: is every one of the machine, unix:PATH a socket for a proxy",
    )
    port: int | None = setting(
        "port", None, f"{HOSTED_PORT}; embedded: the one used last, or a free one", "port to listen on; 0: any free one"
    )
    state: Path = setting(
        "path",
        Path(),
        "`$ORCHESTUNE_HOME`, or by the XDG rules",
        "folder for everything that has no other place; made when missing",
    )
    database_url: str = setting(
        "database", "", "sqlite:///STATE/orchestune.db", "sqlite:///PATH or postgresql://USER@HOST/NAME", secret=True
    )
    files: str = setting(
        "text", "", "STATE/files", "where logs, bundles and artifacts live: a folder or s3://BUCKET/PREFIX"
    )
    token_file: Path | None = setting(
        "path", None, "STATE/token, made when missing", "file with one owner a line: NAME TOKEN, or a token alone"
    )
    public_url: str = setting(
        "url", "", "the address it listens on", "how workers and people reach the server, where it is not as it listens"
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "networks",
        (),
        "none",
        "addresses and networks of proxies, with commas between, whose X-Forwarded-For tells who calls",
    )
    tls_cert: Path | None = setting("path", None, "none: plain HTTP", "certificate chain (PEM); needs tls_key")
    tls_key: Path | None = setting("path", None, "none", "private key of tls_cert (PEM)")
    lease_seconds: float = setting(
        "seconds", 15.0, "15", "how long the server sees no beat of a worker before it counts as lost; at least 3"
    )
    beat_seconds: float = setting(
        "seconds", 2.0, "2", "how often a busy worker reports; at least 0.2, at most a third of the lease"
    )
    idle_seconds: float = setting(
        "seconds", 300.0, "300", "an embedded server ends after that long with nothing unfinished and no worker"
    )
    log_level: str = setting("level", "info", "info", "debug, info, warning or error")
    log_format: str = setting("format", "plain", "plain", "plain (one line each) or json (one document a line)")
    kubernetes: Path | None = setting(
        "path", None, "none: workers run on this machine", "kubernetes.json of the cluster in which workers run"
    )
    retire: Path | None = setting(
        "path", None, "none: it stays", "retirement.json: when a cluster that nobody uses is archived and destroyed"
    )
    retention: float | None = setting(
        "seconds",
        None,
        "for ever",
        "how long after its end, or its import, an experiment keeps its logs and its trials' files (`90d`); records and"
        " code stay",
    )
    shared: Path = setting(
        "path",
        Path(),
        "`~/.local/share/orchestune`, or by the XDG rules",
        "folder that the nodes of Slurm see under the same path",
    )
    slurm_address: str = setting(
        "text",
        "",
        "found out from Slurm",
        "HOST or HOST:PORT of this machine, as nodes of Slurm reach it",
    )
    notify_url: str = setting(
        "hook", "", "none", "address that hears when any experiment finished, failed or paused", secret=True
    )
    notify_secret: str = setting(
        "text", "", "none: not signed", "what messages to notify_url are signed with", secret=True
    )
    notify_stuck: float | None = setting(
        "seconds", None, "never", "notify_url also hears of an experiment in which nothing moved for so long"
    )
    mlflow_tracking_uri: str = setting(
        "hook", "", "none", "tracking server of MLflow that records every experiment which names none", secret=True
    )
    mlflow_tracking_token: str = setting(
        "text", "", "none", "what is shown to mlflow_tracking_uri: a token, or USER:PASSWORD", secret=True
    )
    outgoing_allow: AllowedDestinations = setting(
        "hosts",
        AllowedDestinations(),
        "none; embedded: any",
        "hosts and networks, with commas between, that messages and MLflow may use beside addresses of the internet",
    )
    docker_allow: Sequence[str] = setting(
        "folders",
        (),
        "none; embedded: what is in the folder of the project",
        "folders of this machine, and names of Docker volumes, with colons between, that containers may mount",
    )
    embedded: bool = field(default=False, metadata={"kind": "switch"})
    """one server per user, started by the command line; ends itself when idle"""
    owners: Mapping[str, str] = field(default_factory=dict, repr=False, metadata={"kind": "derived"})
    """token → name of everybody who may do everything"""
    umask: int | None = field(default=None, metadata={"kind": "derived"})
    """that of the shell which started it, with which commands are started; None: the process's own"""
    config: Path | None = field(default=None, metadata={"kind": "derived"})
    """the file of --config if it holds secrets"""
    exposed: Sequence[str] = field(default=(), metadata={"kind": "derived"})
    """variables of what the command line should not have: everybody sees it in the list of processes"""

    @property
    def home(self) -> str:
        """`embedded` or `hosted`, as the API tells it."""
        return "embedded" if self.embedded else "hosted"

    @property
    def secrets(self) -> list[str]:
        """Return the values that must not appear in the log."""
        return [*self.owners, self.notify_url, self.notify_secret, self.mlflow_tracking_token]

    @property
    def readable_by_all(self) -> list[Path]:
        """Files with secrets that every user of this machine may read."""
        return [path for path in self._secret_files if path.stat().st_mode & stat.S_IROTH]

    @property
    def changeable_by_others(self) -> Mapping[Path, str]:
        """Files with secrets that other users of this machine may change, each with the reason."""
        return {path: reason for path in self._secret_files if (reason := access_of_others(path))}

    @property
    def _secret_files(self) -> list[Path]:
        return [path for path in (self.token_file, self.tls_key, self.config) if path is not None]

    @property
    def unencrypted(self) -> bool:
        """True if other machines can reach the server and nothing known encrypts what they send, tokens first of all.

        In a cluster the server is reached through the API server, and by workers under a NetworkPolicy.
        """
        encrypted = self.tls_cert is not None or self.public_url.startswith("https:") or self.kubernetes is not None
        return not encrypted and self.socket is None and not _is_loopback(self.host)

    @property
    def socket(self) -> Path | None:
        """Path of the Unix socket to listen on (`host` is `unix:PATH`); None if `host` is a network address."""
        return Path(self.host.removeprefix(_UNIX)) if self.host.startswith(_UNIX) else None

    @property
    def outgoing(self) -> Outgoing:
        """Outgoing messages and allowed destinations. An embedded server may call what its user may call."""
        reach = AllowedDestinations(everywhere=True) if self.embedded else self.outgoing_allow
        hook = Hook(self.notify_url, self.notify_secret, stuck=self.notify_stuck) if self.notify_url else None
        tracker = Tracker(self.mlflow_tracking_uri, self.mlflow_tracking_token) if self.mlflow_tracking_uri else None
        return Outgoing(reach, hook, tracker)

    @property
    def serves_one_browser(self) -> bool:
        """Return True if the pages are for browsers that reach a loopback address, of this machine or by a tunnel."""
        return self.embedded and _is_loopback(self.host) and not (self.tls_cert or self.public_url)

    def address(self, port: int) -> str:
        """Return the address at which clients reach the server that listens on `port`, without a trailing slash."""
        if self.public_url:
            return self.public_url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)
        scheme = "https" if self.tls_cert else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


SETTABLE: Sequence[Field[object]] = [
    item for item in fields(Settings) if item.metadata["kind"] not in ("switch", "derived")
]
_KINDS = {item.name: str(item.metadata["kind"]) for item in SETTABLE}


def load(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Combine flags, environment and file to settings.

    Raises BadInput, which names each key and its source, or UsageError for invalid flags.
    """
    parser = options.parser(SETTABLE)
    read, strange = parser.parse_known_args(argv)
    if strange:
        raise unrecognized(parser, strange)
    given = vars(read)
    named = given["config"] or environ.get(f"{options.ENVIRONMENT}CONFIG")
    problems: list[Problem] = []
    config = Path(named) if named else None
    found = _from_file(config, problems) if config else {}
    for item in SETTABLE:
        if environ.get(options.variable(item)):
            found[item.name] = (environ[options.variable(item)], options.variable(item))
        if given[item.name] is not None:
            found[item.name] = (given[item.name], options.flag(item))
    values: dict[str, Any] = {}
    for name, (raw, source) in found.items():
        try:
            values[name] = options.convert(_KINDS[name], raw)
        except ValueError as exc:
            problems.append(Problem(str(exc), key=name, file=source))
    if not problems:
        settings = Settings(embedded=given["embedded"], **values)
        problems += _contradictions(settings, {name: source for name, (_, source) in found.items()})
    if problems:
        raise BadInput(problems)
    exposed = [options.variable(item) for item in SETTABLE if _is_secret(settings, given[item.name])]
    has_secrets = any(_is_secret(settings, raw) for raw, source in found.values() if source == str(config))
    return replace(_complete(settings, environ), exposed=exposed, config=config if has_secrets else None)


def _is_secret(settings: Settings, raw: object) -> bool:
    """Return True if a setting may contain a secret, such as the password in the address of a database."""
    if not isinstance(raw, str) or not raw:
        return False
    if raw == settings.database_url:
        return urlsplit(raw).password is not None or "password=" in raw
    return raw in settings.secrets


def _from_file(path: Path, problems: list[Problem]) -> dict[str, tuple[object, str]]:
    """Read the known settings of a TOML file, each with the file's path, and append a problem for each unknown one."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise BadInput([Problem(f"cannot be read: {exc.strerror}", key="config", file=str(path))]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInput([Problem(f"is no TOML: {exc}", file=str(path))]) from exc
    for key in sorted(document.keys() - _KINDS.keys()):
        hint = did_you_mean(key, _KINDS) or f"known are {', '.join(_KINDS)}"
        problems.append(Problem("there is no such setting", key=key, file=str(path), hint=hint))
    return {key: (value, str(path)) for key, value in document.items() if key in _KINDS}


def _contradictions(settings: Settings, sources: Mapping[str, str]) -> list[Problem]:
    """Return the problems of settings that contradict each other, and of the files that they name."""
    problems: list[Problem] = []
    if (settings.tls_cert is None) != (settings.tls_key is None):
        there, missing = ("tls_cert", "tls_key") if settings.tls_cert else ("tls_key", "tls_cert")
        problems.append(Problem(f"needs {missing} as well", key=there, file=sources[there]))
    short = [key for key, least in _LEAST.items() if getattr(settings, key) < least]
    for key in short:
        message = f"{getattr(settings, key):g} s is too short"
        problems.append(Problem(message, key=key, file=sources[key], hint=f"at least {_LEAST[key]:g} s"))
    if not short and settings.beat_seconds * 3 > settings.lease_seconds:
        key = "beat_seconds" if "beat_seconds" in sources else "lease_seconds"
        message = f"a beat every {settings.beat_seconds:g} s is too rare for a lease of {settings.lease_seconds:g} s"
        problems.append(Problem(message, key=key, file=sources[key], hint="at most a third of the lease"))
    if settings.socket is not None:
        problems += [Problem(text, key="host", file=sources["host"]) for text in _problems_of_socket(settings)]
    folder = settings.files.removeprefix("file://")
    if "://" not in folder and Path(folder).exists() and not Path(folder).is_dir():
        problems.append(Problem(f"{folder} is no folder", key="files", file=sources["files"]))
    for key in ("token_file", "tls_cert", "tls_key", "kubernetes"):
        path = getattr(settings, key)
        if path is not None and not path.is_file():
            problems.append(Problem(f"there is no file {path}", key=key, file=sources[key]))
    return problems


def _problems_of_socket(settings: Settings) -> Iterator[str]:
    """Yield what contradicts listening on a Unix socket, behind a proxy."""
    if settings.socket is None or not settings.socket.is_absolute():
        yield f"cannot listen on '{settings.host}' (expected unix: and an absolute path)"
    if settings.embedded:
        yield "cannot be a socket for an embedded server, which has its own"
    if not settings.public_url:
        yield "needs public_url as well: the address of the proxy"
    for key in ("port", "tls_cert"):
        if getattr(settings, key) is not None:
            yield f"is a socket, which excludes {key}"


def _complete(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Fill in what follows from other settings."""
    state = settings.state.absolute() if settings.state != Path() else state_folder(environ)
    return replace(
        settings,
        state=state,
        database_url=settings.database_url or f"sqlite:///{state / 'orchestune.db'}",
        files=settings.files or str(state / "files"),
        shared=settings.shared.absolute() if settings.shared != Path() else data_folder(environ),
        public_url=settings.public_url.rstrip("/"),
        owners=read_owners(settings.token_file) if settings.token_file else {},
    )

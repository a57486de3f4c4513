"""Settings of a server: by flag, environment variable or TOML file, in this order of precedence."""

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
from orchestune.domain.access.claims import ANYONE, ClaimRules
from orchestune.domain.specification.notify import Hook
from orchestune.domain.specification.tracker import Tracker
from orchestune.domain.words import did_you_mean
from orchestune.errors import BadInput, Problem
from orchestune.oidc.settings import OidcSettings
from orchestune.outgoing.destinations import AllowedDestinations
from orchestune.outgoing.settings import Outgoing
from orchestune.server import options
from orchestune.server.caller_address import Network
from orchestune.server.options import setting
from orchestune.server.token_file import TokenFile
from orchestune.system.private import access_of_others

HOSTED_PORT = 8470
_UNIX_PREFIX = "unix:"
_MIN_SECONDS = {"lease_seconds": 3.0, "beat_seconds": 0.2}
"""with less, a busy machine or one slow response loses healthy workers, or heartbeats alone keep the server busy"""


@dataclass(frozen=True)
class Settings:
    """The settings of one server. `repr` omits those that may contain a password or a token."""

    host: str = setting(
        "text",
        "127.0.0.1",
        "127.0.0.1",
        "address to listen on; :: for all addresses, unix:PATH for a Unix socket behind a proxy",
    )
    port: int | None = setting(
        "port", None, f"{HOSTED_PORT}; embedded: the previous or a free port", "port to listen on; 0 for any free port"
    )
    state: Path = setting(
        "path",
        Path(),
        "`$ORCHESTUNE_HOME`, or by the XDG rules",
        "folder for state and for everything without a setting of its own; created if missing",
    )
    database_url: str = setting(
        "database", "", "sqlite:///STATE/orchestune.db", "sqlite:///PATH or postgresql://USER@HOST/NAME", secret=True
    )
    files: str = setting(
        "text", "", "STATE/files", "storage of logs, bundles and artifacts: a folder or s3://BUCKET/PREFIX"
    )
    token_file: Path | None = setting(
        "path",
        None,
        "STATE/token, created if missing",
        "file with one owner per line: NAME TOKEN, or only a token; read again when it changes",
    )
    public_url: str = setting(
        "url", "", "the listening address", "URL at which workers and users reach the server, such as that of a proxy"
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "networks",
        (),
        "none",
        "addresses and networks of proxies whose X-Forwarded-For is trusted, separated by commas",
    )
    tls_cert: Path | None = setting("path", None, "none: plain HTTP", "certificate chain (PEM); needs tls_key")
    tls_key: Path | None = setting("path", None, "none", "private key of tls_cert (PEM)")
    lease_seconds: float = setting(
        "seconds", 15.0, "15", "time without a heartbeat after which a worker is lost; at least 3"
    )
    beat_seconds: float = setting(
        "seconds", 2.0, "2", "interval of heartbeats; at least 0.2, at most a third of lease_seconds"
    )
    idle_seconds: float = setting(
        "seconds", 300.0, "300", "time without unfinished experiments and workers until an embedded server shuts down"
    )
    log_level: str = setting("level", "info", "info", "debug, info, warning or error")
    log_format: str = setting("format", "plain", "plain", "plain (one line per entry) or json (one document per line)")
    kubernetes: Path | None = setting(
        "path", None, "none: workers run on this machine", "kubernetes.json of the cluster that runs the workers"
    )
    retire: Path | None = setting(
        "path", None, "none: it is kept", "retirement.json: when an unused cluster is archived and destroyed"
    )
    retention: float | None = setting(
        "seconds",
        None,
        "for ever",
        "time after which logs and files of a finished or imported experiment are deleted (`90d`); records and code"
        " are kept",
    )
    shared: Path = setting(
        "path",
        Path(),
        "`~/.local/share/orchestune`, or by the XDG rules",
        "folder that Slurm's nodes mount at the same path",
    )
    slurm_address: str = setting(
        "text",
        "",
        "determined from Slurm",
        "HOST or HOST:PORT at which Slurm's nodes reach this machine",
    )
    oidc_issuer: str = setting(
        "issuer", "", "none: people sign in with tokens", "URL of the OpenID Connect provider at which people sign in"
    )
    oidc_client_id: str = setting("text", "", "none", "id of this server at the provider; needed with oidc_issuer")
    oidc_client_secret_file: Path | None = setting(
        "path", None, "none: a public client", "file with the secret of this server at the provider"
    )
    oidc_roles: Sequence[tuple[str, str]] = setting(
        "roles",
        (),
        "none",
        "roles of the provider's groups: `ml-team=editor, ml-leads=owner, *=viewer`, `*` for everyone; a table in TOML",
    )
    oidc_groups_claim: str = setting(
        "text", "groups", "groups", "claim with the groups, or a path such as `realm_access.roles`"
    )
    oidc_name_claim: str = setting(
        "text", "email", "email", "claim with the name in records; of `email` only a verified address"
    )
    oidc_scopes: str = setting(
        "text", "openid profile email", "openid profile email", "scopes to request; `offline_access` for long sign-ins"
    )
    oidc_name: str = setting("text", "", "the host of oidc_issuer", "name of the provider on the sign-in page")
    oidc_session: float = setting("seconds", 12 * 3600.0, "12h", "longest sign-in of a browser at the provider")
    oidc_login: float = setting("seconds", 30 * 86400.0, "30d", "longest sign-in of a command line at the provider")
    notify_url: str = setting(
        "hook", "", "none", "URL to notify when any experiment finishes, fails or is paused", secret=True
    )
    notify_secret: str = setting(
        "text", "", "none: not signed", "secret that signs messages to notify_url", secret=True
    )
    notify_stuck: float | None = setting(
        "seconds", None, "never", "also notify notify_url of an experiment without progress for that time"
    )
    mlflow_tracking_uri: str = setting(
        "hook", "", "none", "MLflow tracking server of experiments that do not name one", secret=True
    )
    mlflow_tracking_token: str = setting(
        "text", "", "none", "credentials for mlflow_tracking_uri: a token, or USER:PASSWORD", secret=True
    )
    outgoing_allow: AllowedDestinations = setting(
        "hosts",
        AllowedDestinations(),
        "none; embedded: any",
        "hosts and networks that notifications and MLflow may use in addition to the internet, separated by commas",
    )
    docker_allow: Sequence[str] = setting(
        "folders",
        (),
        "none; embedded: the folder of the project",
        "folders of this machine and Docker volumes that containers may mount, separated by colons",
    )
    embedded: bool = field(default=False, metadata={"kind": "switch"})
    """a user's own server, started by commands; shuts down when idle"""
    oidc: OidcSettings | None = field(default=None, metadata={"kind": "derived"})
    """the identity provider, by the settings whose names begin with `oidc_`"""
    owners: Mapping[str, str] = field(default_factory=dict, repr=False, metadata={"kind": "derived"})
    """token → name of an owner"""
    umask: int | None = field(default=None, metadata={"kind": "derived"})
    """umask of trials: that of the shell which started the server; None: the umask of the process"""
    config: Path | None = field(default=None, metadata={"kind": "derived"})
    """the file of --config if it contains secrets"""
    exposed: Sequence[str] = field(default=(), metadata={"kind": "derived"})
    """variables of secrets that were passed as flags, which all users can see in the process list"""

    @property
    def home(self) -> str:
        """`embedded` or `hosted`, as in the API."""
        return "embedded" if self.embedded else "hosted"

    @property
    def secrets(self) -> list[str]:
        """Return the values that must not appear in the log."""
        oidc_secrets = [self.oidc.client_secret] if self.oidc and self.oidc.client_secret else []
        return [*self.owners, self.notify_url, self.notify_secret, self.mlflow_tracking_token, *oidc_secrets]

    @property
    def readable_by_all(self) -> list[Path]:
        """Files with secrets that every user of this machine can read."""
        return [path for path in self._secret_files if path.stat().st_mode & stat.S_IROTH]

    @property
    def changeable_by_others(self) -> Mapping[Path, str]:
        """Files with secrets that other users of this machine can change, each with the reason."""
        return {path: reason for path in self._secret_files if (reason := access_of_others(path))}

    @property
    def _secret_files(self) -> list[Path]:
        return [
            path
            for path in (self.token_file, self.tls_key, self.oidc_client_secret_file, self.config)
            if path is not None
        ]

    @property
    def unencrypted(self) -> bool:
        """True if these settings let other machines reach the server with unencrypted tokens.

        In a cluster the server is reached through the API server, and by workers under a NetworkPolicy.
        """
        encrypted = self.tls_cert is not None or self.public_url.startswith("https:") or self.kubernetes is not None
        return not encrypted and self.socket is None and not _is_loopback(self.host)

    @property
    def socket(self) -> Path | None:
        """Path of the Unix socket to listen on (`host` is `unix:PATH`); None if `host` is a network address."""
        return Path(self.host.removeprefix(_UNIX_PREFIX)) if self.host.startswith(_UNIX_PREFIX) else None

    @property
    def outgoing(self) -> Outgoing:
        """Outgoing messages and allowed destinations. An embedded server may call what its user may call."""
        allowed = AllowedDestinations(everywhere=True) if self.embedded else self.outgoing_allow
        hook = Hook(self.notify_url, self.notify_secret, stuck=self.notify_stuck) if self.notify_url else None
        tracker = Tracker(self.mlflow_tracking_uri, self.mlflow_tracking_token) if self.mlflow_tracking_uri else None
        return Outgoing(allowed, hook, tracker)

    @property
    def serves_one_browser(self) -> bool:
        """True if only browsers on this machine, or with a tunnel to it, can reach the pages."""
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
    arguments, unrecognized_arguments = parser.parse_known_args(argv)
    if unrecognized_arguments:
        raise unrecognized(parser, unrecognized_arguments)
    flags = vars(arguments)
    config_name = flags["config"] or environ.get(f"{options.ENVIRONMENT}CONFIG")
    problems: list[Problem] = []
    config = Path(config_name) if config_name else None
    raw_values = _from_file(config, problems) if config else {}
    for item in SETTABLE:
        if environ.get(options.variable(item)):
            raw_values[item.name] = (environ[options.variable(item)], options.variable(item))
        if flags[item.name] is not None:
            raw_values[item.name] = (flags[item.name], options.flag(item))
    values: dict[str, Any] = {}
    for name, (raw, source) in raw_values.items():
        try:
            values[name] = options.convert(_KINDS[name], raw)
        except ValueError as exc:
            problems.append(Problem(str(exc), key=name, file=source))
    if not problems:
        settings = Settings(embedded=flags["embedded"], **values)
        problems += _contradictions(settings, {name: source for name, (_, source) in raw_values.items()})
    if problems:
        raise BadInput(problems)
    exposed = [options.variable(item) for item in SETTABLE if _is_secret(settings, flags[item.name])]
    has_secrets = any(_is_secret(settings, raw) for raw, source in raw_values.values() if source == str(config))
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
        raise BadInput([Problem(f"cannot read it: {exc.strerror}", key="config", file=str(path))]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInput([Problem(f"invalid TOML: {exc}", file=str(path))]) from exc
    for key in sorted(document.keys() - _KINDS.keys()):
        hint = did_you_mean(key, _KINDS) or f"settings: {', '.join(_KINDS)}"
        problems.append(Problem("unknown setting", key=key, file=str(path), hint=hint))
    return {key: (value, str(path)) for key, value in document.items() if key in _KINDS}


def _contradictions(settings: Settings, sources: Mapping[str, str]) -> list[Problem]:
    """Return the problems of settings that contradict each other, and of the files that they name."""
    problems: list[Problem] = []
    if (settings.tls_cert is None) != (settings.tls_key is None):
        present, missing = ("tls_cert", "tls_key") if settings.tls_cert else ("tls_key", "tls_cert")
        problems.append(Problem(f"needs {missing} as well", key=present, file=sources[present]))
    too_short = [key for key, minimum in _MIN_SECONDS.items() if getattr(settings, key) < minimum]
    for key in too_short:
        message = f"too short: {getattr(settings, key):g} s (expected at least {_MIN_SECONDS[key]:g} s)"
        problems.append(Problem(message, key=key, file=sources[key]))
    if not too_short and settings.beat_seconds * 3 > settings.lease_seconds:
        key = "beat_seconds" if "beat_seconds" in sources else "lease_seconds"
        message = f"the heartbeat interval is too long: {settings.beat_seconds:g} s (expected at most a third of the"
        message += f" lease of {settings.lease_seconds:g} s)"
        problems.append(Problem(message, key=key, file=sources[key]))
    if settings.socket is not None:
        problems += [Problem(text, key="host", file=sources["host"]) for text in _problems_of_socket(settings)]
    folder = settings.files.removeprefix("file://")
    if "://" not in folder and Path(folder).exists() and not Path(folder).is_dir():
        problems.append(Problem(f"not a folder: {folder}", key="files", file=sources["files"]))
    for key in ("token_file", "tls_cert", "tls_key", "kubernetes", "oidc_client_secret_file"):
        path = getattr(settings, key)
        if path is not None and not path.is_file():
            problems.append(Problem(f"no such file: {path}", key=key, file=sources[key]))
    problems += [Problem(text, key=key, file=sources[key]) for key, text in _problems_of_oidc(settings, sources)]
    return problems


def _problems_of_oidc(settings: Settings, sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the settings of single sign-on that contradict each other, each with the problem."""
    if not settings.oidc_issuer:
        yield from ((key, "needs oidc_issuer as well") for key in sources if key.startswith("oidc_"))
        return
    missing = [key for key in ("oidc_client_id", "oidc_roles") if not getattr(settings, key)]
    yield from (("oidc_issuer", f"needs {key} as well") for key in missing)
    if settings.embedded:
        yield "oidc_issuer", "an embedded server has a single user, who needs no sign-in"
    if "openid" not in settings.oidc_scopes.split() and "oidc_scopes" in sources:
        yield "oidc_scopes", "lacks the scope openid"
    if ANYONE in dict(settings.oidc_roles) and urlsplit(settings.oidc_issuer).hostname == "accounts.google.com":
        yield "oidc_roles", "* would admit every Google account (expected domains, with oidc_groups_claim = hd)"
    path = settings.oidc_client_secret_file
    if path is not None and path.is_file() and not _content(path):
        yield "oidc_client_secret_file", f"cannot read a secret from {path} (expected one line of text)"


def _content(path: Path) -> str:
    """Return the text of a file without the white space around it; empty if it is unreadable or has several lines."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return text if text.isprintable() else ""


def _problems_of_socket(settings: Settings) -> Iterator[str]:
    """Yield the conflicts of other settings with a Unix socket behind a proxy."""
    if settings.socket is None or not settings.socket.is_absolute():
        yield f"cannot listen on '{settings.host}' (expected unix: and an absolute path)"
    if settings.embedded:
        yield "an embedded server cannot listen on this socket: it has its own"
    if not settings.public_url:
        yield "a Unix socket also needs public_url: the URL of the proxy"
    for key in ("port", "tls_cert"):
        if getattr(settings, key) is not None:
            yield f"a Unix socket cannot be combined with {key}"


def _complete(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Fill in the defaults that depend on other settings."""
    state = settings.state.absolute() if settings.state != Path() else state_folder(environ)
    return replace(
        settings,
        state=state,
        database_url=settings.database_url or f"sqlite:///{state / 'orchestune.db'}",
        files=settings.files or str(state / "files"),
        shared=settings.shared.absolute() if settings.shared != Path() else data_folder(environ),
        public_url=settings.public_url.rstrip("/"),
        owners=TokenFile(settings.token_file) if settings.token_file else {},
        oidc=_oidc(settings) if settings.oidc_issuer else None,
    )


def _oidc(settings: Settings) -> OidcSettings:
    return OidcSettings(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        rules=ClaimRules(dict(settings.oidc_roles), settings.oidc_groups_claim, settings.oidc_name_claim),
        client_secret=_content(settings.oidc_client_secret_file) if settings.oidc_client_secret_file else "",
        name=settings.oidc_name or urlsplit(settings.oidc_issuer).hostname or "",
        scopes=settings.oidc_scopes,
    )

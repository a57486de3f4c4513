"""Declaration and parsing of server settings from flags, environment variables and TOML."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import Field, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from orchestune.arguments import Parser
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.domain.resources.resources import parse_seconds
from orchestune.errors import BadInput
from orchestune.oidc.settings import is_safe_address
from orchestune.outgoing.destinations import AllowedDestinations, allowing, parse
from orchestune.server.caller_address import Network, networks

ENVIRONMENT = "ORCHESTUNE_"
Setting = (
    str | int | float | Path | AllowedDestinations | tuple[Network, ...] | tuple[str, ...] | tuple[tuple[str, str], ...]
)
T = TypeVar("T")


def setting(kind: str, default: T, default_text: str, description: str, *, secret: bool = False) -> T:
    """Declare a field of the settings; `default_text` is the default in a readable form."""
    metadata = {"kind": kind, "default_text": default_text, "description": description}
    return field(default=default, repr=not secret, metadata=metadata)


def flag(item: Field[object]) -> str:
    """Return the command line flag of a setting, such as `--log-level`."""
    return "--" + item.name.replace("_", "-")


def variable(item: Field[object]) -> str:
    """Return the environment variable of a setting, such as `ORCHESTUNE_LOG_LEVEL`."""
    return ENVIRONMENT + item.name.upper()


def parser(items: Sequence[Field[object]]) -> argparse.ArgumentParser:
    """Build the parser. It keeps all flags as text, so that errors are the same for every source of a value."""
    flags = Parser(
        prog="orchestune server",
        description="Run the server in the foreground.",
        epilog="example: orchestune server --host 0.0.0.0 --database-url postgresql://orchestune@db/orchestune",
        allow_abbrev=False,
    )
    flags.add_argument("--embedded", action="store_true", help="run as this user's server, as commands start it")
    flags.add_argument(
        "--stop", action="store_true", help="shut down this user's server; running trials are not affected"
    )
    flags.add_argument("--config", metavar="FILE", help="read settings from a TOML file")
    for item in items:
        metadata = item.metadata
        warning = "" if item.repr else f"; visible in the process list: prefer {variable(item)}"
        text = f"{metadata['description']} (default: {metadata['default_text']}){warning}".replace("%", "%%")
        flags.add_argument(flag(item), dest=item.name, metavar=metadata["kind"].upper(), help=text)
    return flags


def convert(kind: str, raw: object) -> Setting:
    """Parse a setting from text or a TOML value. Raises ValueError with the invalid value and the allowed ones."""
    if kind == "seconds":
        return parse_seconds(raw)
    if kind == "port":
        return _port(raw)
    if kind == "roles":
        return _roles(raw)
    if not isinstance(raw, str) or not raw:
        raise ValueError("invalid value (expected a non-empty text in quotes)")  # the value may be a secret
    if kind == "path":
        try:
            return Path(raw).expanduser()
        except RuntimeError as exc:
            raise ValueError(f"cannot expand {raw!r}: no such user") from exc
    allowed = {"level": ("debug", "info", "warning", "error"), "format": ("plain", "json")}.get(kind)
    if allowed:
        if raw.lower() not in allowed:
            raise ValueError(f"invalid value: {raw!r} (expected one of {', '.join(allowed)})")
        return raw.lower()
    if kind == "networks":
        return networks(raw)
    if kind == "hosts":
        return allowing([name for name in raw.replace(",", " ").split() if name])
    if kind == "folders":
        return tuple(_folder(part) for part in raw.split(":") if part)
    return _checked(kind, raw)


def _port(raw: object) -> int:
    if isinstance(raw, bool) or not str(raw).isdecimal() or int(str(raw)) > 65535:
        raise ValueError(f"invalid port: {raw!r} (expected a number from 0 to 65535)")
    return int(str(raw))


def _folder(raw: str) -> str:
    """Validate a folder that trials may mount, or the name of a Docker volume."""
    folder = os.path.expanduser(raw)
    if "/" in folder and (not folder.startswith("/") or os.path.normpath(folder) in ("/", "//")):
        raise ValueError(f"cannot allow '{raw}' (expected an absolute folder below /, or the name of a Docker volume)")
    return folder


def _roles(raw: object) -> tuple[tuple[str, str], ...]:
    """Parse the roles of groups: a table, or `GROUP=ROLE, …`."""
    if isinstance(raw, str):
        parts = (part.rpartition("=") for part in raw.split(",") if part.strip())
        raw = {group.strip(): role.strip() for group, _, role in parts}
    if not isinstance(raw, dict) or not raw:
        raise ValueError("no roles (expected a table, or a text such as 'ml-team=editor, *=viewer')")
    for group, role in raw.items():
        if not group or role not in SERVER_ROLES:
            raise ValueError(f"invalid role of '{group}': {role!r} (expected one of {', '.join(SERVER_ROLES)})")
    return tuple(raw.items())


def _checked(kind: str, raw: str) -> str:
    """Validate an address by its kind."""
    if kind == "database":
        _check_database(raw)
    if kind == "hook":
        try:
            parse(raw)
        except BadInput as exc:
            raise ValueError(exc.message) from exc  # the message omits the address, which may contain a key
    if kind == "issuer" and not is_safe_address(raw):
        raise ValueError(
            f"invalid issuer: {raw!r} (expected an https address such as https://id.example.org/realms/lab)"
        )
    if kind == "url" and not _is_address(raw):
        raise ValueError(f"invalid URL: {raw!r} (expected one such as https://orchestune.example.org)")
    return raw


def _is_address(raw: str) -> bool:
    try:
        parts = urlsplit(raw)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.query
    except ValueError:  # invalid port
        return False


def _check_database(raw: str) -> None:
    """Raise ValueError if the URL is invalid. The message omits the URL, which may contain a password."""
    scheme, _, rest = raw.partition("://")
    if not raw.startswith(("sqlite:///", "postgresql://")):
        raise ValueError("invalid URL of a database (expected sqlite:///PATH or postgresql://USER@HOST/NAME)")
    if scheme == "sqlite":
        if rest in ("/", "/:memory:"):
            raise ValueError("no file in the URL (expected one such as sqlite:////var/lib/orchestune/orchestune.db)")
        return
    try:
        parts = urlsplit(raw)
        is_valid = parts.netloc.count("@") <= 1 and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError(
            "invalid URL of a database (expected postgresql://USER:PASSWORD@HOST:5432/NAME, with %40 for @, %2F for /"
            " and %3A for : in the password)"
        )

"""Image references: `python:3.12`, `registry.lab:5000/team/model@sha256:…`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from orchestune.errors import BadInput

HUB = "docker.io"
_HUB_SERVER = "registry-1.docker.io"
_HUB_NAMES = (HUB, "index.docker.io", _HUB_SERVER)
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")
_EXAMPLE = "write it like python:3.12-slim or registry.lab:5000/team/model:1"


@dataclass(frozen=True)
class Reference:
    """A fully qualified image reference; a tag may move, a digest is immutable."""

    registry: str
    """host and optional port, in the usual spelling: `docker.io`"""
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def version(self) -> str:
        """Digest or tag to request from the registry."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """Return the reference by digest only, as trials use it."""
        return replace(self, tag=None, digest=digest)


def parse(text: str) -> Reference:
    """Parse a reference as Docker does; without tag and digest it means `latest`. Raises BadInput with the reason."""
    rest, separator, digest = text.partition("@")
    if separator and not _DIGEST.fullmatch(digest):
        raise _problem(text, f"invalid digest {digest!r} (expected sha256: and 64 hexadecimal digits)")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    elif not _TAG.fullmatch(tag):
        raise _problem(text, f"invalid tag {tag!r}")
    registry, repository = _split(name)
    if not _REGISTRY.fullmatch(registry):
        raise _problem(text, f"invalid registry {registry!r}")
    if not _REPOSITORY.fullmatch(repository) or len(repository) > 255:
        reason = " (capital letters are not allowed)" if repository != repository.lower() else ""
        raise _problem(text, f"invalid repository name {repository!r}{reason}")
    return Reference(registry, repository, tag or (None if digest else "latest"), digest or None)


@dataclass(frozen=True)
class PushTarget:
    """Destination for pushed images: a registry and a path in it."""

    registry: str
    prefix: str = ""
    plain: bool = False
    """specified with http://: the registry has no TLS"""

    def repository(self, name: str) -> str:
        """Return the repository for images called `name`."""
        return f"{self.prefix}/{name}" if self.prefix else name


def parse_place(text: str) -> PushTarget:
    """Parse `HOST[:PORT][/PATH]`, with http:// in front if there is no TLS. Raises BadInput with the reason."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        scheme, rest = "https", text
    registry, _, prefix = rest.strip("/").partition("/")
    is_valid = _REGISTRY.fullmatch(registry) and (not prefix or _REPOSITORY.fullmatch(prefix))
    if scheme not in ("http", "https") or not is_valid:
        raise BadInput.one(
            f"invalid registry: {text!r}",
            key="registry",
            hint="write it like registry.lab:5000 or ghcr.io/team; http://registry.lab:5000 without TLS",
        )
    registry = HUB if registry.lower() in _HUB_NAMES else registry
    return PushTarget(registry, prefix, scheme == "http")


def server(registry: str) -> str:
    """Return the host name of a registry's API."""
    return _HUB_SERVER if registry == HUB else registry


def is_loopback(registry: str) -> bool:
    """Return True if the registry runs on this machine; only such a one, or one marked so, is used without TLS."""
    host = registry[1:].partition("]")[0] if registry.startswith("[") else registry.partition(":")[0]
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        registry, repository = first, rest
    else:
        registry, repository = HUB, name
    if registry.lower() in _HUB_NAMES:
        registry = HUB
        repository = repository if "/" in repository else f"library/{repository}"
    return registry, repository


def _problem(text: str, reason: str) -> BadInput:
    return BadInput.one(f"invalid image reference {text!r}: {reason}", key="image", hint=_EXAMPLE)

"""A client of the OCI distribution API: resolves images to digests, lists their platforms, and pushes images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests

from orchestune import __version__
from orchestune.errors import NotFound, OrchestuneError
from orchestune.images.registries import credentials
from orchestune.images.registries.errors import check, translated
from orchestune.images.registries.login import Login
from orchestune.images.registries.manifests import ACCEPTED, Manifest, Platform, sha256
from orchestune.images.registries.reference import Reference, is_loopback, server
from orchestune.images.registries.trust import trust

SECONDS = 30.0
"""read timeout"""
_PAGE = 1000
_CERTIFICATES = Path("/etc/docker/certs.d")


class Registry:
    """Client of one registry.

    Methods block, and raise Unreachable, TemporaryError, Denied, NotFound or OrchestuneError.

    Uses TLS, except on this machine and if `plain` is set. Not thread-safe.
    """

    def __init__(
        self,
        name: str,
        *,
        plain: bool = False,
        find: Callable[[str], credentials.Credentials | None] = credentials.find,
    ) -> None:
        self.name = name
        self._base = f"{'http' if plain or is_loopback(name) else 'https'}://{server(name)}"
        self._login = Login(name, find, plain=plain)
        self._session = requests.Session()
        self._session.auth = lambda request: request  # otherwise requests would read ~/.netrc
        self._session.headers["User-Agent"] = f"orchestune/{__version__}"
        self._session.trust_env = not is_loopback(name)  # never use a proxy for this machine
        trust(self._session, _CERTIFICATES / name)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def greet(self, repository: str) -> None:
        """Raise an error unless the host is a registry whose repository this user may read."""
        check(self.call("GET", "", repository), self.name, "answer as registries do")

    def manifest(self, repository: str, version: str) -> Manifest:
        """Return the manifest or index of a tag or digest; content that does not match its digest is refused."""
        operation = f"show {self.name}/{repository}, {version}"
        path = f"{repository}/manifests/{version}"
        response = self.call("GET", path, repository, headers={"Accept": ", ".join(ACCEPTED)})
        if response.status_code == 404:
            raise _missing(self.name, repository, version)
        check(response, self.name, operation)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        manifest = Manifest(media_type, response.content)
        if media_type not in ACCEPTED:
            raise OrchestuneError(
                f"{self.name}/{repository}, {version}, is not an image (media type: {media_type or 'none'})",
                "push images from before Docker 1.10 again with a newer Docker",
            )
        if version.startswith("sha256:") and manifest.digest != version:
            raise OrchestuneError(
                f"the registry {self.name} sent content for {repository} that does not match {version}"
            )
        return manifest

    def find(self, repository: str, version: str) -> str | None:
        """Return the digest of a tag or digest, None if absent; a cheap HEAD request."""
        path = f"{repository}/manifests/{version}"
        response = self.call("HEAD", path, repository, headers={"Accept": ", ".join(ACCEPTED)})
        if response.status_code == 404:
            return None
        check(response, self.name, f"show {self.name}/{repository}, {version}")
        return response.headers.get("Docker-Content-Digest") or self.manifest(repository, version).digest

    def tags(self, repository: str) -> list[str]:
        """Return all tags of a repository, in the registry's order."""
        tag_names: list[str] = []
        path: str | None = f"{repository}/tags/list?n={_PAGE}"
        while path:
            response = self.call("GET", path, repository)
            if response.status_code == 404:
                raise NotFound(f"there is no repository {self.name}/{repository}", "check its name")
            check(response, self.name, f"list the tags of {self.name}/{repository}")
            try:
                tag_names += [str(tag) for tag in response.json().get("tags") or ()]
            except (ValueError, AttributeError, TypeError) as exc:  # such as the login page of a proxy
                raise OrchestuneError(f"the registry {self.name} sent no list of tags for {repository}") from exc
            next_url = response.links.get("next", {}).get("url")
            path = self.absolute(next_url) if next_url else None
        return tag_names

    def put_manifest(self, repository: str, version: str, manifest: Manifest) -> str:
        """Push a manifest, whose blobs must exist, under a tag or its digest; return its digest."""
        headers = {"Content-Type": manifest.media_type}
        path = f"{repository}/manifests/{version}"
        response = self.call("PUT", path, repository, push=True, headers=headers, data=manifest.body)
        check(response, self.name, f"push {self.name}/{repository}, {version}")
        return manifest.digest

    def blob(self, repository: str, digest: str) -> Iterator[bytes]:
        """Yield the content of a blob."""
        response = self.call("GET", f"{repository}/blobs/{digest}", repository, stream=True)
        with translated(self.name), closing(response):
            check(response, self.name, f"show {self.name}/{repository}, blob {digest}")
            yield from response.iter_content(1 << 20)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Return True if the blob exists."""
        response = self.call("HEAD", f"{repository}/blobs/{digest}", repository)
        if response.status_code != 404:
            check(response, self.name, f"look for a blob of {self.name}/{repository}")
        return response.ok

    def platforms(self, repository: str, manifest: Manifest) -> tuple[Platform, ...]:
        """Return the platforms of an image or an index."""
        if manifest.is_index:
            return tuple(manifest.listed())
        config = self.configuration(repository, manifest)
        return (Platform(str(config.get("architecture", "")), str(config.get("os", "linux"))),)

    def configuration(self, repository: str, manifest: Manifest, platform: Platform | None = None) -> Mapping[str, Any]:
        """Return the image configuration; for an index, that of the image for `platform`."""
        if manifest.is_index:
            digest = manifest.listed().get(platform) if platform else None
            if digest is None:
                raise NotFound(f"{self.name}/{repository} has no image for {platform}")
            manifest = self.manifest(repository, digest)
        digest = str((manifest.document.get("config") or {}).get("digest", ""))
        body = b"".join(self.blob(repository, digest))
        if sha256(body) != digest:
            raise OrchestuneError(
                f"the registry {self.name} sent content for {repository} that does not match {digest}"
            )
        return Manifest("", body).document

    def resolve(self, reference: Reference) -> tuple[Reference, tuple[Platform, ...]]:
        """Return the reference by digest, and its platforms."""
        manifest = self.manifest(reference.repository, reference.version)
        return reference.at(manifest.digest), self.platforms(reference.repository, manifest)

    def call(self, method: str, path: str, repository: str, *, push: bool = False, **options: Any) -> requests.Response:
        """Send a request to a path below `/v2/`, or to a full URL of this registry; log in if challenged."""
        url = path if "://" in path else f"{self._base}/v2/{path}"
        scope = f"repository:{repository}:{'pull,push' if push else 'pull'}"
        headers = dict(options.pop("headers", {}))
        with translated(self.name):
            for attempt in range(2):
                header = self._login.header(scope) if url.startswith(f"{self._base}/") else None
                if header:
                    headers["Authorization"] = header
                response = self._request(method, url, headers=headers, timeout=SECONDS, **options)
                if response.status_code != 401 or attempt:
                    break
                self._login.forget(scope)
                challenge = response.headers.get("WWW-Authenticate", "")
                response.close()
                if not self._login.answer(challenge, scope, self._session, SECONDS):
                    break
        return response

    def _request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send a request; retry once if the connection was closed, which happens to an idle one during a build."""
        try:
            return self._session.request(method, url, **options)
        except requests.exceptions.Timeout:
            raise
        except requests.exceptions.ConnectionError:
            if method == "PATCH":  # a part of an upload may have arrived
                raise
            return self._session.request(method, url, **options)

    def absolute(self, location: str) -> str:
        """Resolve a `Location` header to a full URL; behind a proxy that terminates TLS, it may say http."""
        base, url = urlsplit(self._base), urlsplit(urljoin(f"{self._base}/", location))
        return urlunsplit(url._replace(scheme=base.scheme) if url.netloc == base.netloc else url)


def _missing(registry: str, repository: str, version: str) -> NotFound:
    separator = "@" if version.startswith("sha256:") else ":"
    kind = "digest" if separator == "@" else "tag"
    return NotFound(f"there is no image {registry}/{repository}{separator}{version}", f"check its name and its {kind}")


def is_public(reference: Reference) -> bool:
    """Return True if an image can be pulled without a login. Blocking; False if the registry does not answer."""
    with Registry(reference.registry, find=lambda _: None) as client:
        try:
            return client.find(reference.repository, reference.version) is not None
        except OrchestuneError:
            return False


def open_registry(name: str, *, plain: bool = False, profile: str = "") -> Registry:
    """Return a client with this user's logins; `profile` is the AWS profile for ECR."""
    return Registry(name, plain=plain, find=lambda registry: credentials.find(registry, os.environ, profile))

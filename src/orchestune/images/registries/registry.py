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
    """Client of one registry. Methods block, and raise Unreachable, TemporaryError, Denied, NotFound or
    OrchestuneError.

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
        what = f"show {self.name}/{repository}, {version}"
        path = f"{repository}/manifests/{version}"
        answer = self.call("GET", path, repository, headers={"Accept": ", ".join(ACCEPTED)})
        if answer.status_code == 404:
            raise _missing(self.name, repository, version)
        check(answer, self.name, what)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        found = Manifest(media_type, answer.content)
        if media_type not in ACCEPTED:
            raise OrchestuneError(
                f"{self.name}/{repository}, {version}, is a {media_type or 'thing without a type'}, no image",
                "images older than Docker 1.10 have to be pushed again by a newer Docker",
            )
        if version.startswith("sha256:") and found.digest != version:
            raise OrchestuneError(f"the registry {self.name} gave other bytes than {version} for {repository}")
        return found

    def find(self, repository: str, version: str) -> str | None:
        """Return the digest of a tag or digest, None if absent; a cheap HEAD request."""
        path = f"{repository}/manifests/{version}"
        answer = self.call("HEAD", path, repository, headers={"Accept": ", ".join(ACCEPTED)})
        if answer.status_code == 404:
            return None
        check(answer, self.name, f"show {self.name}/{repository}, {version}")
        return answer.headers.get("Docker-Content-Digest") or self.manifest(repository, version).digest

    def tags(self, repository: str) -> list[str]:
        """Return all tags of a repository, in the registry's order."""
        found: list[str] = []
        path: str | None = f"{repository}/tags/list?n={_PAGE}"
        while path:
            answer = self.call("GET", path, repository)
            if answer.status_code == 404:
                raise NotFound(f"there is no repository {self.name}/{repository}", "check its name")
            check(answer, self.name, f"list the tags of {self.name}/{repository}")
            try:
                found += [str(tag) for tag in answer.json().get("tags") or ()]
            except (ValueError, AttributeError, TypeError) as exc:  # such as the login page of a proxy
                raise OrchestuneError(f"the registry {self.name} gave no list of tags for {repository}") from exc
            after = answer.links.get("next", {}).get("url")
            path = self.absolute(after) if after else None
        return found

    def put_manifest(self, repository: str, version: str, manifest: Manifest) -> str:
        """Push a manifest, whose blobs must exist, under a tag or its digest; return its digest."""
        headers = {"Content-Type": manifest.media_type}
        path = f"{repository}/manifests/{version}"
        answer = self.call("PUT", path, repository, push=True, headers=headers, data=manifest.body)
        check(answer, self.name, f"push {self.name}/{repository}, {version}")
        return manifest.digest

    def blob(self, repository: str, digest: str) -> Iterator[bytes]:
        """Yield the content of a blob."""
        answer = self.call("GET", f"{repository}/blobs/{digest}", repository, stream=True)
        with translated(self.name), closing(answer):
            check(answer, self.name, f"show {self.name}/{repository}, blob {digest}")
            yield from answer.iter_content(1 << 20)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Return True if the blob exists."""
        answer = self.call("HEAD", f"{repository}/blobs/{digest}", repository)
        if answer.status_code != 404:
            check(answer, self.name, f"look for a blob of {self.name}/{repository}")
        return answer.ok

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
            raise OrchestuneError(f"the registry {self.name} gave other bytes than {digest} for {repository}")
        return Manifest("", body).document

    def resolve(self, reference: Reference) -> tuple[Reference, tuple[Platform, ...]]:
        """Return the reference by digest, and its platforms."""
        manifest = self.manifest(reference.repository, reference.version)
        return reference.at(manifest.digest), self.platforms(reference.repository, manifest)

    def call(self, method: str, path: str, repository: str, *, push: bool = False, **more: Any) -> requests.Response:
        """Send a request to a path below `/v2/`, or to a full URL of this registry; log in if challenged."""
        url = path if "://" in path else f"{self._base}/v2/{path}"
        scope = f"repository:{repository}:{'pull,push' if push else 'pull'}"
        headers = dict(more.pop("headers", {}))
        with translated(self.name):
            for attempt in range(2):
                known = self._login.header(scope) if url.startswith(f"{self._base}/") else None
                if known:
                    headers["Authorization"] = known
                answer = self._request(method, url, headers=headers, timeout=SECONDS, **more)
                if answer.status_code != 401 or attempt:
                    break
                self._login.forget(scope)
                challenge = answer.headers.get("WWW-Authenticate", "")
                answer.close()
                if not self._login.answer(challenge, scope, self._session, SECONDS):
                    break
        return answer

    def _request(self, method: str, url: str, **more: Any) -> requests.Response:
        """Send a request; retry once if the connection was closed, which happens to an idle one during a build."""
        try:
            return self._session.request(method, url, **more)
        except requests.exceptions.Timeout:
            raise
        except requests.exceptions.ConnectionError:
            if method == "PATCH":  # a part of an upload may have arrived
                raise
            return self._session.request(method, url, **more)

    def absolute(self, location: str) -> str:
        """Resolve a `Location` header to a full URL; behind a proxy that terminates TLS, it may say http."""
        own, url = urlsplit(self._base), urlsplit(urljoin(f"{self._base}/", location))
        return urlunsplit(url._replace(scheme=own.scheme) if url.netloc == own.netloc else url)


def _missing(registry: str, repository: str, version: str) -> NotFound:
    joint = "@" if version.startswith("sha256:") else ":"
    what = "digest" if joint == "@" else "tag"
    return NotFound(f"there is no image {registry}/{repository}{joint}{version}", f"check its name and its {what}")


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

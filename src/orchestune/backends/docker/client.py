"""Docker Engine API client of this backend. It translates all vendor errors.

Raises `DaemonUnreachable` (retry later) if the daemon does not answer, `DaemonError` if it returns an error.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orchestune.backends.docker.config import Daemon, find
from orchestune.backends.docker.plan import DockerHost
from orchestune.errors import OrchestuneError, TemporaryError


class DaemonUnreachable(TemporaryError):
    """The daemon does not answer."""


class DaemonError(OrchestuneError):
    """The daemon returned an error; `answer` is its HTTP status, 0 for an error within a stream."""

    def __init__(self, message: str, hint: str = "", answer: int = 0) -> None:
        super().__init__(message, hint)
        self.answer = answer


_RESTART = "and restart the server (your own: orchestune doctor --restart)"
_START = f"start Docker (systemctl start docker), or name another daemon in DOCKER_HOST, {_RESTART}"
_SSH = f"install it (pip install paramiko), {_RESTART}"
_PERMISSION = "join the group docker (usermod -aG docker USER), and log in again"


class DockerEngine:
    """One daemon, by default the one returned by `config.find`.

    Connects at the first call and reconnects after a failure. Thread-safe. `timeout` is per response, in seconds.
    """

    def __init__(self, timeout: int = 60, daemon: Daemon | None = None) -> None:
        self._timeout = timeout
        self._daemon = daemon
        self._local = threading.local()

    def about(self) -> DockerHost:
        """Return the daemon's host."""
        with self._api() as api:
            info = api.info()
            version = api.version()
        options = " ".join(info.get("SecurityOptions") or ())
        return DockerHost(
            name=str(info.get("Name") or ""),
            cpu=float(info.get("NCPU") or 1),
            memory=int(info.get("MemTotal") or 0),
            architecture=str(version.get("Arch") or ""),
            here=self._selected().here,
            desktop=info.get("OperatingSystem") == "Docker Desktop",
            rootless="name=rootless" in options,
            remapped="name=userns" in options,
        )

    def image(self, reference: str) -> Mapping[str, Any] | None:
        """Return the daemon's data on an image; None if absent."""
        image: Mapping[str, Any] | None = self._or_none(lambda api: api.inspect_image(reference))
        return image

    def pull(self, reference: str) -> Iterator[Mapping[str, Any]]:
        """Pull an image with the credentials of `docker login`; yield the progress messages."""
        import docker.errors  # see `_api`

        with self._api() as api:
            try:
                api.reload_config()
                messages = api.pull(reference, stream=True, decode=True)
            except docker.errors.APIError:
                raise
            except docker.errors.DockerException as exc:  # from a credential helper; the daemon was not called
                raise DaemonError(f"cannot read your login: {_message(exc)}") from exc
            for message in messages:
                if "error" in message:
                    raise DaemonError(str(message["error"]))
                yield message

    def create(self, name: str, config: Mapping[str, Any]) -> None:
        """Create a container. Idempotent: an existing one of that name is kept."""
        try:
            with self._api() as api:
                api.create_container_from_config(dict(config), name)
        except DaemonError as refused:
            if refused.answer != 409:
                raise

    def put(self, name: str, folder: str, archive: bytes) -> None:
        """Unpack a tar into a folder of a container."""
        with self._api() as api:
            api.put_archive(name, folder, archive)

    def has_file(self, name: str, path: str) -> bool:
        """Return True if a container has this file."""
        return self._or_none(lambda api: b"".join(api.get_archive(name, path)[0])) is not None

    def start(self, name: str) -> None:
        """Start a container. No effect if it is running."""
        with self._api() as api:
            api.start(name)

    def signal(self, name: str, signal: str) -> None:
        """Signal the main process of a container. No effect if it is not running."""
        try:
            with self._api() as api:
                api.kill(name, signal)
        except DaemonError as refused:
            if refused.answer not in (404, 409):
                raise

    def containers(self, label: str) -> list[Mapping[str, Any]]:
        """Return all containers with this label (NAME=VALUE), running or not."""
        with self._api() as api:
            containers: list[Mapping[str, Any]] = api.containers(all=True, filters={"label": label})
            return containers

    def inspect(self, name: str) -> Mapping[str, Any] | None:
        """Return the full data of a container; None if absent."""
        inspection: Mapping[str, Any] | None = self._or_none(lambda api: api.inspect_container(name))
        return inspection

    def last_lines(self, name: str, count: int) -> list[str]:
        """Return the container's log tail, as far as the daemon can provide it."""
        try:
            with self._api() as api:
                text: bytes = api.logs(name, tail=count)
        except DaemonError:
            return []
        return [line.rstrip() for line in text.decode(errors="replace").splitlines() if line.strip()]

    def killed_for_memory(self, name: str, since: float, until: float) -> list[float]:
        """Return the times of OOM kills in the container, as far as the daemon remembers."""
        filters = {"container": name, "event": "oom"}
        try:
            with self._api() as api:
                events = api.events(since=int(since), until=int(until) + 1, filters=filters, decode=True)
                return [event["timeNano"] / 1e9 for event in events]
        except DaemonError:
            return []

    def remove(self, name: str) -> None:
        """Remove a container and its anonymous volumes, running or not. No effect if absent."""
        try:
            with self._api() as api:
                api.remove_container(name, v=True, force=True)
        except DaemonError as refused:
            if refused.answer not in (404, 409):  # 409: removal in progress
                raise

    def has_volume(self, name: str) -> bool:
        """Return True if a volume of that name exists."""
        return self._or_none(lambda api: api.inspect_volume(name)) is not None

    def _or_none(self, ask: Callable[[Any], Any]) -> Any:
        try:
            with self._api() as api:
                return ask(api)
        except DaemonError as refused:
            if refused.answer == 404:
                return None
            raise

    @contextmanager
    def _api(self) -> Iterator[Any]:
        import docker.errors  # slow import, and most servers never start a container
        import requests.exceptions
        import urllib3.exceptions

        try:
            if not hasattr(self._local, "api"):
                daemon = self._selected()
                self._local.api = docker.APIClient(daemon.address, "auto", self._timeout, tls=daemon.tls)
            yield self._local.api
        except docker.errors.APIError as exc:
            raise DaemonError(_message(exc.explanation or exc), answer=exc.status_code or 0) from exc
        except (
            docker.errors.DockerException,
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,  # from a streamed response that breaks off
            OSError,
        ) as exc:
            self._local.__dict__.pop("api", None)
            raise self._unreachable(exc) from exc

    def _selected(self) -> Daemon:
        if self._daemon is None:
            self._daemon = find()
        return self._daemon

    def _unreachable(self, exc: Exception) -> DaemonUnreachable:
        where = f" at {self._daemon.address}" if self._daemon else ""
        if "PermissionError" in str(exc):
            return DaemonUnreachable(f"cannot use Docker{where}: permission denied", _PERMISSION)
        if "paramiko" in str(exc):
            return DaemonUnreachable(f"cannot reach Docker{where} by SSH: the package paramiko is missing", _SSH)
        if "FileNotFoundError" in str(exc):
            return DaemonUnreachable(f"cannot connect to Docker{where}: no such socket", _START)
        if "ConnectionRefusedError" in str(exc):
            return DaemonUnreachable(f"cannot connect to Docker{where}: connection refused", _START)
        return DaemonUnreachable(f"no response from Docker{where}: {_message(exc)}", _START)


def _message(exc: object) -> str:
    text = str(exc)
    try:
        text = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(text.split())

"""Image pulls, with progress messages and retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestune.backends.docker.client import DaemonError, DockerEngine
from orchestune.domain.resources.placement import Placement
from orchestune.errors import OrchestuneError

_FINAL = (400, 401, 403, 404)
PAUSES = (1.0, 3.0)
"""seconds before the first and the second retry, if a registry does not answer or is busy"""


class ImageUnavailable(OrchestuneError):
    """The image cannot be pulled; carries the registry's message."""


class PullCancelled(Exception):
    """The image is no longer needed by any worker."""


class PullProgress:
    """The accumulated progress of one pull."""

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self._layers: dict[str, tuple[int, int]] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        """Process one message of the daemon."""
        detail = message.get("progressDetail") or {}
        if message.get("status") == "Downloading" and detail.get("total"):
            self._layers[str(message.get("id"))] = (int(detail.get("current") or 0), int(detail["total"]))
        elif message.get("status") in ("Download complete", "Pull complete") and str(message.get("id")) in self._layers:
            total = self._layers[str(message.get("id"))][1]
            self._layers[str(message.get("id"))] = (total, total)

    def __str__(self) -> str:
        if not self._layers:
            return f"pulling the image {self._reference}"
        here, total = (sum(sizes) / 1e6 for sizes in zip(*self._layers.values(), strict=True))
        return f"pulling the image {self._reference}: {here:.0f} of {total:.0f} MB"


def fetch(
    engine: DockerEngine,
    reference: str,
    say: Callable[[str], None],
    is_needed: Callable[[], bool],
    pause: Callable[[float], None],
) -> None:
    """Pull the image unless present.

    Raises ImageUnavailable if that fails permanently, DaemonUnreachable, or PullCancelled if it is no longer needed.
    """
    if engine.image(reference) is not None:
        return
    if reference.startswith("sha256:"):  # built here or loaded from a file: no registry has it
        raise ImageUnavailable(
            f"Docker no longer has the image {reference}", "start the experiment again, which builds the image"
        )
    for seconds in (*PAUSES, None):
        try:
            progress = PullProgress(reference)
            say(str(progress))
            for message in engine.pull(reference):
                progress.take(message)
                say(str(progress))
                if not is_needed():
                    raise PullCancelled
            if engine.image(reference) is None:
                raise DaemonError("the registry sent another image")
            return
        except DaemonError as refused:
            if seconds is None or refused.answer in _FINAL:
                raise ImageUnavailable(
                    f"cannot pull the image {reference}: {refused.message}",
                    "check its name, and log in with `docker login` if it is private",
                ) from refused
            say(f"cannot pull the image {reference} yet: {refused.message}")
            pause(seconds)
            if not is_needed():
                raise PullCancelled from refused


def reference(placement: Placement) -> str:
    """Return the image of a placement that has one."""
    assert placement.image is not None
    return placement.image

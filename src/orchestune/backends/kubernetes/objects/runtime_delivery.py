"""Delivery of the private Python into a worker's pod: by an image volume if the cluster supports it, else by a copy.

An image volume mounts the image that holds the Python, read-only, and adds nothing to a pod's start time. An init
container that copies it works everywhere. The component versions decide until a pod proves otherwise: for its
experiment only, as messages of kubelets and runtimes can repeat text of the experiment, or for all experiments if the
message cannot contain any.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.backends.kubernetes.observation.capacity import Node
from orchestune.backends.kubernetes.observation.views import container_statuses
from orchestune.errors import Denied, NotFound
from orchestune.kubeapi.client import ApiServer

log = logging.getLogger(__name__)

VOLUME = "orchestune"
"""name of the volume that holds the private Python"""
SINCE = (1, 35)
"""first Kubernetes version with ImageVolume enabled by default (before, KEP-4639 was off by default)"""
RUNTIMES: Mapping[str, tuple[int, int]] = {"containerd": (2, 1), "cri-o": (1, 33)}
"""first version of each container runtime that mounts image volumes"""
_NO_IMAGE_VOLUMES = re.compile(
    r"must specify a volume type|no volume plugin matched|HostPath is empty|mkdir \"\"|volume type \"image\"|"
    r"image[- ]volume|IDMAP|(?:exec|stat|open):? .*/orchestune/",
    re.IGNORECASE,
)
"""messages of API servers, kubelets and runtimes for missing image volumes, or for an empty one"""
_RUNTIME_WITHOUT_IMAGE_VOLUMES = re.compile(
    r"(?:rpc error: code = \w+ desc = )?(?:failed to create containerd container: )?"
    r'(?:failed to generate spec: failed to mkdir "": mkdir : no such file or directory|mount\.HostPath is empty)'
)
"""complete messages of runtimes without image volumes: they contain no text of an experiment"""
_START_FAILURES = {
    "waiting": ("CreateContainerError", "RunContainerError"),
    "terminated": ("StartError", "ContainerCannotRun"),
}


@dataclass(frozen=True)
class Delivery:
    """The delivery method and its reason."""

    volume: bool
    why: str = ""
    """why the faster method is not used"""

    def __str__(self) -> str:
        return "an image volume" if self.volume else f"a copy by an init container: {self.why}"


def decide(setting: bool | None, version: str, nodes: Iterable[Node]) -> Delivery:
    """Return the delivery by the setting, else by the versions of the API server (`v1.36.3`) and the visible nodes."""
    if setting is not None:
        return Delivery(setting, "" if setting else "image volumes are switched off by a setting")
    if _number(version) < SINCE:
        return Delivery(False, f"image volumes need Kubernetes {_dotted(SINCE)}, this is {version or 'not known'}")
    for node in nodes:
        why = _lacks(node) if node.open else ""
        if why:
            return Delivery(False, f"image volumes need {why}")
    return Delivery(True)


def uses_volume(document: Mapping[str, Any] | None) -> bool:
    """Return True if a pod, or the pod of a Job, gets the Python by an image volume."""
    if document is None:
        return False
    spec = document["spec"].get("template", document)["spec"]
    return any(each["name"] == VOLUME and "image" in each for each in spec.get("volumes") or ())


class RuntimeDelivery:
    """Delivery methods of one cluster, updated by failed and successful pods since the server started. Thread-safe."""

    def __init__(self, api: ApiServer, setting: bool | None) -> None:
        self._api, self._setting = api, setting
        self._lock = threading.Lock()
        self._version: str | None = None
        self._failed = ""
        self._failed_for: dict[str, str] = {}
        """experiment → reason"""
        self._proved = False

    def decide(self, nodes: Iterable[Node], experiment: str = "") -> Delivery:
        """Return the delivery for the next pod (of that experiment). Raises TemporaryError if the API is down."""
        if why := self._failed or self._failed_for.get(experiment):
            return Delivery(False, f"image volumes do not work here ({why})")
        return decide(self._setting, self._server_version() if self._setting is None else "", nodes)

    def prove(self) -> None:
        """Record that a pod with an image volume has run."""
        self._proved = True

    def doubts(self, words: str, *, suspect: bool = False) -> bool:
        """Return True if, by the message of a pod with an image volume that cannot start, a copy may work.

        `suspect`: the volume may be the cause even if the message does not name it, as long as none has ever worked.
        """
        if self._setting is not None or not words:
            return False
        return bool(_NO_IMAGE_VOLUMES.search(words)) or (suspect and not self._proved)

    def give_up(self, words: str, experiment: str, *, ours: bool = False) -> None:
        """Stop using image volumes for that experiment's pods, or for all pods.

        `ours`: nothing of the experiment can be the cause.
        """
        why = " ".join(words.split())[:300]
        if not ours and not _RUNTIME_WITHOUT_IMAGE_VOLUMES.fullmatch(words):
            self._failed_for[experiment] = why
            return
        with self._lock:
            if not self._failed:
                self._failed = why
                log.warning("pods get a copy of the worker's Python from now on: no image volumes here: %s", words)

    def _server_version(self) -> str:
        with self._lock:
            if self._version is None:
                self._version = server_version(self._api)
            return self._version


def server_version(api: ApiServer) -> str:
    """Return the API server's version, such as `v1.36.3`; empty if the account may not ask."""
    try:
        return str(api.call("GET", "/version").get("gitVersion") or "")
    except (Denied, NotFound):
        return ""


def start_failure(pod: Mapping[str, Any] | None) -> str:
    """Return the runtime's message if it could not start the worker's container; empty otherwise."""
    for status in container_statuses(pod, "containerStatuses") if pod is not None else ():
        state = status.get("state") or {}
        for kind, reasons in _START_FAILURES.items():
            failure = state.get(kind) or {}
            if failure.get("reason") in reasons:
                return str(failure.get("message") or failure["reason"])
    return ""


def _lacks(node: Node) -> str:
    """Return the requirement that a node misses (`containerd 2.1, cpu1 has containerd 1.7.27`); empty if none."""
    if _number(node.kubelet) < SINCE:
        return f"a kubelet of version {_dotted(SINCE)}, {node.name} has {node.kubelet or 'another'}"
    kind, _, version = node.runtime.partition("://")
    required = RUNTIMES.get(kind)
    if required is None:
        supported = " or ".join(f"{name} {_dotted(number)}" for name, number in RUNTIMES.items())
        return f"{supported}, {node.name} has {kind or 'another runtime'}"
    if _number(version) < required:
        return f"{kind} {_dotted(required)}, {node.name} has {kind} {version}"
    return ""


def _number(version: str) -> tuple[int, int]:
    """Parse major and minor: `v1.36.3-gke.100` → (1, 36)."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _dotted(number: tuple[int, int]) -> str:
    return f"{number[0]}.{number[1]}"

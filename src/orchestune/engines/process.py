"""Engines that learn, in a process of their own: their arithmetic would hold the server's interpreter lock."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from orchestune.domain.metrics import Metric
from orchestune.domain.parameters import Value
from orchestune.domain.space import Configuration, Space
from orchestune.domain.trial import Observation
from orchestune.engines.versions import version_of
from orchestune.engines.wire import encode, observation_to_json
from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.ports.engine import Exhausted, StillLooking

log = logging.getLogger(__name__)

_PATIENCE = 120.0
_TOLD_AT_ONCE = 2000
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class EngineLost(TemporaryError):
    """The process that held the engine's history is gone: create the engine again and tell it everything."""


class Child:
    """One process and the socket to it. Requests of several threads take turns."""

    def __init__(self, patience: float) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = _start(theirs.fileno())
            except OSError as exc:
                ours.close()
                raise EngineLost(f"the process of the engines cannot be started: {exc}") from exc
        ours.settimeout(patience)
        self._socket = ours
        self._answers = ours.makefile("rb")
        self._lock = threading.Lock()
        self.closed: set[int] = set()
        """engines that are closed and that the process still has; it hears of them with the next request"""

    def alive(self) -> bool:
        """Whether it can be asked."""
        return self.process.poll() is None

    def request(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request; EngineLost, and the process ended, where there is none."""
        with self._lock:
            try:
                closed = list(self.closed)
                self._socket.sendall(encode({**document, "closed": closed}))
                line = self._answers.readline()
                if not line.endswith(b"\n"):
                    raise EOFError("it ended")
            except (OSError, EOFError, ValueError) as exc:  # ValueError: the socket was closed by `end`
                self.end()
                raise EngineLost(f"the process of the engines is gone: {exc}") from exc
            self.closed.difference_update(closed)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """End the process now, and wait until it has. Idempotent."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self._answers.close()
        self._socket.close()


def _start(fd: int) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        # -P: a file of the user in the current folder must not stand in for a library
        [sys.executable, "-P", "-m", "orchestune.engines.child", str(fd)],
        pass_fds=[fd],
        env={**os.environ, "PYTHONPATH": path, **dict.fromkeys(_THREADS, "1")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C in the server's terminal is not for it
    )


class Host:
    """Holds the one child of a server: started when it is needed, replaced when it has died.

    A child that gives no answer for `patience` seconds is stuck, and ended.
    """

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._child: Child | None = None

    def child(self) -> Child:
        """A live child."""
        with self._lock:
            if self._child is None or not self._child.alive():
                if self._child is not None:
                    log.warning("the process of the engines ended with %s", self._child.process.returncode)
                    self._child.end()
                self._child = Child(self._patience)
            return self._child

    def close(self) -> None:
        """End the child; the engines in it are lost. A later call starts another one. Idempotent."""
        with self._lock:
            if self._child is not None:
                self._child.end()
            self._child = None


HOST = Host()
"""the child that all engines of this process share; a server closes it as it ends"""
atexit.register(HOST.close)


_numbers = itertools.count()


class ProcessEngine:
    """An `Engine` whose history and arithmetic are in the child. `ask` raises EngineLost once the child has died.

    What is told is sent with the next `ask`; of a long history so many results at once that the engines of others get
    their turns between, and that a child that works is not taken for a stuck one. Safe to use beside other engines in
    other threads.
    """

    uses_history = True

    def __init__(
        self,
        name: str,
        space: Space,
        metrics: Sequence[Metric],
        *,
        seed: int,
        options: Mapping[str, Any],
        host: Host = HOST,
    ) -> None:
        self.name = self.source = name
        self.version = version_of(name)
        self._create: dict[str, Any] = {
            "name": name,
            "seed": seed,
            "space": space.to_json(),
            "constraints": space.texts(),
            "metrics": [metric.to_json() for metric in metrics],
            "options": dict(options),
        }
        self._host = host
        self._number = next(_numbers)
        self._child: Child | None = None
        self._failed = False
        self._unsent: list[Observation] = []

    def tell(self, observations: Sequence[Observation]) -> None:
        self._unsent += observations

    def ask(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        if self._failed:
            raise EngineLost("the engine failed before, and nobody knows how much it was told")
        while len(self._unsent) > _TOLD_AT_ONCE:
            self._request({})
        answer = self._request(
            {"pending": [dict(configuration) for configuration in pending], "number": number, "seed": seed}
        )
        if "exhausted" in answer:
            raise Exhausted(answer["exhausted"])
        if "looking" in answer:
            raise StillLooking
        self.source = answer["source"]
        configuration: dict[str, Value] = answer["configuration"]
        return configuration

    def _request(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Tell the first of what is unsent, and ask."""
        sent = self._unsent[:_TOLD_AT_ONCE]
        request = {"engine": self._number, "observations": [observation_to_json(each) for each in sent], **question}
        if self._child is None:
            self._child = self._host.child()
            request["create"] = self._create
        answer = self._child.request(request)
        del self._unsent[: len(sent)]
        if "failed" in answer:
            log.error("an engine failed: %s", answer["traceback"])
            self._failed = True
            raise OrchestuneError(f"the engine failed: {answer['failed']}")
        return answer

    def close(self) -> None:
        if self._child is not None:
            self._child.closed.add(self._number)
        self._unsent.clear()

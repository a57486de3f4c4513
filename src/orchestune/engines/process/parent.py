"""Runs learning engines in a child process: their arithmetic would hold the server's interpreter lock.

If the process dies or hangs, each request raises EngineLost. The next engine starts another process, and
`controllers/suggesting.py` gives it the whole history.
"""

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

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.process.messages import encode, observation_to_json
from orchestune.engines.versions import version_of
from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.ports.engine import EnginesCrowded, Exhausted, StillLooking

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 120.0
_MAX_RESULTS_PER_MESSAGE, _MAX_VALUES_PER_MESSAGE = 2000, 10_000
"""each engine holds the results of one message until it is asked, and the child parses one; a value takes 100 bytes"""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class EngineLost(TemporaryError):
    """The process with the engine's history has died: recreate the engine and tell it the whole history."""


class Child:
    """A child process and its socket. Requests of several threads are serialized."""

    def __init__(self, timeout: float) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = _start(theirs.fileno())
            except OSError as exc:
                ours.close()
                raise EngineLost(f"the process of the engines cannot be started: {exc}") from exc
        ours.settimeout(timeout)
        self._socket = ours
        self._answers = ours.makefile("rb")
        self._lock = threading.Lock()
        self.closed: set[int] = set()
        """closed engines that the child still holds; the next request tells it to drop them"""

    def alive(self) -> bool:
        """Return True if the process is running."""
        return self.process.poll() is None

    def request(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to one request. Without an answer it kills the process and raises EngineLost."""
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
        """Kill the process and wait for its exit. Idempotent."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self._answers.close()
        self._socket.close()


def _start(fd: int) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        # -P: a file in the current directory must not shadow a library
        [sys.executable, "-P", "-m", "orchestune.engines.process.child", str(fd)],
        pass_fds=[fd],
        env={**os.environ, "PYTHONPATH": path, **dict.fromkeys(_THREAD_VARIABLES, "1")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C in the server's terminal must not reach it
    )


class ChildHost:
    """Holds the single child of a server: started on demand, replaced after it died.

    `timeout`: timeout of a request in seconds, after which the child counts as stuck and is killed.
    """

    def __init__(self, timeout: float = _TIMEOUT_SECONDS) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._child: Child | None = None

    def child(self) -> Child:
        """Return a running child; start one if necessary."""
        with self._lock:
            if self._child is None or not self._child.alive():
                if self._child is not None:
                    log.warning("the process of the engines ended with %s", self._child.process.returncode)
                    self._child.end()
                self._child = Child(self._timeout)
            return self._child

    def close(self) -> None:
        """Kill the child; its engines are lost. A later `child` call starts another one. Idempotent."""
        with self._lock:
            if self._child is not None:
                self._child.end()
            self._child = None


HOST = ChildHost()
"""the child shared by all engines of this process; a server closes it on shutdown"""
atexit.register(HOST.close)


_numbers = itertools.count()


class ProcessEngine:
    """An `Engine` whose history and arithmetic are in the child. `ask` raises EngineLost once the child has died.

    Observations are sent with the next `ask`, those of long histories before it, in chunks, so that other engines get
    their turns and a busy child does not run into the timeout. Other engines may be used in other threads at the same
    time.
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
        host: ChildHost = HOST,
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
        self._results_per_message = max(
            1, min(_MAX_RESULTS_PER_MESSAGE, _MAX_VALUES_PER_MESSAGE // max(1, len(space.parameters)))
        )
        self._host = host
        self._number = next(_numbers)
        self._child: Child | None = None
        self._failed = False
        self._unsent: list[Observation] = []

    def tell(self, observations: Sequence[Observation]) -> None:
        """Append to the history. Sends all of it but one message's results, so that a long one is not held here."""
        self._unsent += observations
        while len(self._unsent) > self._results_per_message:
            self._request({})

    def ask(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        if self._failed:
            raise EngineLost("the engine failed before, and nobody knows how much it was told")
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
        """Send the first chunk of unsent observations with a question; return the answer."""
        sent = self._unsent[: self._results_per_message]
        request = {"engine": self._number, "observations": [observation_to_json(each) for each in sent], **question}
        if self._child is None:
            self._child = self._host.child()
            request["create"] = self._create
        answer = self._child.request(request)
        del self._unsent[: len(sent)]
        if "crowded" in answer:
            self._child.end()
            raise EnginesCrowded("the process of the engines has no memory left")
        if "failed" in answer:
            log.error("an engine failed: %s", answer["traceback"])
            self._failed = True
            raise OrchestuneError(f"the engine failed: {answer['failed']}")
        return answer

    def close(self) -> None:
        if self._child is not None:
            self._child.closed.add(self._number)
        self._unsent.clear()

"""The process that runs the learning engines: `python -m orchestune.engines.process.child FD`, started by `parent`.

It serves one request at a time, and exits when the other end of its socket is closed, as by the death of the server.

Its memory is limited, since in a container the kernel may kill the server with it. A request that exceeds the limit
fails if its engine is the only one. Otherwise `parent` replaces the process, since it is unknown which engine fills it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.constraints.deduplication import DistinctEngine
from orchestune.engines.learners import proposer
from orchestune.engines.process.messages import encode, observation_from_json
from orchestune.engines.samplers.center_first import CenterFirst
from orchestune.ports.engine import Engine, Exhausted, StillLooking
from orchestune.system.control_groups import memory

_NICENESS = 5  # trials and the server have priority
_MEMORY_SHARE = 0.3
"""of the machine or container: there are two such processes beside the server"""
_MIN_MEMORY = 384 * 2**20
"""bytes: the libraries alone take 140 MiB"""


def serve(connection: socket.socket) -> None:
    """Serve requests until the connection is closed."""
    engines: dict[int, Engine] = {}
    not_loaded: list[CenterFirst] = []
    with connection, connection.makefile("rb") as requests, contextlib.suppress(ConnectionError):
        for line in requests:
            connection.sendall(encode(_answer(engines, not_loaded, json.loads(line))))
            while not_loaded:
                with contextlib.suppress(Exception):  # raised again by the suggestion that needs the engine
                    not_loaded.pop().load()


def _answer(engines: dict[int, Engine], not_loaded: list[CenterFirst], request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        for closed in request["closed"]:
            engines.pop(closed, None)
        if "importance" in request:
            return _weigh(request["importance"])
        if "estimate" in request:
            return _estimate(request["estimate"])
        if "front" in request:
            return _front(request["front"])
        return _ask(engines, not_loaded, request) if "engine" in request else {}
    except StillLooking:
        return {"looking": True}
    except Exhausted as exc:
        return {"exhausted": str(exc)}
    except MemoryError as exc:
        if engines.keys() - {request.get("engine")}:
            return {"crowded": True}
        engines.clear()
        text = f"its computations take more than {memory_limit() / 2**20:,.0f} MiB of memory"
        return {"failed": text, "traceback": "".join(traceback.format_exception_only(exc))}
    except Exception as exc:  # noqa: BLE001 (a bug in one engine must not stop the others; the server logs it)
        return {"failed": f"{type(exc).__name__}: {exc}", "traceback": traceback.format_exc()}


def _ask(engines: dict[int, Engine], not_loaded: list[CenterFirst], request: Mapping[str, Any]) -> dict[str, Any]:
    engine = request["engine"]
    if "create" in request:
        how = request["create"]
        space = Space.from_json(how["space"], how["constraints"])
        metrics = [Metric.from_json(metric) for metric in how["metrics"]]
        created = proposer(how["name"], space, metrics, how["seed"], how["options"])
        not_loaded += [created] if isinstance(created, CenterFirst) else []
        engines[engine] = DistinctEngine(space, created)
    engines[engine].tell([observation_from_json(document) for document in request["observations"]])
    if "number" not in request:
        return {}
    configuration = engines[engine].ask(request["pending"], request["number"], request["seed"])
    return {"configuration": configuration, "source": engines[engine].source}


def _weigh(request: Mapping[str, Any]) -> dict[str, Any]:
    from orchestune.engines.models.importance import importance  # imported here: rarely needed

    history = [observation_from_json(document) for document in request["history"]]
    space = Space.from_json(request["space"], request["constraints"])
    shares = importance(space, Metric.from_json(request["metric"]), history)
    return {"importance": shares}


def _estimate(request: Mapping[str, Any]) -> dict[str, Any]:
    from orchestune.engines.models.estimate import best_estimate  # imported here: rarely needed

    estimate = best_estimate(*_search_data(request))
    return {"estimate": astuple(estimate) if estimate else None}


def _front(request: Mapping[str, Any]) -> dict[str, Any]:
    from orchestune.engines.models.estimate import expected_front  # imported here: rarely needed

    return {"front": expected_front(*_search_data(request))}


def _search_data(request: Mapping[str, Any]) -> tuple[Space, list[Metric], list[Observation]]:
    history = [observation_from_json(document) for document in request["history"]]
    return Space.from_json(request["space"]), [Metric.from_json(metric) for metric in request["metrics"]], history


def memory_limit() -> int:
    """Return the bytes that this process may allocate."""
    return max(int(memory() * _MEMORY_SHARE), _MIN_MEMORY)


def main() -> None:
    """Serve on the socket whose file descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, ValueError):  # ValueError: above the hard limit
        resource.setrlimit(resource.RLIMIT_DATA, (memory_limit(), resource.getrlimit(resource.RLIMIT_DATA)[1]))
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()

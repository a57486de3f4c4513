"""A searcher whose library lives in another environment, behind pipes."""

from __future__ import annotations

import json
import os
import subprocess
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.environment import peers_python
from benchmarks.search.peers.table import Peer
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.engines.process.messages import observation_to_json

ROOT = Path(__file__).parents[3]


class Remote:
    """A process for one search. Observations are sent with the next ask, so its time includes the learning."""

    def __init__(self, name: str, peer: Peer, space: Space, seed: int, budget: int, workers: int) -> None:
        environment = peer.environment
        assert environment is not None, "it has none of its own"
        python = peers_python(environment.name, environment.packages, torch=environment.torch)
        self._child = subprocess.Popen(
            [str(python), "-m", "benchmarks.search.peers.child", name],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._name = name
        self._told: list[Any] = []
        weakref.finalize(self, _end, self._child)
        hello = self._call({"space": space.to_json(), "seed": seed, "budget": budget, "workers": workers})
        self.version: str = hello["version"]

    def ask(self, pending: Sequence[Configuration], number: int) -> dict[str, Value]:
        configuration: dict[str, Value] = self._call_with_observations(
            {"pending": [dict(each) for each in pending], "number": number}
        )
        return configuration

    def tell(self, observation: Observation) -> None:
        self._told.append(observation_to_json(observation))

    def best(self) -> int | None:
        best_number: int | None = self._call_with_observations({})["best"]
        return best_number

    def _call_with_observations(self, question: dict[str, Any]) -> dict[str, Any]:
        observations, self._told = self._told, []
        return self._call({"told": observations, **question})

    def _call(self, document: dict[str, Any]) -> dict[str, Any]:
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(json.dumps(document) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with {self._child.wait()}; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()

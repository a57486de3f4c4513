"""Protocol between the server and the engines' process: one JSON document per line, a request, then an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.trial import Observation


def encode(document: Mapping[str, Any]) -> bytes:
    """Serialize a document to one line; floats are preserved bit for bit."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def observation_to_json(observation: Observation) -> list[Any]:
    """Return a compact document: a recreated engine receives thousands of them at once."""
    document = [observation.number, dict(observation.parameters), observation.state.value, dict(observation.metrics)]
    if observation.stddev or observation.last:
        document.append(dict(observation.stddev))
    return [*document, observation.last] if observation.last else document


def observation_from_json(document: list[Any]) -> Observation:
    """Parse the document of `observation_to_json`."""
    number, parameters, state, metrics, *rest = document
    stddev, last = [*rest, {}, None][:2] if not rest else [*rest, None][:2]
    return Observation(number, parameters, TrialState(state), metrics, stddev, tuple(last) if last else None)

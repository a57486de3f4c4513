"""Client of the REST API of MLflow's tracking server, as far as recording experiments requires."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import Any, NamedTuple
from urllib.parse import quote

from orchestune.domain.specification.tracker import Tracker
from orchestune.errors import BadInput, OrchestuneError, Unreachable
from orchestune.outgoing.destinations import AllowedDestinations
from orchestune.outgoing.http import HttpLink

_API = "api/2.0/mlflow"
_MOST_METRICS, _MOST_PARAMS = 1000, 100
"""maximum number per request"""
_LONGEST_PARAM, _LONGEST_TAG, _LONGEST_KEY = 6000, 5000, 250
_EXISTS = "RESOURCE_ALREADY_EXISTS"


class MlflowRejected(OrchestuneError):
    """MLflow has rejected the request; retries do not help."""

    code = "refused"


class LoggedMetric(NamedTuple):
    """A metric value; `at` in milliseconds since 1970."""

    name: str
    value: float
    at: int
    step: int


class MlflowClient:
    """A tracking server over one connection, for one thread. Every call is idempotent: values logged twice are stored
    once. Methods raise Unreachable, Denied and Refused, the constructor BadInput.
    """

    def __init__(self, tracker: Tracker, reach: AllowedDestinations) -> None:
        self._link = HttpLink(tracker.uri, reach)
        self._base = self._link.target.path.partition("?")[0].rstrip("/")
        self._headers = {"Content-Type": "application/json", **authorization(tracker.token)}

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._link.close()

    def experiment(self, name: str) -> str:
        """Return the id of the experiment with this name, which is created if absent."""
        try:
            return str(_part(self._call("POST", "experiments/create", {"name": name}), "experiment_id"))
        except MlflowRejected as error:
            if _EXISTS not in error.message:
                raise
        found = self._call("GET", f"experiments/get-by-name?experiment_name={quote(name, safe='')}")
        identity = str(_part(found, "experiment", "experiment_id"))
        if found["experiment"].get("lifecycle_stage") == "deleted":
            raise MlflowRejected(f"the experiment {name!r} is deleted there", "restore it, or name another one")
        return identity

    def find(self, experiment: str, tags: Mapping[str, str]) -> str | None:
        """Return the id of the run that has all these tags, None if absent."""
        condition = " AND ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        body = {"experiment_ids": [experiment], "filter": condition, "max_results": 1}
        runs = self._call("POST", "runs/search", body).get("runs") or []
        return str(_part(runs, 0, "info", "run_id")) if runs else None

    def create(self, experiment: str, name: str, at: int, tags: Mapping[str, str]) -> str:
        """Create a run in state RUNNING and return its id."""
        body = {"experiment_id": experiment, "run_name": name, "start_time": at, "tags": _pairs(tags, _LONGEST_TAG)}
        return str(_part(self._call("POST", "runs/create", body), "run", "info", "run_id"))

    def log(self, run: str, metrics: Sequence[LoggedMetric] = (), params: Mapping[str, Any] | None = None,
            tags: Mapping[str, str] | None = None) -> None:  # fmt: skip
        """Add values to a run, in as many requests as necessary."""
        rest_params, rest_tags = _pairs(params or {}, _LONGEST_PARAM), _pairs(tags or {}, _LONGEST_TAG)
        rest = list(metrics)
        while rest or rest_params or rest_tags:
            few = _MOST_METRICS - 2 * _MOST_PARAMS
            measures = [{"key": key(one.name), "value": one.value, "timestamp": one.at, "step": one.step}
                        for one in rest[:few]]  # fmt: skip
            body = {"run_id": run, "metrics": measures, "params": rest_params[:_MOST_PARAMS],
                    "tags": rest_tags[:_MOST_PARAMS]}  # fmt: skip
            self._call("POST", "runs/log-batch", body)
            rest, rest_params, rest_tags = rest[few:], rest_params[_MOST_PARAMS:], rest_tags[_MOST_PARAMS:]

    def update(self, run: str, status: str, ended_at: int | None = None) -> None:
        """Set the status: RUNNING, SCHEDULED, FINISHED, FAILED or KILLED."""
        body = {"run_id": run, "status": status}
        self._call("POST", "runs/update", body | ({"end_time": ended_at} if ended_at is not None else {}))

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        content = json.dumps(body).encode() if body is not None else None
        answer = self._link.request(method, f"{self._base}/{_API}/{path}", content, self._headers)
        try:
            document = json.loads(answer.body or b"{}")
        except (ValueError, RecursionError):
            document = {}
        document = document if isinstance(document, dict) else {}
        if answer.good:
            return document
        said = f"{document.get('error_code', '')} {document.get('message', '')}".strip() if document else ""
        text = f"MLflow answered {answer.status} to {path.partition('?')[0]}: {said[:500] or 'nothing more'}"
        if answer.status >= 500 or answer.status == 429:
            raise Unreachable(text)
        raise MlflowRejected(text)


def _part(document: Any, *names: str | int) -> Any:
    """Return the nested field of a response. Raises Refused if it is missing, as in the login page of a proxy."""
    for name in names:
        try:
            document = document[name]
        except (LookupError, TypeError):
            text = f"what answers there is not MLflow: it does not say {names[-1]}"
            raise MlflowRejected(text, "look at the address, and at what stands before the tracking server") from None
    return document


def key(name: str) -> str:
    """Return a valid MLflow name: letters, digits, _ - . / and spaces, and no relative path components."""
    found = re.sub(r"[^\w\-./ ]", "_", name, flags=re.ASCII)
    return "/".join(part if part.strip(".") else "_" for part in found.split("/"))[:_LONGEST_KEY]


def _pairs(values: Mapping[str, Any], longest: int) -> list[dict[str, str]]:
    """Return pairs with unique keys: MLflow rejects a whole request that has duplicate keys."""
    found: dict[str, str] = {}
    for name, value in values.items():
        whole = key(name)
        others = (f"{whole[: _LONGEST_KEY - 10]}_{number}" for number in count(2))
        found[next(each for each in chain([whole], others) if each not in found)] = _text(value)[:longest]
    return [{"key": name, "value": text} for name, text in found.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def authorization(token: str, key: str = "") -> dict[str, str]:
    """Return the header for a token, or for `USER:PASSWORD`; none if empty. Raises BadInput, without the token."""
    if not token:
        return {}
    if ":" in token:
        return {"Authorization": f"Basic {base64.b64encode(token.encode()).decode()}"}
    if not (token.isascii() and token.isprintable()):
        raise BadInput.one("the token has a line's end or another character that no header can carry", key)
    return {"Authorization": f"Bearer {token}"}

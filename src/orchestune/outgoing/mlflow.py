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
_MAX_ENTITIES, _MAX_PARAMS, _MAX_TAGS = 1000, 100, 100
"""maximum number per request: of metrics, parameters and tags together, of parameters, and of tags"""
_MAX_PARAM_LENGTH, _MAX_TAG_LENGTH, _MAX_KEY_LENGTH = 6000, 5000, 250
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
    """A tracking server over one connection, for one thread.

    Every call is idempotent: values logged twice are stored once. Methods raise Unreachable, Denied and MlflowRejected,
    the constructor BadInput.
    """

    def __init__(self, tracker: Tracker, destinations: AllowedDestinations) -> None:
        self._link = HttpLink(tracker.uri, destinations)
        self._base = self._link.target.path.partition("?")[0].rstrip("/")
        self._headers = {"Content-Type": "application/json", **authorization(tracker.token)}

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._link.close()

    def experiment(self, name: str) -> str:
        """Return the id of the experiment with this name, which is created if absent."""
        try:
            return str(_field(self._call("POST", "experiments/create", {"name": name}), "experiment_id"))
        except MlflowRejected as error:
            if _EXISTS not in error.message:
                raise
        response = self._call("GET", f"experiments/get-by-name?experiment_name={quote(name, safe='')}")
        experiment_id = str(_field(response, "experiment", "experiment_id"))
        if response["experiment"].get("lifecycle_stage") == "deleted":
            raise MlflowRejected(f"the MLflow experiment {name!r} is deleted", "restore it, or name another one")
        return experiment_id

    def find(self, experiment: str, tags: Mapping[str, str]) -> str | None:
        """Return the id of the run that has all these tags, None if absent."""
        condition = " AND ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        body = {"experiment_ids": [experiment], "filter": condition, "max_results": 1}
        runs = self._call("POST", "runs/search", body).get("runs") or []
        return str(_field(runs, 0, "info", "run_id")) if runs else None

    def create(self, experiment: str, name: str, at: int, tags: Mapping[str, str]) -> str:
        """Create a run in state RUNNING and return its id."""
        body = {"experiment_id": experiment, "run_name": name, "start_time": at, "tags": _pairs(tags, _MAX_TAG_LENGTH)}
        return str(_field(self._call("POST", "runs/create", body), "run", "info", "run_id"))

    def log(self, run: str, metrics: Sequence[LoggedMetric] = (), params: Mapping[str, Any] | None = None,
            tags: Mapping[str, str] | None = None) -> None:  # fmt: skip
        """Add values to a run, in as many requests as necessary."""
        remaining_params, remaining_tags = _pairs(params or {}, _MAX_PARAM_LENGTH), _pairs(tags or {}, _MAX_TAG_LENGTH)
        remaining_metrics = list(metrics)
        while remaining_metrics or remaining_params or remaining_tags:
            batch_size = _MAX_ENTITIES - _MAX_PARAMS - _MAX_TAGS
            measures = [
                {"key": valid_name(metric.name), "value": metric.value, "timestamp": metric.at, "step": metric.step}
                for metric in remaining_metrics[:batch_size]
            ]
            body = {"run_id": run, "metrics": measures, "params": remaining_params[:_MAX_PARAMS],
                    "tags": remaining_tags[:_MAX_TAGS]}  # fmt: skip
            self._call("POST", "runs/log-batch", body)
            remaining_metrics = remaining_metrics[batch_size:]
            remaining_params, remaining_tags = remaining_params[_MAX_PARAMS:], remaining_tags[_MAX_TAGS:]

    def update(self, run: str, status: str, ended_at: int | None = None) -> None:
        """Set the status: RUNNING, SCHEDULED, FINISHED, FAILED or KILLED."""
        body = {"run_id": run, "status": status}
        self._call("POST", "runs/update", body | ({"end_time": ended_at} if ended_at is not None else {}))

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        content = json.dumps(body).encode() if body is not None else None
        response = self._link.request(method, f"{self._base}/{_API}/{path}", content, self._headers)
        try:
            document = json.loads(response.body or b"{}")
        except (ValueError, RecursionError):
            document = {}
        document = document if isinstance(document, dict) else {}
        if response.good:
            return document
        details = f"{document.get('error_code', '')} {document.get('message', '')}".strip() if document else ""
        text = f"MLflow answered {response.status} to {path.partition('?')[0]}: {details[:500] or 'no details'}"
        if response.status >= 500 or response.status == 429:
            raise Unreachable(text)
        raise MlflowRejected(text)


def _field(document: Any, *names: str | int) -> Any:
    """Return the nested field of a response. Raises MlflowRejected if it is missing, as in a proxy's login page."""
    for name in names:
        try:
            document = document[name]
        except (LookupError, TypeError):
            text = f"the response is not from MLflow: it has no field {names[-1]}"
            raise MlflowRejected(text, "check the URL, and proxies in front of the tracking server") from None
    return document


def valid_name(name: str) -> str:
    """Return a valid MLflow name: letters, digits, _ - . / and spaces, and no relative path components."""
    cleaned = re.sub(r"[^\w\-./ ]", "_", name, flags=re.ASCII)
    return "/".join(part if part.strip(".") else "_" for part in cleaned.split("/"))[:_MAX_KEY_LENGTH]


def _pairs(values: Mapping[str, Any], max_length: int) -> list[dict[str, str]]:
    """Return pairs with unique keys: MLflow rejects a whole request that has duplicate keys."""
    pairs: dict[str, str] = {}
    for name, value in values.items():
        name_key = valid_name(name)
        numbered = (f"{name_key[: _MAX_KEY_LENGTH - 10]}_{number}" for number in count(2))
        pairs[next(each for each in chain([name_key], numbered) if each not in pairs)] = _text(value)[:max_length]
    return [{"key": name, "value": text} for name, text in pairs.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def authorization(token: str, key: str = "") -> dict[str, str]:
    """Return the header for a token, or for `USER:PASSWORD`; none if empty.

    Raises BadInput about the file's `key`, without the token.
    """
    if not token:
        return {}
    if ":" in token:
        return {"Authorization": f"Basic {base64.b64encode(token.encode()).decode()}"}
    if not (token.isascii() and token.isprintable()):
        raise BadInput.one("the token contains a line break or another character that is not allowed in headers", key)
    return {"Authorization": f"Bearer {token}"}

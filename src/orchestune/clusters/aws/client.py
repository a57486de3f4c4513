"""AWS client: calls, pagination, waiting. Maps errors to Orchestune's; every call must have an entry in `rights`.

AWS is eventually consistent: a resource that one request has created may be unknown to the next one for seconds. Calls
that name a new resource go through `call_eventually`, which retries such errors for `_CONSISTENCY_TIMEOUT`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from orchestune.clusters.aws import rights
from orchestune.errors import NotFound, OrchestuneError, TemporaryError, UsageError

try:
    import boto3.session
    import botocore.exceptions
    from botocore import xform_name
    from botocore.config import Config
except ModuleNotFoundError as exc:
    if (exc.name or "").split(".")[0] not in ("boto3", "botocore"):
        raise
    raise UsageError(
        "cannot use clusters on AWS: the package boto3 is not installed", "pip install 'orchestune[aws]'"
    ) from exc

from orchestune.clusters.aws.errors import error_code, translate

Document = dict[str, Any]
_MAX_ATTEMPTS = 10
"""attempts per call on throttling and connection errors, with botocore's exponential backoff"""
_CREATE_PREFIXES = "Create", "Allocate"
"""prefixes of operations that are not idempotent: botocore must not retry them by itself"""
_IDEMPOTENT_CREATE = "CreateRoute"
"""operation that is idempotent in spite of its prefix"""
_CONSISTENCY_TIMEOUT = 120.0
"""seconds within which AWS must know a new resource everywhere"""
_FIRST_DELAY, _MAX_DELAY = 0.5, 15.0
"""initial and maximum polling interval in seconds"""


class Aws:
    """Client for one identity in one region. Blocking; not thread-safe.

    Raises only Orchestune's errors. Throttled calls are retried internally, except those that create something: they
    are sent once, and after TemporaryError it is unknown if they took effect.
    """

    def __init__(
        self,
        region: str = "",
        profile: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.clock, self.sleep = clock, sleep
        self._profile = profile or environ.get("AWS_PROFILE") or ""
        try:
            self._session = boto3.session.Session(profile_name=self._profile or None, region_name=region or None)
        except botocore.exceptions.BotoCoreError as exc:
            raise translate(exc, "sts", "", "", "") from exc
        self.region = str(region or self._session.region_name or "")
        if not self.region:
            raise UsageError("no AWS region is set", "write `region:` in the file, or set AWS_REGION")
        self._clients: dict[tuple[str, int], Any] = {}

    def call(
        self, service: str, operation: str, request: Mapping[str, Any] | None = None, *, about: str = ""
    ) -> Document:
        """Return the response. `about` names the resource in error messages."""
        permission = rights.of(service, operation)
        try:
            is_create = operation.startswith(_CREATE_PREFIXES) and operation != _IDEMPOTENT_CREATE
            client = self._client(service, 1 if is_create else _MAX_ATTEMPTS)
            response: Document = getattr(client, xform_name(operation))(**(request or {}))
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError) as exc:
            raise translate(exc, service, operation, about, permission.actions[0], self._profile) from exc
        return response

    def find(self, service: str, operation: str, request: Mapping[str, Any], *, about: str) -> Document | None:
        """Like `call`, but return None if the resource does not exist."""
        try:
            return self.call(service, operation, request, about=about)
        except NotFound:
            return None

    def pages(
        self, service: str, operation: str, key: str, request: Mapping[str, Any] | None = None, *, about: str = ""
    ) -> Iterator[Any]:
        """Yield the elements under `key` of all pages."""
        permission = rights.of(service, operation)
        try:
            client = self._client(service)
            method = xform_name(operation)
            if not client.can_paginate(method):
                yield from self.call(service, operation, request, about=about).get(key) or ()
                return
            for page in client.get_paginator(method).paginate(**(request or {})):
                yield from page.get(key) or ()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError) as exc:
            raise translate(exc, service, operation, about, permission.actions[0], self._profile) from exc

    def known_regions(self) -> list[str]:
        """Return the regions known to the SDK, of all partitions. Makes no request."""
        session = self._session
        return [name for partition in session.get_available_partitions()
                for name in session.get_available_regions("eks", partition)]  # fmt: skip

    def enum_values(self, service: str, shape: str) -> tuple[str, ...]:
        """Return the values of a service parameter known to the SDK, oldest first. Makes no request."""
        return tuple(self._client(service).meta.service_model.shape_for(shape).enum)

    def call_eventually(
        self,
        service: str,
        operation: str,
        request: Mapping[str, Any] | None = None,
        *,
        about: str = "",
        is_transient: Callable[[str, str], bool] | None = None,
    ) -> Document:
        """Call an operation on a new resource, and retry until AWS knows the resource everywhere.

        `is_transient` decides by error code and message if a retry may help; by default it does after "not found".
        Raises the last error after `_CONSISTENCY_TIMEOUT`.
        """
        is_retryable = is_transient or _is_not_found
        deadline, delay = self.clock() + _CONSISTENCY_TIMEOUT, _FIRST_DELAY
        while True:
            try:
                return self.call(service, operation, request, about=about)
            except OrchestuneError as exc:
                if not is_retryable(error_code(exc), exc.message) or self.clock() > deadline:
                    raise
            self.sleep(delay)
            delay = min(delay * 1.5, _MAX_DELAY)

    def wait(
        self,
        find_pending_state: Callable[[], str | None],
        seconds: float,
        about: str,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        """Poll until `find_pending_state` returns None. Raises TemporaryError with the state after `seconds`.

        `heartbeat` is called at each poll: it shows other commands that this one still holds the cluster's lock.
        """
        deadline, delay = self.clock() + seconds, _FIRST_DELAY
        while (state := find_pending_state()) is not None:
            if self.clock() > deadline:
                raise TemporaryError(
                    f"{about}: still {state} after {seconds / 60:.0f} minutes",
                    "repeat the command: it continues to wait",
                )
            heartbeat()
            self.sleep(delay)
            delay = min(delay * 1.5, _MAX_DELAY)

    def _client(self, service: str, attempts: int = _MAX_ATTEMPTS) -> Any:
        if (service, attempts) not in self._clients:
            config = Config(
                retries={"mode": "standard", "total_max_attempts": attempts}, connect_timeout=10, read_timeout=60,
                user_agent_extra="orchestune",
            )  # fmt: skip
            client = self._session.client(service, config=config)  # type: ignore[call-overload]
            self._clients[service, attempts] = client
        return self._clients[service, attempts]


def _is_not_found(code: str, message: str) -> bool:
    return "NotFound" in code or code.startswith("NoSuch")


def tag_value(tags: Sequence[Mapping[str, str]], key: str) -> str:
    """Return the value of a tag; empty if absent."""
    return next((str(tag["Value"]) for tag in tags if tag["Key"] == key), "")

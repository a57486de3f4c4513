"""AWS client: calls, pagination, waiting. Maps errors to Orchestune's; every call must have an entry in `rights`."""

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
except ModuleNotFoundError as missing:
    if (missing.name or "").split(".")[0] not in ("boto3", "botocore"):
        raise
    raise UsageError(
        "clusters at AWS need the package boto3, which is not installed", "pip install 'orchestune[aws]'"
    ) from missing

from orchestune.clusters.aws.errors import code_of, translated

Document = dict[str, Any]
_TRIES = 10
"""attempts per call on throttling and connection errors, with exponential backoff"""
_ONCE = "Create", "Allocate"
"""prefixes of operations that are not idempotent: botocore must not retry them by itself"""
_SAME = "CreateRoute"
"""idempotent in spite of its prefix"""
_SETTLING = 120.0
"""timeout in seconds for eventual consistency after a create"""
_FIRST, _LONGEST = 0.5, 15.0
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
            raise translated(exc, "sts", "", "", "") from exc
        self.region = str(region or self._session.region_name or "")
        if not self.region:
            raise UsageError("no region is named", "write `region:` in the file, or set AWS_REGION")
        self._clients: dict[tuple[str, int], Any] = {}

    def call(
        self, service: str, operation: str, request: Mapping[str, Any] | None = None, *, about: str = ""
    ) -> Document:
        """Return the response. `about` names the resource in error messages."""
        right = rights.of(service, operation)
        try:
            once = operation.startswith(_ONCE) and operation != _SAME
            client = self._client(service, 1 if once else _TRIES)
            made: Document = getattr(client, xform_name(operation))(**(request or {}))
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError) as exc:
            raise translated(exc, service, operation, about, right.actions[0], self._profile) from exc
        return made

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
        right = rights.of(service, operation)
        try:
            client = self._client(service)
            method = xform_name(operation)
            if not client.can_paginate(method):
                yield from self.call(service, operation, request, about=about).get(key) or ()
                return
            for page in client.get_paginator(method).paginate(**(request or {})):
                yield from page.get(key) or ()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError) as exc:
            raise translated(exc, service, operation, about, right.actions[0], self._profile) from exc

    def known_regions(self) -> list[str]:
        """Return the regions known to the SDK, of all partitions. Makes no request."""
        session = self._session
        return [name for partition in session.get_available_partitions()
                for name in session.get_available_regions("eks", partition)]  # fmt: skip

    def listed(self, service: str, shape: str) -> tuple[str, ...]:
        """Return the values of a service parameter known to the SDK, oldest first. Makes no request."""
        return tuple(self._client(service).meta.service_model.shape_for(shape).enum)

    def settled(
        self,
        service: str,
        operation: str,
        request: Mapping[str, Any] | None = None,
        *,
        about: str = "",
        unknown: Callable[[str, str], bool] | None = None,
    ) -> Document:
        """Call an operation on a new resource, retrying until AWS knows the resource everywhere (at most `_SETTLING`).

        `unknown` decides by error code and message if a retry may help; by default for "not found" errors.
        """
        judge = unknown or _not_found
        until, pause = self.clock() + _SETTLING, _FIRST
        while True:
            try:
                return self.call(service, operation, request, about=about)
            except OrchestuneError as exc:
                if not judge(code_of(exc), exc.message) or self.clock() > until:
                    raise
            self.sleep(pause)
            pause = min(pause * 1.5, _LONGEST)

    def wait(
        self, look: Callable[[], str | None], seconds: float, about: str, beat: Callable[[], None] = lambda: None
    ) -> None:
        """Poll until `look` returns None instead of a pending state. Raises TemporaryError after `seconds`."""
        until, pause = self.clock() + seconds, _FIRST
        while (why := look()) is not None:
            if self.clock() > until:
                raise TemporaryError(
                    f"{about}: still {why} after {seconds / 60:.0f} minutes", "repeat the command: it goes on waiting"
                )
            beat()
            self.sleep(pause)
            pause = min(pause * 1.5, _LONGEST)

    def _client(self, service: str, tries: int = _TRIES) -> Any:
        if (service, tries) not in self._clients:
            config = Config(
                retries={"mode": "standard", "total_max_attempts": tries}, connect_timeout=10, read_timeout=60,
                user_agent_extra="orchestune",
            )  # fmt: skip
            made = self._session.client(service, config=config)  # type: ignore[call-overload]
            self._clients[service, tries] = made
        return self._clients[service, tries]


def _not_found(code: str, message: str) -> bool:
    return "NotFound" in code or code.startswith("NoSuch")


def named(tags: Sequence[Mapping[str, str]], key: str) -> str:
    """Return the value of a tag; empty if absent."""
    return next((str(tag["Value"]) for tag in tags if tag["Key"] == key), "")

"""The HTTP front: takes what real SDKs send, answers itself or has moto answer, and checks both against the models."""

from __future__ import annotations

import io
import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from werkzeug.datastructures import EnvironHeaders

from tests.testbeds.aws import agent, checks, cloud, permissions, portal, wire
from tests.testbeds.aws.actions import needs
from tests.testbeds.aws.agent import Agent
from tests.testbeds.aws.identities import Identity
from tests.testbeds.aws.portal import Portal
from tests.testbeds.aws.refusals import Cut, Refused, body_of
from tests.testbeds.aws.wire import Call, Incoming
from tests.testbeds.aws.world import World

Handler = Callable[[Call], dict[str, Any]]
Answer = tuple[int, dict[str, str], bytes]
REQUEST = "b25f48e8-84fd-11e6-80d9-574e0c4664cb"
"""the id of every request"""


class Service(Protocol):
    """Answers some operations of one service; None for those that moto answers."""

    def handler(self, call: Call) -> Handler | None: ...


class Rules(Protocol):
    """Wraps moto's answers of one service."""

    def before(self, call: Call) -> None: ...

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any] | None: ...


@dataclass
class Front:
    """A WSGI application."""

    world: World
    portal: Portal
    services: dict[str, Service] = field(default_factory=dict)
    rules: dict[str, Rules] = field(default_factory=dict)
    review: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """what answers Kubernetes' questions about tokens"""
    agent: Agent | None = None
    """what gives pods their roles"""
    tags: Callable[[str], dict[str, str] | None] = lambda name: None
    journal: list[Call] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """requests and answers that the models do not allow: faults of their sender"""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else _chunked(environ)
        request = Incoming(
            environ["REQUEST_METHOD"], environ.get("RAW_URI", environ["PATH_INFO"]).partition("?")[0],
            environ.get("QUERY_STRING", ""), EnvironHeaders(environ), body,
        )  # fmt: skip
        try:
            with self.lock:
                status, headers, answer = self._answer(request, environ)
        except Cut:
            with suppress(OSError):
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            status, headers, answer = 500, {}, b""
        lower = {name.lower(): value for name, value in headers.items()}
        size = lower.get("content-length", "0") if request.method == "HEAD" else str(len(answer))
        headers = {
            name: value for name, value in headers.items() if name.lower() not in ("content-length", "connection")
        }
        headers["Content-Length"] = size
        start(f"{status} {'OK' if status < 300 else 'Error'}", list(headers.items()))
        return [answer]

    def _answer(self, request: Incoming, environ: dict[str, Any]) -> Answer:
        if request.path == "/token-review" and self.review is not None:
            return 200, {"Content-Type": "application/json"}, json.dumps(self.review(json.loads(request.body))).encode()
        if request.path == portal.PATH:
            status, document = self.portal.answer(request)
            return status, {"Content-Type": "application/json"}, json.dumps(document).encode()
        if request.path == agent.PATH and self.agent is not None:
            status, document = self.agent.answer(request)
            return status, {"Content-Type": "application/json"}, json.dumps(document).encode()
        try:
            call = wire.read(request)
        except (wire.Unreadable, KeyError, ValueError) as exc:
            self.broken.append(f"{request.method} {request.path}?{request.query}: {exc}")
            return 400, {}, str(exc).encode()
        call.number = len(self.journal) + 1
        self.journal.append(call)
        try:
            return self._served(call, request, environ)
        except Refused as error:
            call.outcome = error.code
            headers, body = body_of(error, call.protocol, REQUEST)
            return error.status, headers, b"" if request.method == "HEAD" else body
        except Cut:
            call.outcome = "cut"
            raise
        except Exception as exc:  # noqa: BLE001  # a failure of the fake must fail the test, not be tried again
            self.broken.append(f"the fake fails at {call.name}: {traceback.format_exc()}")
            headers, body = body_of(Refused("FakeFails", repr(exc)), call.protocol, REQUEST)
            return 400, headers, body

    def _served(self, call: Call, request: Incoming, environ: dict[str, Any]) -> Answer:
        wrong = checks.problems(call.parameters, call.model.input_shape, request=True)
        if wrong:
            self.broken.append(f"{call.name}: {'; '.join(wrong)}")
            raise Refused("ValidationException", "; ".join(wrong))
        self.world.faults.before(call)
        who = wire.signed(request)
        self.world.caller = self.world.identities.of(who.access_key, who.token, call.service)
        self._permit(call, self.world.caller)
        service = self.services.get(call.service)
        handler = service.handler(call) if service else None
        if handler is not None:
            answer = self._written(call, handler(call))
        else:
            answer = self._by_moto(call, request, environ)
        self.world.faults.after(call)
        return answer

    def _permit(self, call: Call, who: Identity) -> None:
        call.needs = tuple(needs(call, self.world.service_roles))
        policy = self.world.policy_of(who)
        for need in call.needs:
            if need.action in self.world.behaviour.denied or not permissions.allows(policy, need, self.tags):
                raise permissions.denied(call, who, need, self.world.behaviour.terse)

    def _written(self, call: Call, result: dict[str, Any]) -> Answer:
        wrong = checks.problems(result, call.model.output_shape, request=False)
        if wrong:
            self.broken.append(f"the fake's answer to {call.name}: {'; '.join(wrong)}")
        return wire.written(call, result, REQUEST)

    def _by_moto(self, call: Call, request: Incoming, environ: dict[str, Any]) -> Answer:
        rules = self.rules.get(call.service)
        if rules is not None:
            rules.before(call)
        answer = cloud.forward(call.service, environ, request.body)
        status, _, body = answer
        result = {} if call.model.has_streaming_output else wire.understood(call, *answer)
        if status >= 400:
            call.outcome = result.get("Error", {}).get("Code", str(status))
            if status >= 500:
                self.broken.append(f"moto does not answer {call.name}: {body[:300]!r}")
            return answer
        plain = {name: value for name, value in result.items() if name != "ResponseMetadata"}
        wrong = (
            [] if call.model.has_streaming_output else checks.problems(plain, call.model.output_shape, request=False)
        )
        if wrong:
            self.broken.append(f"moto's answer to {call.name}: {'; '.join(wrong)}")
        if rules is not None:
            changed = rules.after(call, plain)
            if changed is not None:
                return self._written(call, changed)
        return answer


def _chunked(environ: dict[str, Any]) -> bytes:
    if environ.get("HTTP_TRANSFER_ENCODING") != "chunked":
        return b""
    body: bytes = environ["wsgi.input"].read()
    environ["wsgi.input"] = io.BytesIO(body)
    return body

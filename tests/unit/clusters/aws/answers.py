"""An AWS of a few answers, and a clock that only sleeping moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.errors import translate

Answer = Callable[[Mapping[str, Any]], Any]


def refusal(operation: str, code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message or code}}, operation)


class Answers(Aws):
    """Answers by `service:Operation`: a document, a function of the request, or an error of botocore."""

    def __init__(self, **answers: Any) -> None:
        self.now = 0.0
        self.clock, self.sleep = lambda: self.now, self._sleep
        self.region = "eu-central-1"
        self.answers = {key.replace("__", ":"): value for key, value in answers.items()}
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.meanwhile: list[Callable[[], None]] = []
        """what happens during each sleep, one after the other"""

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.meanwhile:
            self.meanwhile.pop(0)()

    def call(
        self, service: str, operation: str, request: Mapping[str, Any] | None = None, *, about: str = ""
    ) -> dict[str, Any]:
        name = f"{service}:{operation}".replace("-", "")
        self.calls.append((name, request or {}))
        answer = self.answers[name]
        try:
            answer = answer(request or {}) if callable(answer) else answer
            if isinstance(answer, Exception):
                raise answer
        except ClientError as exc:
            raise translate(exc, service, operation, about, f"{service}:{operation}") from exc
        return dict(answer)

    def pages(
        self, service: str, operation: str, key: str, request: Mapping[str, Any] | None = None, *, about: str = ""
    ) -> Iterator[Any]:
        yield from self.call(service, operation, request, about=about).get(key) or ()

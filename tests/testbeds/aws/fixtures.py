"""One fake of AWS per process, empty for each test; what botocore's models do not allow fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from botocore.client import ClientCreator
from botocore.loaders import create_loader

from tests.testbeds.aws.fake import Fake

LOADER = create_loader()
"""reads each model once per process, not once per session of boto3"""


def _client_class(creator: ClientCreator, service: str, model: object) -> type:
    """The class of a service's clients, made once per process: it takes 20 ms, and tests have thousands of sessions."""
    if service not in _CLASSES:
        _CLASSES[service] = _CREATE_CLIENT_CLASS(creator, service, model)
    return _CLASSES[service]


_CLASSES: dict[str, type] = {}
_CREATE_CLIENT_CLASS: Callable[..., type] = vars(ClientCreator)["_create_client_class"]


class Died(BaseException):
    """The process is gone: nothing of it catches this."""


@pytest.fixture(scope="session")
def fake_aws() -> Iterator[Fake]:
    with Fake() as running:
        yield running


@pytest.fixture
def aws(fake_aws: Fake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """The fake, empty, with `alice` in the environment.

    botocore tries again at once instead of after seconds; and never in a process that has died at a call.
    """
    fake_aws.reset()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in fake_aws.environment().items():
        monkeypatch.setenv(name, value)

    class Waiting:
        @staticmethod
        def sleep(seconds: float) -> None:
            if fake_aws.faults.dead:
                raise Died

    monkeypatch.setattr("botocore.endpoint.time", Waiting)
    monkeypatch.setattr("botocore.session.create_loader", lambda *paths: LOADER)
    monkeypatch.setattr(ClientCreator, "_create_client_class", _client_class)
    yield fake_aws
    assert not fake_aws.broken, "\n".join(fake_aws.broken)

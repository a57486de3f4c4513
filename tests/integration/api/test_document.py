"""Every request that the OpenAPI document allows is answered, and the answers match the document."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok

from orchestune.services.access import grant_access
from orchestune.services.core import Caller
from orchestune.services.signatures import report_signature
from tests.contract.world import CoreWorld, FakeWorker
from tests.unit.server.harness import Live, live

OWNER = "secret-token"
EXAMPLES = {"owner": 8, "worker": 8}
"""of each operation, fixed by a seed; 2 for the other tokens, which reach less of the same code"""
ARCHIVES = ("PUT /api/v1/bundles/{digest}", "POST /api/v1/archive")
"""take archives, of which the document says no more; tests/unit/server sends them good and bad ones"""
ENDS_THE_SERVER = ("POST /api/v1/shutdown",)
STREAMS = ("GET /api/v1/workers/{worker}/blobs/{digest}",)
"""answer with bytes"""
WAITS = "store_unavailable"
"""the code of a 503 that asks a worker to repeat its call after an upload or the end of an attempt"""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CoreWorld]:
    """The core on each of the stores."""
    started = CoreWorld(
        tmp_path, request.getfixturevalue("postgres_database") if request.param == "postgresql" else None
    )
    yield started
    started.close()


@pytest.fixture
def server(world: CoreWorld) -> Iterator[Live]:
    logging.disable(logging.WARNING)  # of each slow answer, while other tests need the processors too
    with live(world.core) as started:
        yield started
    logging.disable(logging.NOTSET)


class Target:
    """An experiment with a running trial, and a token of each kind."""

    def __init__(self, world: CoreWorld) -> None:
        self.experiment = world.create(budget=20)
        self.worker: FakeWorker
        self.worker, self.lease = world.lease()[0]
        self.handle = str(world.status(self.experiment)["handle"])
        self.signature = report_signature(world.core, self.lease["attempt"])
        owner = Caller("owner", "ada")
        self.tokens = {"owner": OWNER, "worker": self.worker.token, "unknown": "not-a-token"}
        roles: tuple[Literal["viewer", "editor"], ...] = ("viewer", "editor")
        for role in roles:
            self.tokens[role] = grant_access.issue_token(world.core, owner, name="bob", role=role, days=1)["token"]

    def path(self, names: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters of a path with what exists here."""
        real = {"ref": self.handle, "worker": self.worker.id, "attempt": self.lease["attempt"], "revision": 1}
        return names | {name: value for name, value in (real | {"signature": self.signature}).items() if name in names}


def problems(url: str, operation: Any, target: Target, kind: str, strict: bool) -> list[str]:
    """Return what is wrong with the answers to an operation; `strict` compares them with the document too."""
    wrong: list[str] = []

    @seed(1)
    @settings(
        max_examples=EXAMPLES.get(kind, 2),
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.path_parameters = target.path(dict(case.path_parameters or {}))
        if "wait" in (case.body if isinstance(case.body, dict) else {}):
            case.body["wait"] = 0  # nothing comes that could end the wait
        answer = case.call(base_url=url, headers={"Authorization": f"Bearer {target.tokens[kind]}"}, timeout=60)
        waits = answer.status_code == 503 and answer.json()["error"]["code"] == WAITS
        if answer.status_code >= 500 and not waits:
            wrong.append(
                f"{kind}, {operation.label}: {answer.status_code} {answer.text[:300]}\n{case.as_curl_command()}"
            )
            return
        if not strict:
            return
        try:
            operation.validate_response(answer)
        except (Failure, FailureGroup) as error:
            wrong.append(f"{kind}, {operation.label}: {answer.status_code} {error}\n{case.as_curl_command()}")

    ask()
    return wrong


@pytest.mark.parametrize("kind", ["owner", "editor", "viewer", "worker", "unknown"])
def test_every_operation_answers_as_the_document_says(world: CoreWorld, server: Live, kind: str) -> None:
    url = f"http://127.0.0.1:{server.port}"
    document = requests.get(
        f"{url}/api/v1/openapi.json", headers={"Authorization": f"Bearer {OWNER}"}, timeout=60
    ).json()
    results = list(schemathesis.openapi.from_dict(document).get_all_operations())
    operations = [result.ok() for result in results if isinstance(result, Ok)]
    assert len(operations) == len(results), "every operation can be read"
    operations_to_test = [each for each in operations if each.label not in (*ARCHIVES, *ENDS_THE_SERVER)]
    assert len(operations_to_test) > 40
    assert {*ARCHIVES, *ENDS_THE_SERVER, *STREAMS} <= {each.label for each in operations}
    target = Target(world)
    wrong: list[str] = []
    for operation in operations_to_test:
        if kind in EXAMPLES:
            target = Target(world)  # a new one for each: some delete it
        wrong += problems(url, operation, target, kind, strict=operation.label not in STREAMS)
    assert not wrong, "\n\n".join(wrong)

"""Whatever the OpenAPI document allows to be sent is answered, and the answers are what the document says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok

from orchestune.testing.world import World
from tests.unit.server.harness import Live, live

HEADERS = {"Authorization": "Bearer secret-token"}
EXAMPLES = 8
"""of each operation; which ones is always the same"""
ARCHIVES = ("PUT /api/v1/bundles/{digest}", "POST /api/v1/archive")
"""take archives, of which the document says no more; tests/unit/server sends them good and bad ones"""
ENDS_THE_SERVER = ("POST /api/v1/shutdown",)

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def server(world: World) -> Iterator[Live]:
    logging.disable(logging.WARNING)  # of each slow answer, while other tests need the processors too
    with live(world.core) as made:
        yield made
    logging.disable(logging.NOTSET)


def problems(url: str, operation: Any, handle: str) -> list[str]:
    """What was wrong with the answers to an operation, about an experiment that there is where it is about one."""
    found: list[str] = []

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        if "ref" in (case.path_parameters or {}):
            case.path_parameters["ref"] = handle
        answer = case.call(base_url=url, headers=HEADERS, timeout=60)
        if answer.status_code >= 500:
            found.append(f"{operation.label}: {answer.status_code} {answer.text[:300]}\n{case.as_curl_command()}")
            return
        try:
            operation.validate_response(answer)
        except (Failure, FailureGroup) as error:
            found.append(f"{operation.label}: {answer.status_code} {error}\n{case.as_curl_command()}")

    ask()
    return found


def test_every_operation_answers_as_the_document_says(world: World, server: Live) -> None:
    url = f"http://127.0.0.1:{server.port}"
    document = requests.get(f"{url}/api/v1/openapi.json", headers=HEADERS, timeout=60).json()
    results = list(schemathesis.openapi.from_dict(document).get_all_operations())
    operations = [result.ok() for result in results if isinstance(result, Ok)]
    assert len(operations) == len(results), "every operation can be read"
    asked = [each for each in operations if each.label not in (*ARCHIVES, *ENDS_THE_SERVER)]
    assert len(asked) > 30
    assert {*ARCHIVES, *ENDS_THE_SERVER} <= {each.label for each in operations}
    found: list[str] = []
    for operation in asked:
        experiment = world.create(budget=2)  # a new one for each: some delete it
        world.run(experiment)
        found += problems(url, operation, str(world.status(experiment)["handle"]))
    assert not found, "\n\n".join(found)

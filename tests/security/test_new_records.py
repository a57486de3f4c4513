"""Contents of a request for an experiment or a token; a repeated request leaves no second token."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestune.services.access import grant_access
from orchestune.services.commands import create_experiment
from orchestune.services.commands.create_experiment import MAX_SECRETS_BYTES
from orchestune.services.core import Caller
from tests.security.target import OWNER, SPECIFICATION, Target, attacked

HARMLESS: dict[str, Any] = {"owner": "a" * 200, "folder": "host:/" + "a" * 4000}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with attacked(tmp_path) as created:
        yield created


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def any_target(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Target]:
    on_postgres = request.param == "postgresql"
    with attacked(tmp_path, request.getfixturevalue("postgres_database") if on_postgres else None) as created:
        yield created


@pytest.mark.parametrize(
    "fields",
    [
        *({"owner": text} for text in ("a" * 201, "a\x1b[2J", "a\0b", "a\nb", "a\u202eb")),
        *({"folder": text} for text in ("a" * 4097, "host:/a\x1b[2J", "host:/a\nb")),
        {"specification": {**SPECIFICATION, "labels": {"team": "a" * 1001}}},
        {"specification": {**SPECIFICATION, "labels": {"a" * 201: "b"}}},
        {"specification": {**SPECIFICATION, "placement": {"image": "a" * 501}}},
    ],
)
def test_texts_that_no_experiment_file_could_hold_are_refused(target: Target, fields: dict[str, Any]) -> None:
    assert target.create(**fields).status == 400
    trial = target.trial()
    if "specification" not in fields:
        path = f"/api/v1/experiments/{trial.handle}/trials/1/rerun"
        assert target.server.ask("POST", path, fields, token=OWNER).status == 400


def test_texts_within_the_limits_are_accepted(target: Target) -> None:
    labels = {"a" * 200: "b" * 1000}
    created = target.create(**HARMLESS, specification={**SPECIFICATION, "labels": labels})
    assert created.status == 201 and created.json()["labels"] == labels


def test_secrets_of_all_experiments_of_a_person_are_bounded(
    any_target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 KiB of each of many experiments filled the store of a cluster, which all its programs share."""
    monkeypatch.setattr(create_experiment, "MAX_SECRETS_BYTES_PER_PRINCIPAL", 2500)
    target, ada, eve = any_target, *(any_target.token(name, "editor") for name in ("ada", "eve"))
    specification = {**SPECIFICATION, "secrets": [{"name": "KEY", "source": "env:KEY"}]}
    fields: dict[str, Any] = {"specification": specification, "secrets": {"KEY": "a" * 1000}}
    created = [target.create(ada, **fields) for _ in range(2)]
    assert {reply.status for reply in created} == {201}
    path = f"/api/v1/experiments/{created[0].json()['id']}"
    assert target.server.ask("POST", f"{path}/stop", token=ada).status == 200
    secrets_before = {*(target.world.folder / "secrets").iterdir()}
    refused = target.create(ada, **fields)
    assert (
        refused.status == 413
        and "would take 3,033 bytes (expected at most 2,500)" in refused.json()["error"]["message"]
    )
    assert {*(target.world.folder / "secrets").iterdir()} == secrets_before
    assert target.create(ada).status == target.create(eve, **fields).status == 201
    assert target.server.ask("DELETE", f"{path}?purge=true", token=OWNER).status == 204
    target.world.tick(3)
    assert target.create(ada, **fields).status == 201


@pytest.mark.parametrize("key", ["secrets", "outgoing"])
def test_secrets_of_an_experiment_are_small(target: Target, key: str) -> None:
    specification = (
        {**SPECIFICATION, "secrets": [{"name": "KEY", "source": "env:KEY"}]} if key == "secrets" else SPECIFICATION
    )
    values = {"KEY": "a" * (MAX_SECRETS_BYTES - 100)}
    fields: dict[str, Any] = {"specification": specification, key: {**values, "OTHER": "a" * 200}}
    refused = target.create(**fields)
    assert refused.status == 413, refused.body
    if key == "secrets":
        assert target.create(specification=specification, secrets=values).status == 201


def test_a_repeated_request_for_a_token_makes_one_token(target: Target) -> None:
    core = target.world.core

    def issue(caller: str = "ada", name: str = "bob") -> str:
        return grant_access.issue_token(
            core, Caller(caller, "owner"), name=name, role="editor", days=1, idempotency_key="one-key"
        )["token"]

    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: issue(), range(8)))
    assert len(tokens) == len(grant_access.tokens(core)) == 1
    assert len({*tokens, issue("eve"), issue(name="carl")}) == 3, "another caller or request gets another token"


def test_the_header_makes_a_request_for_a_token_one_request(target: Target) -> None:
    def issue(key: str) -> str:
        body, headers = {"name": "bob", "role": "editor"}, {"Idempotency-Key": key}
        reply = target.server.ask("POST", "/api/v1/tokens", body, token=OWNER, headers=headers)
        assert reply.status == 201, reply.body
        return str(reply.json()["token"])

    token = issue("first")
    assert issue("first") == token != issue("second")
    assert target.server.ask("GET", "/api/v1/experiments", token=token).status == 200
    assert len(target.server.ask("GET", "/api/v1/tokens", token=OWNER).json()) == 2

"""The server proves itself to workers without learning their token, and for its own addresses alone."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import pytest

from orchestune.server.addresses import Addresses, joined, netloc
from orchestune.services.signatures import worker_token
from orchestune.worker.connection import dialling
from orchestune.worker.connection.dialling import ServerAddress, ServerNotProven, dial
from tests.unit.server.harness import Live, Reply, live, scripted_core

NONCE = "0123456789abcdef" * 2
WORKER, EXPERIMENT = "01890000-0000-7000-8000-000000000000", "01890000-0000-7000-8000-000000000001"
CORE = replace(scripted_core(), url="https://Tune.example.org/team")


def ask(server: Live, **changes: str) -> Reply:
    words = {"nonce": NONCE, "address": "tune.example.org:443", "worker": WORKER, "experiment": EXPERIMENT, **changes}
    return server.ask("GET", f"/api/v1/proof?{urlencode(words)}", token=None)


def test_a_worker_connects_to_the_server_that_made_its_token_and_to_no_other_one() -> None:
    with live(CORE, scripted=True) as server:
        server.server.config.app.state.context.addresses.add("127.0.0.1", server.port)  # type: ignore[union-attr]
        address = ServerAddress(f"http://127.0.0.1:{server.port}")
        token = worker_token(CORE, WORKER, EXPERIMENT)
        dial(address, token).close()
        with pytest.raises(ServerNotProven, match="the token was not sent"):
            dial(address, token[:-1] + ("1" if token.endswith("0") else "0"))


def test_the_proof_is_over_the_token_the_nonce_and_the_dialled_address() -> None:
    with live(CORE, scripted=True) as server:
        reply = ask(server)
        token = worker_token(CORE, WORKER, EXPERIMENT)
        assert reply.json() == {"proof": dialling.proof(token, NONCE, "tune.example.org:443")}
        others = [ask(server, nonce="0" * 32), ask(server, worker="w"), ask(server, experiment="e")]
        assert len({reply.body for reply in [reply, *others]}) == 4
        assert {reply.status for reply in others} == {200}  # which workers exist shows nowhere


@pytest.mark.parametrize("address", ["tune.example.org:80", "127.0.0.1:443", "evil.example.org:443", ""])
def test_no_proof_is_given_for_an_address_of_another_program(address: str) -> None:
    with live(CORE, scripted=True) as server:
        assert ask(server, address=address).status == 403


@pytest.mark.parametrize(
    "words",
    [{"nonce": ""}, {"nonce": "0" * 31}, {"nonce": "0" * 129}, {"nonce": "x" * 32}, {"nonce": f"{NONCE}\n"},
     {"worker": "a/b"}, {"worker": "w" * 65}, {"experiment": "."}, {"address": "a" * 301}],
)  # fmt: skip
def test_questions_are_bounded(words: dict[str, str]) -> None:
    with live(CORE, scripted=True) as server:
        assert ask(server, **words).status == 400


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://Lab", "lab:80"), ("https://lab/x", "lab:443"), ("http://[::1]:8470", "[::1]:8470"),
     ("http://10.0.0.1:9/x", "10.0.0.1:9")],
)  # fmt: skip
def test_server_and_worker_write_an_address_alike(url: str, expected: str) -> None:
    assert netloc(url) == dialling.netloc(url) == expected


@pytest.mark.parametrize(
    ("host", "names"),
    [("127.0.0.1", {"127.0.0.1", "host.docker.internal"}), ("lab", {"lab"}),
     ("0.0.0.0", {"127.0.0.1", "localhost", "host.docker.internal"}),
     ("::", {"127.0.0.1", "::1", "localhost", "host.docker.internal"})],
)  # fmt: skip
def test_a_listener_is_known_by_what_workers_dial(host: str, names: set[str]) -> None:
    addresses = Addresses()
    addresses.add(host, 8470)
    every = ("127.0.0.1", "::1", "localhost", "host.docker.internal", "lab", "10.0.0.1")
    assert {name for name in every if joined(name, 8470) in addresses} == names
    assert joined(host, 8471) not in addresses

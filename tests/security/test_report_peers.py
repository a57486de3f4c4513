"""Reports of trials of the cluster `local` come from the server's own user, at a hosted server too."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestune.server import peers
from orchestune.server.peers import STATE, direct_peer_of
from orchestune.services.signatures import report_signature
from tests.security.target import Target, attacked


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with attacked(tmp_path) as hosted:
        yield hosted


def report_statuses(target: Target, monkeypatch: pytest.MonkeyPatch, *, own_user: bool) -> set[int]:
    """Return the statuses of a report and a question about stopping, by new connections of a user."""
    monkeypatch.setattr(peers, "is_this_user", lambda connection: own_user)
    attempt = target.trial().lease["attempt"]
    path = f"/api/v1/report/{attempt}/{report_signature(target.world.core, attempt)}"
    return {
        target.server.ask("POST", path, {"loss": 0.5}, token=None).status,
        target.server.ask("GET", path, token=None).status,
    }


def test_a_hosted_server_takes_reports_of_local_trials_from_its_own_user_alone(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(target.world.core, "url", f"http://127.0.0.1:{target.server.port}")
    assert report_statuses(target, monkeypatch, own_user=False) == {403}
    assert report_statuses(target, monkeypatch, own_user=True) == {200}


def test_behind_a_proxy_the_user_of_the_connection_does_not_decide(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(target.world.core, "url", "https://tune.example.org")
    assert report_statuses(target, monkeypatch, own_user=False) == {200}


@pytest.mark.parametrize(
    ("url", "scheme", "proxies", "is_direct"),
    [
        ("http://lab:8470", "http", False, True),
        ("http://lab:8470", "http", True, False),
        ("https://lab:8470", "http", False, False),
        ("https://lab:8470", "https", False, True),
        ("https://tune.example.org", "http", False, False),
        ("http://lab:80", "http", False, False),
    ],
)
def test_a_connection_is_direct_if_the_server_is_called_at_its_own_address(
    url: str, scheme: str, proxies: bool, is_direct: bool
) -> None:
    peer = object()
    scope = {"state": {STATE: peer}, "scheme": scheme, "server": ("10.0.0.1", 8470)}
    networks = (ip_network("127.0.0.1/32"),) if proxies else ()
    context = SimpleNamespace(home="hosted", core=SimpleNamespace(url=url), proxies=networks)
    expected = peer if is_direct else None
    assert cast(Any, direct_peer_of(scope, cast(Any, context))) is expected
    context.home = "embedded"
    assert cast(Any, direct_peer_of(scope, cast(Any, context))) is peer

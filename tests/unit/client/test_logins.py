from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchestune.client.address import place
from orchestune.client.clusters import Clusters, ConnectedCluster
from orchestune.client.logins import FILE, Logins, StoredLogin
from orchestune.errors import UsageError

URL = "https://orchestune.example.org"
LOGIN = StoredLogin(URL, "l.token", "ada@example.org", "editor", "2027-01-01T00:00:00Z")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "ORCHESTUNE_HOME": str(tmp_path), "ORCHESTUNE_SERVER": URL}


def test_sign_ins_are_kept_by_server_in_a_private_file(tmp_path: Path) -> None:
    logins = Logins(tmp_path)
    other = StoredLogin("https://other.example", "l.other", "ada", "viewer", "2027-01-01T00:00:00Z")
    for login in (LOGIN, other):
        logins.add(login)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert (Logins(tmp_path).find(URL), Logins(tmp_path).find(other.url)) == (LOGIN, other)
    assert "l.token" not in repr(LOGIN)
    for _ in range(2):
        logins.remove(URL)
    assert (logins.find(URL), logins.find(other.url)) == (None, other)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"url": "x"}]', '[{"url": "x", "more": 1}]', "\x00"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    if text == "{}":
        assert Logins(tmp_path).find(URL) is None
        return
    with pytest.raises(UsageError, match=f"invalid file {tmp_path / FILE}"):
        Logins(tmp_path).find(URL)


def test_commands_use_the_sign_in_of_exactly_that_server_unless_there_is_a_token(
    environ: dict[str, str], tmp_path: Path
) -> None:
    server = place(environ)
    assert server.resolve().token == ""
    Logins(tmp_path).add(LOGIN)
    assert server.resolve().token == "l.token", "also of a command that runs already"
    assert place({**environ, "ORCHESTUNE_SERVER": f"{URL}/"}).resolve().token == "l.token"
    assert place({**environ, "ORCHESTUNE_SERVER": f"{URL}:8443"}).resolve().token == ""
    assert place({**environ, "ORCHESTUNE_TOKEN": "t.machine"}).resolve().token == "t.machine"


def test_a_named_server_without_a_token_uses_the_sign_in(environ: dict[str, str], tmp_path: Path) -> None:
    Logins(tmp_path).add(LOGIN)
    Clusters(tmp_path).add(ConnectedCluster("lab", "hosted", url=URL))
    Clusters(tmp_path).add(ConnectedCluster("machine", "hosted", url=URL, token="t.machine"))
    assert place(environ, "lab").resolve().token == "l.token"
    assert place(environ, "machine").resolve().token == "t.machine"

"""A caller who acts as another user is known to the API server as that user."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from orchestune.errors import UsageError
from orchestune.kubeapi.kubeconfig import load
from tests.testbeds.serving import Handler, Listening, serving


class _Echo(Handler):
    def do_GET(self) -> None:
        self.body()
        headers = sorted(
            (name.title(), value) for name, value in self.headers.items() if name.lower().startswith("imp")
        )
        self.send_json(200, headers)

    do_POST = do_GET


@pytest.fixture
def address() -> Iterator[str]:
    with serving(Listening(_Echo)) as server:
        yield server.url


def kubeconfig(folder: Path, server: str, **user: Any) -> str:
    document = {
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "ada"}}],
        "clusters": [{"name": "lab", "cluster": {"server": server}}],
        "users": [{"name": "ada", "user": {"token": "hers", **user}}],
    }
    (folder / "config").write_text(json.dumps(document))
    return str(folder / "config")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_name_groups_and_the_rest_reach_the_api_server(address: str, tmp_path: Path, method: str) -> None:
    whom = {"as": "bob", "as-uid": "7", "as-groups": ["ml", "vision", "lab"], "as-user-extra": {"a/b": ["x", "y"]}}
    endpoint = load(kubeconfig(tmp_path, "https://lab", **whom), None)
    assert endpoint.login()["Authorization"] == "Bearer hers"
    with urllib3.PoolManager() as pool:
        reply = pool.request(method, address, headers={"Accept": "x", **endpoint.login()}, body=b"{}")
    groups = [["Impersonate-Group", name] for name in ("lab", "ml", "vision")]
    extra = [["Impersonate-Extra-A%2Fb", value] for value in ("x", "y")]
    assert reply.json() == [*extra, *groups, ["Impersonate-Uid", "7"], ["Impersonate-User", "bob"]]


def test_nobody_else_is_meant_where_the_file_names_nobody(tmp_path: Path) -> None:
    assert load(kubeconfig(tmp_path, "https://lab"), None).login() == {"Authorization": "Bearer hers"}
    with pytest.raises(UsageError, match="`as-groups` without `as`"):
        load(kubeconfig(tmp_path, "https://lab", **{"as-groups": ["ml"]}), None)

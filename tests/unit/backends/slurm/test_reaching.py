from __future__ import annotations

import pytest

from orchestune.backends.slurm.client import Slurm
from orchestune.backends.slurm.server_reach import address_for_nodes, own_address


def listen(host: str, port: int) -> int:
    return port or 4711


@pytest.mark.parametrize(
    ("url", "setting", "own", "port", "expected"),
    [
        ("http://10.0.0.1:80", "", "10.0.0.2", 0, "http://10.0.0.1:80"),
        ("https://host.example/x", "10.0.0.3", "10.0.0.2", 0, "https://host.example/x"),
        ("http://127.0.0.1:80", "", "10.0.0.2", 0, "http://10.0.0.2:4711"),
        ("http://127.0.0.1:80", "", "10.0.0.2", 99, "http://10.0.0.2:99"),
        ("http://127.0.0.1:80", "10.0.0.3", "10.0.0.2", 99, "http://10.0.0.3:99"),
        ("http://127.0.0.1:80", "login1:5000", "10.0.0.2", 99, "http://login1:5000"),
        ("http://127.0.0.1:80", "[fd00::1]:5000", "10.0.0.2", 99, "http://[fd00::1]:5000"),
        ("http://127.0.0.1:80", "fd00::1", "10.0.0.2", 0, "http://[fd00::1]:4711"),
        ("http://127.0.0.1:80", "", "127.0.0.1", 0, "http://127.0.0.1:80"),
        ("http://127.0.0.1:80", ":5000", "10.0.0.2", 0, "http://10.0.0.2:5000"),
    ],
)
def test_nodes_reach_the_server_where_it_listens_for_them(
    url: str, setting: str, own: str, port: int, expected: str
) -> None:
    assert address_for_nodes(url, setting, lambda: own, listen, port) == expected


class ConfiguredSlurm(Slurm):
    """A controller and a node at these addresses."""

    def __init__(self, controller: str, node: str) -> None:
        super().__init__({})
        self.shown = {
            "config": f"SlurmctldAddr = (null)\nSlurmctldHost[0]        = head({controller})\n",
            "nodes": f"NodeName=n1 Arch=x86_64 NodeAddr={node} NodeHostName=n1\n",
        }

    def show(self, kind: str, *names: str) -> str:
        return self.shown[kind]


def test_where_all_of_slurm_is_on_this_machine_it_is_reached_at_home() -> None:
    assert own_address(ConfiguredSlurm("127.0.0.1", "127.0.0.1")) == "127.0.0.1"


def test_an_address_that_leads_nowhere_is_passed_over() -> None:
    assert own_address(ConfiguredSlurm("no.such.host.invalid", "127.0.0.1")) == "127.0.0.1"

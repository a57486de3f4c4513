from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestune.backends.docker import plan
from orchestune.backends.docker.mounts import MountPolicy
from orchestune.backends.docker.plan import ContainerDefaults, DockerHost
from orchestune.domain.resources.placement import Placement, Volume
from orchestune.domain.resources.resources import Resources
from orchestune.errors import UsageError
from orchestune.ports.backend import WorkerOrder

HOST = DockerHost("lab-1", 8.0, 32 * 2**30, "amd64")
MOUNTS = MountPolicy(Path("/state"), allow=("/srv/sets",), own_projects=True)
SITE = ContainerDefaults(
    "5a7e", HOST, "/state/cache/runtime-1", "http://127.0.0.1:8470", "/state/docker/server", mounts=MOUNTS
)
ORDER = WorkerOrder(
    "01a21212-1015-7940-8188-2bed67e883cc",
    "01a21212-0000-7000-8000-000000000001",
    "w.the-token",
    1,
    placement=Placement(image="python:3.12@sha256:ab"),
    handle="sgd-7f3a",
    owner="ada",
)
PYTHON = ["/orchestune/runtime/py/lib/ld.so", "--inhibit-cache", "--library-path", "/orchestune/runtime/py/lib"]


def test_a_container_has_the_image_as_it_is_and_no_right_that_a_program_does_not_need() -> None:
    assert plan.container(ORDER, SITE) == {
        "Image": "python:3.12@sha256:ab",
        "Hostname": "lab-1",
        "Entrypoint": [*PYTHON, "/orchestune/runtime/py/bin/python3", "-I", "/orchestune/runtime/worker.pyz"],
        "Cmd": [],
        "Env": ["ORCHESTUNE_WORKER_FILE=/orchestune/worker/worker.json", "NVIDIA_VISIBLE_DEVICES=void"],
        "Labels": {
            "orchestune.dev/state": "5a7e",
            "orchestune.dev/worker": "01a21212-1015-7940-8188-2bed67e883cc",
            "orchestune.dev/experiment": "01a21212-0000-7000-8000-000000000001",
            "orchestune.dev/handle": "sgd-7f3a",
            "orchestune.dev/owner": "ada",
        },
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "StopTimeout": 15,
        "HostConfig": {
            "NetworkMode": "host",
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": "/state/cache/runtime-1",
                    "Target": "/orchestune/runtime",
                    "ReadOnly": True,
                },
                {"Type": "volume", "Target": "/orchestune/worker"},
                {"Type": "bind", "Source": "/state/docker/server", "Target": "/orchestune/server", "ReadOnly": True},
            ],
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
            "ShmSize": 16 * 2**30,
            "PidsLimit": plan.PIDS,
        },
    }


def test_the_token_is_in_the_workers_file_alone_which_any_user_of_the_image_may_read() -> None:
    assert ORDER.token not in json.dumps(plan.container(ORDER, SITE))
    with tarfile.open(fileobj=io.BytesIO(plan.archive(plan.document(ORDER, SITE)))) as archive:
        modes = {entry.name: entry.mode for entry in archive}
        file = archive.extractfile("worker.json")
        assert file is not None
        worker_file = json.load(file)
    assert modes == {"state": 0o1777, "worker.json": 0o444}
    assert worker_file == {
        "url": "http://127.0.0.1:8470",
        "endpoint": "/orchestune/server/address.json",
        "token": "w.the-token",
        "worker": ORDER.worker,
        "slots": 1,
        "state": "/orchestune/worker/state",
        "gpus": [],
        "tags": {},
    }


def config(order: WorkerOrder, site: ContainerDefaults = SITE) -> dict[str, Any]:
    host_config: dict[str, Any] = plan.container(order, site)["HostConfig"]
    return host_config


def test_what_a_trial_asks_for_is_its_limit_and_swap_is_none() -> None:
    host_config = config(replace(ORDER, each=Resources(1.5, 2 * 2**30)))
    assert (host_config["NanoCpus"], host_config["Memory"], host_config["MemorySwap"]) == (
        1_500_000_000,
        2 * 2**30,
        2 * 2**30,
    )
    assert host_config["ShmSize"] == 2**30
    assert "DeviceRequests" not in host_config


def test_the_size_of_shared_memory_can_be_said() -> None:
    assert config(replace(ORDER, placement=Placement("i", shm=2**20)))["ShmSize"] == 2**20


def test_gpus_are_passed_by_their_uuids() -> None:
    order = replace(ORDER, gpus=("GPU-1", "MIG-2"))
    assert config(order)["DeviceRequests"] == [{"DeviceIDs": ["GPU-1", "MIG-2"], "Capabilities": [["gpu"]]}]
    assert json.loads(plan.document(order, SITE))["gpus"] == ["GPU-1", "MIG-2"]


def test_volumes_are_folders_of_the_machine_or_volumes_of_docker() -> None:
    volumes = (Volume("/data", claim="data"), Volume("/sets", path="/srv/sets", read_only=True))
    mounts = config(replace(ORDER, placement=Placement("i", volumes=volumes)))["Mounts"]
    assert mounts[3:] == [
        {"Type": "volume", "Source": "data", "Target": "/data", "ReadOnly": False},
        {"Type": "bind", "Source": "/srv/sets", "Target": "/sets", "ReadOnly": True},
    ]


def test_what_the_bundle_left_out_is_mounted_read_only_but_for_what_is_personal(tmp_path: Path) -> None:
    for name in ("data", ".env", "venv", "torch"):
        (tmp_path / name).mkdir()
    (tmp_path / "torch" / "pyvenv.cfg").touch()
    links = ["data", ".env", "venv", "torch", "gone", "../outside"]
    order = replace(ORDER, launch={"root": str(tmp_path), "links": links, "env": {"PATH": "/mine"}})
    data = f"{tmp_path}/data"
    assert config(order)["Mounts"][3:] == [{"Type": "bind", "Source": data, "Target": data, "ReadOnly": True}]
    assert "/mine" not in json.dumps(plan.container(order, SITE))


@pytest.mark.parametrize(
    ("host", "url", "mode", "endpoint_url"),
    [
        (HOST, "http://127.0.0.1:80", "host", "http://127.0.0.1:80"),
        (HOST, "http://[::1]:80", "host", "http://[::1]:80"),
        (HOST, "https://tune.lab/x", "default", "https://tune.lab/x"),
        (replace(HOST, here=False), "http://tune.lab:80", "default", "http://tune.lab:80"),
        (replace(HOST, desktop=True), "http://127.0.0.1:80/x", "default", "http://host.docker.internal:80/x"),
    ],
)
def test_a_container_reaches_the_server(host: DockerHost, url: str, mode: str, endpoint_url: str) -> None:
    network = plan.network(host, url)
    assert (network.mode, network.url(url)) == (mode, endpoint_url)


@pytest.mark.parametrize("host", [replace(HOST, here=False), replace(HOST, rootless=True)])
def test_a_server_that_containers_cannot_reach_is_refused_with_what_to_do(host: DockerHost) -> None:
    with pytest.raises(UsageError, match="cannot reach the server") as caught:
        plan.network(host, "http://localhost:8470")
    assert "orchestune server --host" in caught.value.hint


def test_a_daemon_elsewhere_gets_the_private_python_in_a_volume_and_the_address_itself() -> None:
    site = ContainerDefaults("5a7e", replace(HOST, here=False), "orchestune-runtime-1", "http://tune.lab:8470")
    order = replace(ORDER, launch={"root": "/", "links": ["etc"]})
    assert config(order, site)["Mounts"] == [
        {"Type": "volume", "Source": "orchestune-runtime-1", "Target": "/orchestune/runtime", "ReadOnly": True},
        {"Type": "volume", "Target": "/orchestune/worker"},
    ]
    worker_file = json.loads(plan.document(ORDER, site))
    assert (worker_file["url"], worker_file["endpoint"]) == ("http://tune.lab:8470", None)


@pytest.mark.parametrize("handle", ["sgd-7f3a", "", "a b/c", "größe-1"])
def test_a_container_is_named_after_its_experiment(handle: str) -> None:
    name = plan.name(replace(ORDER, handle=handle))
    assert name.startswith("orchestune-") and name.endswith("-2bed67e883cc")
    assert name.isascii() and "/" not in name and " " not in name


@pytest.mark.parametrize(("cpu", "nano"), [(0.001, 10**7), (0.5, 5 * 10**8), (64, 8 * 10**9)])
def test_a_limit_of_cores_is_one_that_docker_takes(cpu: float, nano: int) -> None:
    assert plan.container(replace(ORDER, each=Resources(cpu=cpu)), SITE)["HostConfig"]["NanoCpus"] == nano


@pytest.mark.parametrize(
    ("user", "account"),
    [
        ("1001", "mallory"), ("1001:100", "mallory"), ("1000", ""), ("0", ""), ("", ""), ("mallory", ""), ("5", ""),
        ("99999999999999999999", ""), ("-1", ""),
    ],
)  # fmt: skip
def test_the_account_of_another_user_with_the_uid_of_an_image_is_named(
    user: str, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getpwuid(uid: int) -> object:
        if uid >= 2**64:
            raise OverflowError
        return SimpleNamespace(pw_name={1000: "ada", 1001: "mallory", 0: "root"}[uid])

    monkeypatch.setattr("pwd.getpwuid", getpwuid)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert plan.account_of_image(user, HOST) == account
    elsewhere = replace(HOST, here=False), replace(HOST, desktop=True)
    for host in (*elsewhere, replace(HOST, rootless=True), replace(HOST, remapped=True)):
        assert plan.account_of_image(user, host) == ""

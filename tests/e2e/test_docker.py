"""Experiments in containers: any image, exact budgets, nothing left behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestune.controllers.warm_pool import WARM_SECONDS
from tests.e2e.scene import attempts, eventually, kill_server, launch, reached, write
from tests.testbeds import docker_images
from tests.testbeds.docker import Engine, docker_engine
from tests.testbeds.home import Home
from tests.testbeds.images import Image
from tests.unit.cli.conftest import Terminal, plain

pytestmark = pytest.mark.docker
LABEL = "orchestune.dev/"


class Scene:
    """A home whose experiments run in containers of one daemon."""

    def __init__(self, home: Home, engine: Engine) -> None:
        self.home, self.engine = home, engine
        self.api: Any = docker.APIClient(engine.url, version="auto", timeout=60)
        self.python = docker_images.load(engine, "test-python:1", docker_images.python())
        self.busybox = docker_images.load(engine, "test-busybox:1", docker_images.busybox())

    def containers(self, handle: str = "") -> list[dict[str, Any]]:
        """Return the containers of this home's experiment, or of all of them, running or not."""
        identity = self.home.folder / "docker" / "identity"
        if not identity.exists():
            return []
        labels = [f"{LABEL}state={identity.read_text()}"] + ([f"{LABEL}handle={handle}"] if handle else [])
        containers: list[dict[str, Any]] = self.api.containers(all=True, filters={"label": labels})
        return containers

    def running(self, handle: str, count: int) -> list[str]:
        """The names of the experiment's containers, once so many run."""

        def look() -> list[str] | None:
            names = [c["Names"][0].lstrip("/") for c in self.containers(handle) if c["State"] == "running"]
            return names if len(names) == count else None

        containers = eventually(look, f"{count} containers of {handle} run", self.home)
        assert containers is not None
        return containers

    def nothing_left(self, handle: str) -> None:
        """Wait until the daemon has nothing of the experiment."""
        eventually(lambda: not self.containers(handle), f"no container of {handle} is left", self.home)


@pytest.fixture(scope="module")
def scene(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    held = str(tmp_path_factory.getbasetemp())  # where `hold` makes its folders, beside the projects
    with Home(DOCKER_HOST=docker_engine.url, ORCHESTUNE_CLUSTER="docker", ORCHESTUNE_DOCKER_ALLOW=held) as home:
        scene = Scene(home, docker_engine)
        yield scene
        try:
            description = "every container is gone, warm ones of tests too"
            eventually(lambda: not scene.containers(), description, home, WARM_SECONDS + 60)
        finally:
            for container in scene.containers():
                with contextlib.suppress(docker.errors.APIError):
                    scene.api.remove_container(container["Id"], v=True, force=True)
            scene.api.close()


def hold(folder: Path) -> list[dict[str, Any]]:
    """A folder of this machine in the container: trials continue once it has a file `go`."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    return [{"path": str(folder), "mount": "/hold"}]


HELD = "touch /hold/$ORCHESTUNE_TRIAL; while [ ! -e /hold/go ]; do sleep 0.05; done; echo loss={x}"


def listening(port: int) -> socket.socket | None:
    """Bind the port as another program would; return None if it is in use."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None


def begun(folder: Path, count: int) -> bool:
    return len([path for path in folder.iterdir() if path.name.isdecimal()]) >= count


PRINT_USER = "import os; print('user', os.getuid()); print('loss={x}')"
IMAGES: dict[str, tuple[Image, str | list[str], int]] = {
    "python": (docker_images.python(), ["python3", "-c", PRINT_USER], 0),
    "non-root": (docker_images.busybox(), "echo user $(id -u); echo loss={x}", 65534),
    "musl": (docker_images.musl(), "program {x}", 0),
    "static": (docker_images.static(), ["/program", "{x}"], 1234),
}


@pytest.mark.parametrize("kind", list(IMAGES))
def test_any_image_works_as_it_is(scene: Scene, tmp_path: Path, kind: str) -> None:
    image, run, user = IMAGES[kind]
    name = docker_images.load(scene.engine, f"test-any-{kind}:1", image)
    project = write(tmp_path / kind, run, image=name)
    handle = launch(scene.home, project)
    status = reached(scene.home, handle, "completed")
    assert status["counts"]["completed"] == 3
    assert f"user {user}\n" in scene.home.run("logs", handle, "--tail", "100").stdout.replace(" │ ", "\n")
    scene.nothing_left(handle)


def test_killed_containers_cost_nothing_and_the_budget_is_exact(scene: Scene, tmp_path: Path) -> None:
    volumes = hold(tmp_path / "hold")
    project = write(tmp_path / "killed", HELD, image=scene.busybox, volumes=volumes, budget=5)
    handle = launch(scene.home, project)
    eventually(lambda: begun(tmp_path / "hold", 2), "two trials run", scene.home)
    for name in scene.running(handle, 2):
        scene.api.kill(name, "SIGKILL")
    eventually(
        lambda: sum(attempt["state"] == "lost" for attempt in attempts(scene.home, handle)) == 2,
        "both losses are known",
        scene.home,
    )
    (tmp_path / "hold/go").touch()
    status = reached(scene.home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (5, 0)
    ended = attempts(scene.home, handle)
    assert sorted(attempt["trial"] for attempt in ended if attempt["state"] == "succeeded") == [1, 2, 3, 4, 5]
    lost = [attempt["reason"]["message"] for attempt in ended if attempt["state"] == "lost"]
    assert len(lost) == 2
    assert all("its container was killed (SIGKILL)" in message for message in lost)
    scene.nothing_left(handle)


def test_stopping_leaves_no_container_and_no_volume(scene: Scene, tmp_path: Path) -> None:
    stubborn = f"trap '' TERM; {HELD}"
    project = write(tmp_path / "stopped", stubborn, image=scene.busybox, volumes=hold(tmp_path / "hold"))
    handle = launch(scene.home, project)
    eventually(lambda: begun(tmp_path / "hold", 2), "two trials run", scene.home)
    inspected = [scene.api.inspect_container(name) for name in scene.running(handle, 2)]
    volumes = {mount["Name"] for about in inspected for mount in about["Mounts"] if mount["Type"] == "volume"}
    assert len(volumes) == 2
    scene.home.run("stop", handle)
    reached(scene.home, handle, "stopped")
    scene.nothing_left(handle)
    remaining_volumes = {volume["Name"] for volume in scene.api.volumes()["Volumes"] or ()}
    assert not volumes & remaining_volumes


def test_containers_outlive_the_server_and_find_the_next_one_at_another_port(scene: Scene, tmp_path: Path) -> None:
    home = scene.home
    project = write(tmp_path / "outlive", HELD, image=scene.busybox, volumes=hold(tmp_path / "hold"), budget=4)
    handle = launch(home, project)
    eventually(lambda: begun(tmp_path / "hold", 2), "two trials run", home)
    before = set(scene.running(handle, 2))
    kill_server(home)
    moved_from = json.loads((home.folder / "endpoint.json").read_text())["url"]
    port = int(moved_from.rpartition(":")[2])
    listener = eventually(lambda: listening(port), "what the killed server started has let its port go", home)
    assert listener is not None
    with listener:
        home.run("status")
        assert json.loads((home.folder / "endpoint.json").read_text())["url"] != moved_from
        assert set(scene.running(handle, 2)) == before
        (tmp_path / "hold/go").touch()
        status = reached(home, handle, "completed")
    assert status["counts"]["completed"] == 4
    assert [attempt["state"] for attempt in attempts(home, handle)] == ["succeeded"] * 4
    scene.nothing_left(handle)


def test_a_trial_over_its_memory_limit_fails_with_that_reason_and_its_worker_lives_on(
    scene: Scene, tmp_path: Path
) -> None:
    code = "import os; n = int(os.environ['ORCHESTUNE_TRIAL']); b = bytearray((n == 2) * 2**29 + 1); print('loss=1')"
    project = write(
        tmp_path / "memory", ["python3", "-c", code], image=scene.python, parallelism=1, resources={"memory": "128Mi"}
    )
    handle = launch(scene.home, project)
    status = reached(scene.home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (2, 1)
    [failed] = [attempt for attempt in attempts(scene.home, handle) if attempt["state"] == "failed"]
    assert failed["trial"] == 2
    assert failed["reason"]["code"] == "out_of_memory"
    assert "limit of 128 MiB" in failed["reason"]["message"]


def test_a_trial_that_ran_out_of_memory_gets_a_container_with_more(scene: Scene, tmp_path: Path) -> None:
    project = write(
        tmp_path / "more", ["python3", "-c", "bytearray(2**27); print('loss=1')"], image=scene.python, parallelism=1,
        budget=1, resources={"memory": "64Mi"}, retry={"memory_factor": 4},
    )  # fmt: skip
    handle = launch(scene.home, project)
    assert reached(scene.home, handle, "completed")["counts"]["completed"] == 1
    first, second = attempts(scene.home, handle)
    assert first["reason"]["message"].endswith("; retried with 256 MiB")
    assert (second["state"], second["raised_memory_bytes"]) == ("succeeded", 2**28)
    scene.nothing_left(handle)


def test_an_image_that_cannot_be_pulled_pauses_the_experiment_with_the_registrys_words(
    scene: Scene, tmp_path: Path
) -> None:
    project = write(tmp_path / "missing", "echo loss={x}", image="127.0.0.1:1/no/such:1")
    handle = launch(scene.home, project)
    status = reached(scene.home, handle, "paused")
    assert status["reason"]["code"] == "workers_fail"
    assert "cannot pull the image 127.0.0.1:1/no/such:1" in status["reason"]["message"]
    assert "connection refused" in status["reason"]["message"]
    assert (status["counts"]["failed"], attempts(scene.home, handle)) == (0, [])
    scene.home.run("stop", handle)
    scene.nothing_left(handle)


def test_kept_files_and_checkpoints_survive_the_container(scene: Scene, tmp_path: Path) -> None:
    train = """
    cd $ORCHESTUNE_CHECKPOINT_DIR
    [ -e epoch ] || echo 0 > epoch
    echo "begins after epoch $(cat epoch)"
    while [ $(cat epoch) -lt 6 ]; do
      echo $(($(cat epoch) + 1)) > .draft && mv .draft epoch
      [ -e /hold/go ] || [ $(cat epoch) -lt 3 ] || { touch /hold/1; sleep 600; }
      sleep 0.1
    done
    cd - >/dev/null; cp $ORCHESTUNE_CHECKPOINT_DIR/epoch model.bin; echo loss={x}
    """
    home, folder = scene.home, tmp_path / "hold"
    project = write(
        tmp_path / "checkpoint", train, image=scene.busybox, volumes=hold(folder), budget=1, parallelism=1,
        checkpoint="0.2s", keep=["model.bin"],
    )  # fmt: skip
    handle = launch(home, project)
    eventually(lambda: begun(folder, 1), "the third epoch is over", home)
    eventually(lambda: home.json("trials", f"{handle}/1")["checkpoint"], "its checkpoint is there", home)
    (folder / "go").touch()
    [name] = scene.running(handle, 1)
    scene.api.kill(name, "SIGKILL")
    reached(home, handle, "completed")
    assert re.search(r"begins after epoch [1-3]", home.run("logs", handle).stdout)  # the newest that was published
    eventually(lambda: home.json("trials", f"{handle}/1")["artifacts"], "its file is kept", home)
    home.run("get", f"{handle}/1", "-o", str(tmp_path / "got"))
    assert (tmp_path / "got/model.bin").read_text() == "6\n"


def test_limits_are_set_and_neither_token_nor_secret_can_be_inspected(scene: Scene, tmp_path: Path) -> None:
    secret = "sesame-open-4711"
    (tmp_path / "secret.txt").write_text(secret)
    project = write(
        tmp_path / "limits",
        f"[ ${{#KEY}} = {len(secret)} ] && {{ {HELD}; }}",
        image=scene.busybox, volumes=hold(tmp_path / "hold"), budget=1, parallelism=1, shm="96Mi",
        resources={"cpu": 0.5, "memory": "256Mi"}, secrets={"KEY": {"file": str(tmp_path / "secret.txt")}},
    )  # fmt: skip
    handle = launch(scene.home, project)
    eventually(lambda: begun(tmp_path / "hold", 1), "the trial runs", scene.home)
    [name] = scene.running(handle, 1)
    about = scene.api.inspect_container(name)
    config = about["HostConfig"]
    assert (config["NanoCpus"], config["Memory"], config["ShmSize"]) == (5 * 10**8, 2**28, 96 * 2**20)
    assert config["PidsLimit"] > 0
    assert (config["CapDrop"], config["SecurityOpt"], config["Privileged"]) == (["ALL"], ["no-new-privileges"], False)
    assert about["Config"]["User"] == "65534:65534"
    assert {mount["Destination"] for mount in about["Mounts"] if mount["RW"]} == {"/hold", "/orchestune/worker"}
    public = json.dumps([about, scene.api.top(name)])
    worker_archive = scene.api.get_archive(name, "/orchestune/worker/worker.json")
    with tarfile.open(fileobj=io.BytesIO(b"".join(worker_archive[0]))) as archive:
        document = archive.extractfile("worker.json")
        assert document is not None
        token = json.load(document)["token"]
    assert len(token) > 20
    assert token not in public and secret not in public
    (tmp_path / "hold/go").touch()
    reached(scene.home, handle, "completed")


def test_what_the_bundle_leaves_out_is_there_to_be_read(scene: Scene, tmp_path: Path) -> None:
    project = write(tmp_path / "large", "cat data/big.csv; ls -a; echo loss={x}", image=scene.busybox, budget=1)
    (project / "data").mkdir()
    (project / "data/big.csv").write_text("a line of data\n")
    (project / ".gitignore").write_text("data/\n")
    (project / ".env").write_text("KEY=secret\n")
    handle = launch(scene.home, project)
    assert reached(scene.home, handle, "completed")["counts"]["completed"] == 1
    output = scene.home.run("logs", handle).stdout
    assert "a line of data" in output
    assert ".env" not in output


def test_changed_code_is_tried_and_taken_and_a_trial_is_opened_in_its_image(scene: Scene, tmp_path: Path) -> None:
    home = scene.home
    code = "import os\nprint('{} code of trial', os.environ['ORCHESTUNE_TRIAL'])\nprint('loss=1')\n"
    project = write(tmp_path / "changed", "python3 train.py", image=scene.python, budget=2, parallelism=1)
    (project / "train.py").write_text(code.format("old"))
    handle = launch(home, project)
    reached(home, handle, "completed")
    (project / "train.py").write_text(code.format("new"))
    output = home.run("try", "--into", handle, cwd=project).stdout
    assert (
        "new code of trial 1" in output and "metric   loss 1" in output and f"{handle} switched to this code" in output
    )
    home.run("extend", handle, "--budget", "3")
    reached(home, handle, "completed")
    assert "new code of trial 3" in home.run("logs", f"{handle}/3").stdout
    assert home.run("shell", f"{handle}/2", "--", "{run}").stdout == "old code of trial 2\nloss=1\n"
    look = "print(os.path.exists('/.dockerenv'), os.uname().nodename, repr(sys.stdin.read()))"
    command = ("python3", "-c", f"import os, sys; {look}; sys.exit(7)")
    inside, container, read = home.run("shell", f"{handle}/3", "--", *command, expect=7).stdout.split()
    assert (inside, read) == ("True", "''")
    with contextlib.closing(Terminal(["shell", f"{handle}/3"], home.env)) as screen:
        screen.wait_for(r"[#$] $")
        screen.press("test -t 0 && echo $ORCHESTUNE_TRIAL is on $(hostname); exit 4\r")
        assert screen.end() == 4
        assert f"3 is on {container}" in plain(screen.screen), "it has taken over what the one before left warm"
    assert [status["handle"] for status in home.json("status") if status["name"] == "changed"] == [handle]
    scene.nothing_left(handle)


def test_an_image_without_a_shell_has_none_and_runs_its_command(scene: Scene, tmp_path: Path) -> None:
    image, run, _ = IMAGES["static"]
    name = docker_images.load(scene.engine, "test-any-static:1", image)
    handle = launch(scene.home, write(tmp_path / "shell-less", run, image=name, budget=1))
    reached(scene.home, handle, "completed")
    assert "no shell was found" in scene.home.run("shell", f"{handle}/1", expect=127).stdout
    assert "user 1234\nloss=" in scene.home.run("shell", f"{handle}/1", "--", "{run}").stdout
    scene.nothing_left(handle)


def test_trials_go_on_while_the_daemon_is_away(scene: Scene, tmp_path: Path) -> None:
    if scene.engine.foreign:
        pytest.skip("this test kills the daemon, and this one belongs to somebody")
    project = write(
        tmp_path / "away", HELD, image=scene.busybox, volumes=hold(tmp_path / "hold"), budget=3, parallelism=1
    )
    handle = launch(scene.home, project)
    eventually(lambda: begun(tmp_path / "hold", 1), "the first trial runs", scene.home)
    scene.engine.stop(signal.SIGKILL)
    try:
        (tmp_path / "hold/go").touch()
        eventually(lambda: scene.home.json("status", handle)["counts"]["completed"] == 3, "all trials end", scene.home)
        local = write(tmp_path / "local", "echo loss={x}")
        scene.home.run("run", "--cluster", "local", cwd=local)
    finally:
        scene.engine.start()
    status = reached(scene.home, handle, "completed")
    assert [attempt["state"] for attempt in attempts(scene.home, handle)] == ["succeeded"] * 3
    assert status["counts"]["completed"] == 3
    scene.nothing_left(handle)


def test_a_restart_of_the_daemon_costs_nothing(scene: Scene, tmp_path: Path) -> None:
    if scene.engine.foreign:
        pytest.skip("this test restarts the daemon, and this one belongs to somebody")
    project = write(tmp_path / "restart", HELD, image=scene.busybox, volumes=hold(tmp_path / "hold"), budget=3)
    handle = launch(scene.home, project)
    eventually(lambda: begun(tmp_path / "hold", 2), "two trials run", scene.home)
    scene.engine.stop()
    scene.engine.start()
    (tmp_path / "hold/go").touch()
    status = reached(scene.home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (3, 0)
    ended = [attempt["state"] for attempt in attempts(scene.home, handle)]
    assert ended.count("succeeded") == 3
    assert set(ended) <= {"succeeded", "preempted", "lost"}
    scene.nothing_left(handle)


def test_each_container_sees_the_gpus_of_its_trial_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretended cards: what lists them, and what Docker runs to pass them on."""
    programs = tmp_path / "bin"
    programs.mkdir()
    listed = "".join(f"echo 'GPU {index}: Pretended (UUID: GPU-{index}{index}{index})'\n" for index in range(4))
    for name, script in {"nvidia-smi": listed, "nvidia-container-runtime-hook": ""}.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("ORCHESTUNE_TEST_DOCKER", raising=False)
    run = "echo sees $CUDA_VISIBLE_DEVICES of $NVIDIA_VISIBLE_DEVICES; touch /hold/$ORCHESTUNE_TRIAL; "
    run += "while [ $(ls /hold | wc -l) -lt 2 ]; do sleep 0.05; done; echo loss={x}"
    settings = {"ORCHESTUNE_CLUSTER": "docker", "ORCHESTUNE_DOCKER_ALLOW": str(tmp_path)}
    with docker_engine() as engine, Home(DOCKER_HOST=engine.url, **settings) as home:
        image = docker_images.load(engine, "test-busybox:1", docker_images.busybox())
        project = write(
            tmp_path / "gpus", run, image=image, budget=2, resources={"gpu": 2}, volumes=hold(tmp_path / "hold")
        )
        handle = launch(home, project)
        reached(home, handle, "completed")
        gpu_sets = [tuple(attempt["gpus"]) for attempt in attempts(home, handle)]
        assert sorted(gpu for pair in gpu_sets for gpu in pair) == ["GPU-000", "GPU-111", "GPU-222", "GPU-333"]
        logs = home.run("logs", handle).stdout
        for pair in gpu_sets:
            assert f"sees {','.join(pair)} of {','.join(pair)}\n" in logs
        errors = home.run("run", "--detach", "--set", "resources.gpu=5", cwd=project, expect=2).stderr
        assert "5 gpu" in errors


def test_the_example_with_a_dockerfile_is_built_once_and_runs_as_its_own_user(scene: Scene, tmp_path: Path) -> None:
    docker_images.load(scene.engine, "python:3.12-slim", docker_images.python())  # what it is built on
    example = Path(__file__).parents[2] / "examples/07-dockerfile"
    project = Path(shutil.copytree(example, tmp_path / "example"))
    built: list[set[str]] = []
    for line in ("", "print('changed')\n"):
        (project / "model.py").write_text((project / "model.py").read_text() + line)
        handle = launch(scene.home, project)
        status = reached(scene.home, handle, "completed", timeout=240)
        assert (status["counts"]["completed"], status["counts"]["failed"]) == (24, 0)
        output = scene.home.run("logs", handle, "--tail", "200").stdout
        assert "user 1000 on" in output and "user 0 on" not in output
        assert ("changed" in output) == bool(line)
        built.append({image["Id"] for image in scene.api.images(all=True)})
    assert built[0] == built[1]


def test_without_docker_an_experiment_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with Home(DOCKER_HOST=f"unix://{tmp_path}/none.sock", ORCHESTUNE_CLUSTER="docker") as home:
        project = write(tmp_path / "refused", "echo loss={x}", image="busybox:1")
        errors = home.run("run", "--detach", cwd=project, expect=3).stderr
        assert "cannot connect to Docker at unix://" in errors
        assert "DOCKER_HOST" in errors
        assert home.json("status") == []

"""An idle cluster goes by itself, from the last trial to the last resource: a real server, and a function that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from orchestune.clusters.aws.names import Names
from tests.integration.aws import life, stage
from tests.testbeds.aws.fake import REGION, Fake
from tests.testbeds.aws.identities import ACCOUNT
from tests.testbeds.home import Home
from tests.testbeds.ports import free_port
from tests.testbeds.waiting import until

pytestmark = pytest.mark.timeout(600)
TOKEN = "a-token-that-is-long-enough-to-be-one"
NAMES = Names(stage.NAME, REGION, ACCOUNT)
EXPERIMENT = {
    "name": "shell", "run": "echo trying {x}; echo score={x}", "metrics": {"score": "maximize"}, "budget": 3,
    "parameters": {"x": {"type": "float", "min": 0, "max": 1}}, "parallelism": 2, "engine": "random",
}  # fmt: skip


class Server:
    """One server of a cluster, with the rights that the cluster's role for it has."""

    def __init__(self, aws: Fake, folder: Path) -> None:
        self._aws, self._folder, self._port = aws, folder, free_port()
        (folder / "tokens").write_text(f"ada {TOKEN}\n")
        self.url = f"http://127.0.0.1:{self._port}"

    @contextmanager
    def running(self, *more: str) -> Iterator[Home]:
        """Start it, for commands of the home that is given; end it."""
        environ = self._aws.environment(self._aws.world.take_on(NAMES.role_arn("server"), "server"))
        command = [sys.executable, "-m", "orchestune", "server", "--port", str(self._port), *more]
        command += ["--token-file", str(self._folder / "tokens"), "--state", str(self._folder / "state")]
        with Home(ORCHESTUNE_SERVER=self.url, ORCHESTUNE_TOKEN=TOKEN, USER="ada") as home:
            with subprocess.Popen(command, env=home.env | environ) as process:
                try:
                    until("the server to answer", self._answers)
                    yield home
                finally:
                    process.terminate()

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=10).ok
        except requests.ConnectionError:
            return False


def test_a_cluster_that_nobody_uses_keeps_its_records_and_destroys_itself(aws: Fake, tmp_path: Path) -> None:
    life.archive(aws)
    aws.behaviour.polls = 1
    before = aws.inventory()
    stage.create(stage.RETIRING)
    server, file, plan = Server(aws, tmp_path), tmp_path / "experiment.yml", tmp_path / "retirement.json"
    file.write_text(json.dumps(EXPERIMENT))
    plan.write_text(json.dumps(stage.provisioner().retirement(stage.RETIRING) | {"after": 1.0}))
    with server.running() as home:
        home.run("run", "-f", str(file))
        [original] = home.json("status")
    with server.running("--retire", str(plan)) as home:
        until("the function to be called", lambda: aws.functions.invoked)
        refused = home.run("run", "-f", str(file), expect=None)
        assert refused.returncode != 0 and "is being destroyed" in refused.stderr
    [run] = aws.functions.join(300)
    assert run.code == 0, run.said
    assert aws.inventory() == before
    with Home(USER="ada", **aws.environment()) as other:
        other.run("import", f"s3://{life.ARCHIVE}/vision", "--trust-unverified")
        [copy_of_status] = other.json("status")
        assert copy_of_status["id"] == original["id"] and copy_of_status["counts"]["completed"] == 3
        assert other.run("logs", copy_of_status["handle"]).stdout.count("trying") == 3

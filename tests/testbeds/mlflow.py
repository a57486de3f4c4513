"""A tracking server of MLflow in an environment of its own, which `python -m tests.testbeds.mlflow FOLDER` makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.testbeds.ports import free_port
from tests.testbeds.waiting import until

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("ORCHESTUNE_TEST_MLFLOW") or ROOT / ".venv-mlflow/bin/python")
"""of the environment, or of another one that has MLflow"""
VERSION = "mlflow==3.17.2"


def make(folder: Path) -> None:
    """Make the environment in a folder that is not there yet. CalledProcessError where a step of it fails."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, VERSION], check=True)


class Mlflow:
    """`with Mlflow(folder) as mlflow`: serves until the block ends; `kill` and `start` in between."""

    def __init__(self, folder: Path) -> None:
        assert PYTHON.exists(), "make test-mlflow sets up what this takes"
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Mlflow:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHONPATH"))}
        with (self.folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=environ,
                start_new_session=True,
            )  # fmt: skip
        until("MLflow to answer", self._answers, 300, describe=(self.folder / "mlflow.log").read_text)

    def kill(self) -> None:
        """End it, and what it started. Idempotent."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "mlflow.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=10) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False

    def ask(self, path: str, body: Any = None) -> Any:
        """A call of the REST API."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/2.0/mlflow/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def runs(self, name: str) -> list[Any]:
        """Every run of the experiment of this name, the first one first; none where it is not there."""
        try:
            experiment = self.ask(f"experiments/get-by-name?experiment_name={quote(name, safe='')}")["experiment"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return []
        body = {"experiment_ids": [experiment["experiment_id"]], "max_results": 10_000, "order_by": ["start_time"]}
        runs: list[Any] = self.ask("runs/search", body).get("runs") or []
        return runs

    def curve(self, run: str, metric: str) -> list[tuple[int, float]]:
        """Step and value of everything that was logged."""
        history = self.ask(f"metrics/get-history?run_id={run}&metric_key={quote(metric, safe='')}")
        return sorted((int(one["step"]), one["value"]) for one in history.get("metrics") or [])


def named(run: Any, kind: str) -> dict[str, Any]:
    """Its `params`, `metrics` or `tags` by name."""
    return {one["key"]: one["value"] for one in run["data"].get(kind) or []}


if __name__ == "__main__":
    make(Path(sys.argv[1]))

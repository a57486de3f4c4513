"""On macOS, as far as Linux can stand in for it: commands reach servers, and local runs are called untested."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestune.system.platform import UNTESTED
from tests.e2e.scene import eventually
from tests.testbeds import macos
from tests.testbeds.home import Home
from tests.testbeds.kubernetes.pki import Authority

MACOS = str(Path(macos.__path__[0]))
TRAIN = "import sys\nprint('step of', sys.argv[1])\nprint('loss:', sys.argv[1])\n"
RUN = ("lr=0.1..1", "--minimize", "loss", "--budget", "2", "--parallel", "1", "--", sys.executable, "train.py", "{lr}")


@pytest.fixture
def mac() -> Iterator[Home]:
    """A state folder whose commands run as on macOS."""
    with Home(PYTHONPATH=MACOS) as home:
        (home.folder / "project").mkdir()
        (home.folder / "project" / "train.py").write_text(TRAIN)
        yield home


@pytest.fixture(params=["http", "https"])
def served(request: pytest.FixtureRequest, mac: Home, tmp_path: Path) -> Iterator[Home]:
    """The same with a hosted server on Linux, reached by TCP or TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    state, options = tmp_path / "hosted", list[str]()
    if request.param == "https":
        authority = Authority.create(tmp_path / "pki")
        authority.issue("server", "server", hosts=["127.0.0.1"])
        options = ["--tls-cert", str(tmp_path / "pki/server.crt"), "--tls-key", str(tmp_path / "pki/server.key")]
        mac.env["SSL_CERT_FILE"] = str(tmp_path / "pki/ca.crt")
    linux = {name: value for name, value in mac.env.items() if name not in ("PYTHONPATH", "ORCHESTUNE_HOME")}
    command = [sys.executable, "-m", "orchestune", "server", "--port", str(port), "--state", str(state), *options]
    server = subprocess.Popen(command, env=linux, stderr=subprocess.DEVNULL)
    token = state / "token"
    try:
        eventually(token.exists, "the server is ready", mac)
        mac.env |= {"ORCHESTUNE_SERVER": f"{request.param}://127.0.0.1:{port}"}
        mac.env["ORCHESTUNE_TOKEN"] = token.read_text().split()[-1]
        yield mac
    finally:
        server.terminate()
        server.wait(60)


def test_commands_import_nothing_that_macos_lacks(mac: Home) -> None:
    program = "import orchestune.cli.main as main; main.build_parser(); import sys; print(sys.platform)"
    imported = subprocess.run([sys.executable, "-c", program], env=mac.env, capture_output=True, text=True, check=True)
    assert imported.stdout == "darwin\n"
    assert "--minimize METRIC" in mac.run("run", "--help").stdout


def test_an_experiment_runs_on_a_server_and_is_read_from_there(served: Home) -> None:
    project = served.folder / "project"
    output = served.run("run", *RUN, cwd=project).stdout
    assert "2 of 2 trials" in output and UNTESTED not in output
    (status,) = json.loads(served.run("status", "--json").stdout)
    assert status["state"] == "completed"
    handle = status["handle"]
    assert "step of 0." in served.run("logs", f"{handle}/1").stdout
    served.run("export", handle, "-o", "rows.csv", cwd=project)
    assert (project / "rows.csv").read_text().count("completed") == 2
    assert "loss" in served.run("best", handle).stdout


def test_a_run_on_this_machine_says_that_it_is_untested(mac: Home) -> None:
    output = mac.run("run", "--dry-run", *RUN, cwd=mac.folder / "project").stdout
    assert output.replace("\n             ", " ").count(UNTESTED) == 1


def test_a_trial_on_this_machine_needs_nothing_that_only_linux_has(mac: Home) -> None:
    output = mac.run("run", *RUN, cwd=mac.folder / "project").stdout
    assert "2 of 2 trials" in output

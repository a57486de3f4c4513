"""Start of a server that outlives the command that needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, Popen

from orchestune.client.local import write_errors
from orchestune.errors import Unreachable

_MAX_LOG_BYTES = 8 * 2**20
_TAIL_LINES = 15


class SpawnedServer:
    """A server process that this command started, in its own session, with its output in `log`."""

    def __init__(self, program: Sequence[str], log: Path, environ: Mapping[str, str]) -> None:
        """Start it. Raises Unreachable if the program cannot be started."""
        self.log = log
        try:
            if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
                log.replace(log.with_name(f"{log.name}.1"))
            with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
                self._offset = output.tell()
                self._process = Popen(
                    list(program),
                    stdin=DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=log.parent,
                    env=server_environment(environ),
                    start_new_session=True,
                )
        except OSError as exc:
            problem = write_errors.write_problem(log.parent) or (str(exc), "run `orchestune doctor`")
            raise Unreachable(f"cannot start the server: {problem[0]}", problem[1]) from exc

    def exit_code(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._process.poll()

    def log_tail(self) -> str:
        """Return its log tail, indented, for an error message."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(self._offset, self.log.stat().st_size - 8192))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return ":\n" + "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:]) if lines else ""

    def detach(self) -> None:
        """Detach from the process."""
        self._process.returncode = self._process.poll() or 0  # avoids a ResourceWarning about a running child


def server_program(state: Path) -> list[str]:
    """Return the command that starts the embedded server of this installation."""
    # -P: prevents imports of modules from the current folder
    return [sys.executable, "-P", "-m", "orchestune", "server", "--embedded", "--state", str(state)]


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the embedded server for a command's.

    Paths in PYTHONPATH become absolute: the server has another working directory.
    """
    variables = dict(environ)
    variables.pop("ORCHESTUNE_SERVER", None)  # selects another server
    variables.pop(
        "ORCHESTUNE_WORKER_FILE", None
    )  # set within a trial: by it the server would be killed with its worker
    if "ORCHESTUNE_PARAMS" in variables:
        variables.pop("ORCHESTUNE_CONFIG", None)  # the trial's configuration file, not the server's
    if variables.get("PYTHONPATH"):
        entries = variables["PYTHONPATH"].split(os.pathsep)
        variables["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in entries if entry)
    return variables
